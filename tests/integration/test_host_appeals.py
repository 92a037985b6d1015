"""`/host appeals`: what no server can overturn, from the member's button to the host's and back."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import simcord
from simcord.actors import MemberActor
from sqlalchemy import select

from bot.database.models import AuditRow
from bot.limits import EVERYWHERE
from tests.integration.simcord_admins import allow, application_of, open_office, told
from tests.integration.simcord_moderators import (
    Court,
    refused,
    row_of,
)
from tests.integration.simcord_world import embed_fields, interactions_with, is_japanese, sent_messages

LOCALES = pytest.mark.parametrize("locale", ["en-US", "ja"])


@pytest.fixture(scope="module")
async def owner(whole_court: Court) -> MemberActor:
    """Who hosts the bot, and is offered `/host` in this server."""
    world = whole_court.world
    owner = world.guild.add_member(world.env.create_user("owner"))
    allow(open_office(world), "host", owner)
    return owner


@pytest.fixture(autouse=True)
async def hosting(owner: MemberActor) -> AsyncIterator[None]:
    with application_of(owner):
        yield


async def appeal_to_host(court: Court, reason: str = "sexual_minor", locale: str = "en-US") -> str:
    """Mika appeals what only the host can overturn; the id of the decision."""
    decision_id = await court.note(court.world.mika, reason, locale=locale)
    message = await court.decisions_of(court.world.mika)
    with interactions_with(locale=locale):
        result = await court.world.mika.click(message, custom_id=f"trinart:appeal:{decision_id}")
    text = told(result)
    assert is_japanese(text) == (locale == "ja")
    assert locale == "ja" or text.startswith("The host of this bot has your appeal")
    return decision_id


async def shown(court: Court, owner: MemberActor, locale: str = "en-US") -> simcord.ResponseMessage:
    """What `/host appeals` answers."""
    with interactions_with(locale=locale):
        result = await owner.slash(court.world.channel, "host appeals")
    assert result.response is not None
    assert result.response.ephemeral
    return result.response


@LOCALES
async def test_the_host_overturns_a_false_verdict_about_minors(
    court: Court, owner: MemberActor, locale: str
) -> None:
    world = court.world
    posted, first = len(court.queue.history()), len(world.env.http_requests)
    decision_id = await appeal_to_host(court, locale=locale)
    assert len(court.queue.history()) == posted, "its moderators could not overturn it"
    await refused(world, world.mika)
    message = await shown(court, owner, locale)
    [embed] = message.embeds
    assert embed.description == "1girl, \\*secret\\*"
    assert embed.footer.text == decision_id
    assert is_japanese(str(embed.title)) == (locale == "ja")
    if locale == "en-US":
        fields = embed_fields(message)
        assert fields["Server"] == "TrinArt"
        assert "the same prompt is refused again" in fields["Overturn"]
    with interactions_with(locale=locale):
        await owner.click(message, custom_id=f"trinart:hostruling:overturn:{decision_id}")
    assert (await row_of(world, decision_id)).state == "overturned"
    assert message.embeds[0].description == (
        "答えを待っている異議はありません。" if locale == "ja" else "No appeals wait for you."
    )
    letter = court.direct_messages(world.mika)[-1]
    assert is_japanese(letter) == (locale == "ja")
    assert locale == "ja" or "It no longer counts against you. The same prompt is still not drawn." in letter
    assert (await world.draw(prompt="1girl")).attachments, "the pause is over"
    async with world.database.session() as session:
        audit = list(await session.scalars(select(AuditRow).order_by(AuditRow.id)))[-1]
    assert (audit.guild_id, audit.actor_id, audit.action) == (EVERYWHERE, owner.id, "appeal.overturn")
    assert audit.after is not None
    assert audit.after["decision"] == decision_id
    assert all(body["allowed_mentions"] == {"parse": []} for body in sent_messages(world.env, first))


async def test_what_was_overturned_is_refused_again(court: Court, owner: MemberActor) -> None:
    """Nothing lets through what the rules take for sexual and about minors."""
    world = court.world
    result = await world.mika.slash(world.channel, "trinart", prompt="a nude child")
    await world.service.screening.settled()
    assert result.response is not None
    await world.mika.click(result.response, label="Appeal")
    message = await shown(court, owner)
    await owner.click(message, label="Overturn")
    again = await world.mika.slash(world.channel, "trinart", prompt="a nude child")
    assert told(again).startswith("Sexual content together with anything that points to a minor")
    await world.service.screening.settled()


async def test_what_is_upheld_goes_on_counting(court: Court, owner: MemberActor) -> None:
    world = court.world
    first, second = await appeal_to_host(court), await appeal_to_host(court, "real_person_sexual")
    message = await shown(court, owner)
    assert embed_fields(message)["Appeals that wait for you"] == "2"
    await owner.click(message, label="Uphold")
    assert (await row_of(world, first)).state == "upheld"
    assert court.direct_messages(world.mika)[-1] == (
        "The host of this bot has upheld the decision that you appealed."
    )
    await refused(world, world.mika)
    assert message.embeds[0].footer.text == second, "the next one"


async def test_nobody_else_decides(court: Court, owner: MemberActor) -> None:
    """Whoever has the button: it asks Discord who the host is."""
    decision_id = await appeal_to_host(court)
    message = await shown(court, owner)
    with application_of(court.judge):
        [answer] = (await owner.click(message, label="Overturn")).followups
    assert answer.content == "Only the host of this bot can do this. Nothing was changed."
    assert (await row_of(court.world, decision_id)).state == "open"
    for_moderators = await court.note(court.world.mika, "sexual")
    await court.world.services.appeals.open(for_moderators, court.world.mika.id, "en-US")
    await owner.click(message, label="Uphold")
    assert message.embeds[0].description == "No appeals wait for you.", "that one is not the host's"


async def test_what_is_decided_is_decided_once(court: Court, owner: MemberActor) -> None:
    decision_id = await appeal_to_host(court)
    one, other = await shown(court, owner), await shown(court, owner)
    await owner.click(one, label="Uphold")
    [answer] = (await owner.click(other, label="Overturn")).followups
    assert answer.content == "Somebody has decided this already."
    assert (await row_of(court.world, decision_id)).state == "upheld"


async def test_the_host_hears_of_appeals_once_an_hour(court: Court, owner: MemberActor) -> None:
    """All tests of this file together: the hour is not over."""
    for _ in range(2):
        await appeal_to_host(court)
    news = [text for text in court.direct_messages(owner) if text.startswith("⚖️")]
    assert len(news) == 1
    assert "/host appeals" in news[0]
    assert is_japanese(news[0])
