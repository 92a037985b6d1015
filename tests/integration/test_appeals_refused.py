"""Who may appeal and who may decide, what cannot be overturned, and appeals that reach nobody."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.audit import Admin
from bot.database.people import AppealRow
from bot.safety.appeals import MOST_APPEALS
from bot.safety.errors import OnlyTheHostDecides, OwnAppeal
from tests.integration.simcord_moderators import (
    Court,
    appealed,
    refused,
    row_of,
)
from tests.integration.simcord_world import (
    buttons,
    is_japanese,
)

LOCALES = pytest.mark.parametrize("locale", ["en-US", "ja"])


async def test_only_moderators_decide(court: Court) -> None:
    decision_id = await appealed(court, court.world.mika)
    result = await court.clerk.click(court.posted(), label="Overturn")
    [answer] = result.followups
    assert answer.ephemeral
    assert "Timeout Members" in answer.content
    assert (await row_of(court.world, decision_id)).state == "open"
    assert court.posted().components != []


@pytest.mark.parametrize("ruling", ["uphold", "overturn", "block"])
async def test_a_button_that_was_never_there_decides_nothing(court: Court, ruling: str) -> None:
    """A client could send it all the same: the rule is the service's, not the button's."""
    world = court.world
    for_host = await court.note(world.mika, "sexual", "sexual_minor")
    await world.services.appeals.open(for_host, world.mika.id, "en-US")
    await appealed(court, world.ren)
    posted = court.posted()
    uphold = world.env.backend.get_message(court.queue.id, posted.id).components[0]["components"][0]
    uphold["custom_id"] = f"trinart:ruling:{ruling}:{for_host}"
    [answer] = (await court.boss.click(posted, custom_id=uphold["custom_id"])).followups
    assert answer.content.startswith("The host of this bot decides about this appeal")
    assert (await row_of(world, for_host)).state == "open"
    await refused(world, world.mika)


async def test_an_appeal_is_decided_once(court: Court) -> None:
    await appealed(court, court.world.mika)
    posted = court.posted()
    shown = court.world.env.backend.get_message(court.queue.id, posted.id)
    buttons_of_before = shown.components
    await court.boss.click(posted, label="Uphold")
    shown.components = buttons_of_before  # as in a client that has not heard of it yet
    [answer] = (await court.judge.click(posted, label="Overturn")).followups
    assert answer.content == "Somebody has decided this already."
    assert answer.ephemeral


async def test_a_decision_is_appealed_once_and_by_its_member(court: Court) -> None:
    world, mika = court.world, court.world.mika
    decision_id = await appealed(court, mika)
    message = await court.decisions_of(mika)
    assert buttons(message) == []
    other = await court.note(mika, "sexual")
    message = await court.decisions_of(mika)
    assert buttons(message) == ["Appeal number 1"]
    with pytest.raises(Exception, match="Only the member"):
        await world.services.appeals.open(other, world.ren.id, "en-US")
    with pytest.raises(Exception, match="once"):
        await world.services.appeals.open(decision_id, mika.id, "en-US")


async def test_appeals_are_limited(court: Court) -> None:
    for _ in range(MOST_APPEALS):
        await appealed(court, court.world.mika)
    await court.note(court.world.mika, "sexual")
    message = await court.decisions_of(court.world.mika)
    result = await court.world.mika.click(message, label="Appeal number 1")
    assert result.response is not None
    assert result.response.content.startswith(f"You can appeal {MOST_APPEALS} times in 24 hours.")


async def test_an_appeal_that_could_not_be_posted_can_be_sent_again(court: Court) -> None:
    world, mika = court.world, court.world.mika
    await court.note(mika, "sexual")
    message = await court.decisions_of(mika)
    world.env.inject_error("POST", f"/channels/{court.queue.id}/messages", status=403, code=50013)
    result = await mika.click(message, label="Appeal number 1")
    world.env.backend.faults.clear()
    assert result.response is not None
    assert result.response.content.startswith("Your appeal could not be sent to the moderators.")
    message = await court.decisions_of(mika)
    result = await mika.click(message, label="Appeal number 1")
    assert result.response is not None
    assert result.response.content.startswith("The moderators of the server have your appeal.")


async def test_a_server_without_a_channel_takes_none(court: Court) -> None:
    result = await court.boss.slash(court.world.channel, "admin moderation settings", close=True)
    assert result.response is not None
    await court.note(court.world.mika, "sexual")
    message = await court.decisions_of(court.world.mika)
    result = await court.world.mika.click(message, label="Appeal number 1")
    assert result.response is not None
    assert result.response.content.startswith("There are no moderators here who take appeals")


@LOCALES
async def test_a_member_without_decisions(court: Court, locale: str) -> None:
    message = await court.decisions_of(court.world.ren, locale)
    assert is_japanese(str(message.embeds[0].description)) == (locale == "ja")
    assert buttons(message) == []


@pytest.mark.parametrize("reason", ["real_person_sexual", "host_list", "too_long"])
async def test_what_the_host_decides_no_server_overturns(court: Court, reason: str) -> None:
    world = court.world
    decision_id = await court.note(world.mika, reason)
    await world.services.appeals.open(decision_id, world.mika.id, "en-US")
    with pytest.raises(OnlyTheHostDecides):
        await world.services.appeals.decide(
            boss_of(await row_of(world, decision_id)), decision_id, "overturn"
        )
    assert (await row_of(world, decision_id)).state == "open"


async def test_nobody_decides_about_an_appeal_of_their_own(court: Court) -> None:
    world = court.world
    decision_id = await appealed(court, world.mika)
    row = await row_of(world, decision_id)
    own = replace(boss_of(row), actor_id=row.user_id)
    with pytest.raises(OwnAppeal):
        await world.services.appeals.decide(own, decision_id, "overturn")
    assert (await row_of(world, decision_id)).state == "open"


def boss_of(row: AppealRow) -> Admin:
    """Somebody else who moderates the server of a decision."""
    return Admin(actor_id=row.user_id + 1, guild_id=row.guild_id, may_manage=True)
