"""A decision is appealed, moderators decide, and the member hears of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import simcord
from simcord.actors import MemberActor
from sqlalchemy import delete, select

from bot.audit import Admin
from bot.database.models import AuditRow, BlockRow, GuildSettingsRow
from bot.database.people import AppealRow, StrikeRow
from bot.safety.appeals import MOST_APPEALS
from bot.safety.errors import CannotOverturn, OwnAppeal
from tests.integration.simcord_admins import told
from tests.integration.simcord_moderators import Court, open_court
from tests.integration.simcord_world import (
    World,
    buttons,
    interactions_with,
    is_japanese,
    open_world,
    sent_messages,
)

LOCALES = pytest.mark.parametrize("locale", ["en-US", "ja"])


@pytest.fixture(scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with open_world(tmp_path_factory.mktemp("appeals")) as world:
        yield world


@pytest.fixture(scope="module")
async def whole_court(world: World) -> Court:
    return await open_court(world)


@pytest.fixture
async def court(world: World, whole_court: Court) -> AsyncIterator[Court]:
    """A court with its channel, where nothing was decided yet."""
    await whole_court.open_queue()
    yield whole_court
    async with world.database.session() as session:
        for table in (AppealRow, StrikeRow, BlockRow, GuildSettingsRow):
            await session.execute(delete(table))


async def refused(world: World, member: MemberActor, locale: str = "en-US") -> simcord.ResponseMessage:
    """The private refusal of a command."""
    with interactions_with(locale=locale):
        result = await member.slash(world.channel, "trinart", prompt="1girl")
    message = await world.answer_to(result)
    assert message.ephemeral
    assert message.attachments == []
    return message


async def appealed(court: Court, member: MemberActor, *reasons: str, **changes: str) -> str:
    """A decision whose appeal waits in the moderators' channel; its id."""
    decision_id = await court.note(member, *(reasons or ("sexual",)), **changes)
    message = await court.decisions_of(member)
    result = await member.click(message, custom_id=f"trinart:appeal:{decision_id}")
    assert result.response is not None
    assert result.response.content.startswith("The moderators of the server have your appeal.")
    assert str(court.posted().embeds[0].footer.text) == decision_id
    return decision_id


async def row_of(world: World, decision_id: str) -> AppealRow:
    async with world.database.session() as session:
        return await session.get_one(AppealRow, decision_id)


# --- pauses ---


@LOCALES
async def test_a_strike_pauses_and_the_refusal_can_be_appealed(court: Court, locale: str) -> None:
    """From the refusal to the moderators and back, each in their own language."""
    world, mika = court.world, court.world.mika
    before = datetime.now(UTC)
    decision_id = await court.note(mika, "sexual_minor", locale=locale)
    message = await refused(world, mika, locale)
    assert is_japanese(message.content) == (locale == "ja")
    until = int(message.content.partition("<t:")[2].partition(":R>")[0])
    assert (
        timedelta(0)
        <= datetime.fromtimestamp(until, UTC) - before - timedelta(hours=1)
        < timedelta(minutes=5)
    )

    first = len(world.env.http_requests)
    [label] = buttons(message)
    with interactions_with(locale=locale):
        result = await mika.click(message, label=label)
    assert result.response is not None
    assert result.response.ephemeral
    assert is_japanese(result.response.content) == (locale == "ja")

    posted = court.posted()
    [embed] = posted.embeds
    assert embed.description == "1girl, \\*secret\\*"
    facts = {field.name: field.value for field in embed.fields}
    assert facts["Member"] == f"<@{mika.id}>"
    assert facts["Reason"] == "sexual content together with minors"
    assert "secret" not in str(world.channel.history(viewer=world.ren))
    labels = [button.label for row in posted.components for button in row.children]  # pyright: ignore
    assert labels == ["Uphold", "Uphold and block the member"], "a server cannot overturn these"

    await court.judge.click(posted, label="Uphold")
    assert (await row_of(world, decision_id)).state == "upheld"
    message_of_it = court.direct_messages(mika)[-1]
    assert "TrinArt" in message_of_it
    assert is_japanese(message_of_it) == (locale == "ja")
    [embed] = court.posted().embeds
    assert embed.fields[-1].value == f"upheld, by <@{court.judge.id}>"
    assert court.posted().components == []
    assert all(body["allowed_mentions"] == {"parse": []} for body in sent_messages(world.env, first))
    await refused(world, mika)


async def test_a_pause_for_minors_is_over_all_servers(court: Court) -> None:
    world = court.world
    await court.note(world.mika, "sexual_minor")
    other = world.env.create_guild("Elsewhere")
    mika = other.add_member(world.mika.user)
    channel = other.create_text_channel("pictures")
    await world.env.settle()
    result = await mika.slash(channel, "trinart", prompt="1girl")
    assert "The pause ends" in (await world.answer_to(result)).content
    result = await world.ren.slash(world.channel, "trinart", prompt="1girl")
    assert (await world.answer_to(result)).attachments, "nobody else is paused"


async def test_other_refusals_do_not_count(court: Court) -> None:
    await court.note(court.world.mika, "sexual")
    await court.note(court.world.mika, "sexual_minor", kind="picture")
    assert (await court.world.draw(prompt="1girl")).attachments


# --- rulings ---


async def refused_prompt(world: World, member: MemberActor, prompt: str) -> simcord.ResponseMessage:
    """What the prompt check says, with its Appeal button, once it is recorded."""
    result = await member.slash(world.channel, "trinart", prompt=prompt)
    await world.service.screening.settled()
    assert result.response is not None
    assert result.response.ephemeral
    assert buttons(result.response) == ["Appeal"]
    return result.response


async def test_an_overturned_refusal_lets_these_words_through(court: Court) -> None:
    world, mika = court.world, court.world.mika
    await mika.click(await refused_prompt(world, mika, "1girl, nude"), label="Appeal")
    assert "1girl, nude" in str(court.posted().embeds[0].description)
    await court.judge.click(court.posted(), label="Overturn")
    assert "for 7 days" in court.direct_messages(mika)[-1]
    message = await world.draw(prompt="1girl, nude")
    assert len(message.attachments) == 1
    assert (await world.last_job()).prompt_decision == "strict", (
        "the words are allowed, not whatever picture comes of them"
    )
    await refused_prompt(world, mika, "2girls, nude")
    await refused_prompt(world, world.ren, "1girl, nude")


async def test_a_refusal_about_minors_pauses_its_member(court: Court) -> None:
    """The very prompt, and then anything."""
    world, mika = court.world, court.world.mika
    message = await refused_prompt(world, mika, "a nude child")
    assert "The pause ends" in (await refused(world, mika)).content
    await mika.click(message, label="Appeal")
    reasons = str(court.posted().embeds[0].fields[2].value)
    assert reasons.startswith("sexual content together with minors")


@LOCALES
async def test_withheld_pictures_can_be_appealed(court: Court, locale: str) -> None:
    world, mika = court.world, court.world.mika
    with interactions_with(locale=locale):
        message = await world.draw(prompt="1girl bare", images=2)
        assert message.attachments == []
        [label] = buttons(message)
        [answer] = [(await world.ren.click(message, label=label)).response]
        assert answer is not None
        assert answer.ephemeral, "nobody else can"
        result = await mika.click(message, label=label)
    assert result.response is not None
    assert is_japanese(result.response.content) == (locale == "ja")
    posted = court.posted()
    assert "withheld" in str(posted.embeds[0].title)
    assert (posted.embeds[0].description, posted.attachments) == ("1girl bare", [])
    await court.judge.click(posted, label="Overturn")
    outcome = court.direct_messages(mika)[-1]
    assert is_japanese(outcome) == (locale == "ja")
    assert message.attachments == []
    assert (await world.draw(prompt="1girl")).attachments, "what the model drew does not count"


async def test_what_could_not_be_checked_cannot_be_appealed(court: Court) -> None:
    assert buttons(await court.world.draw(prompt="1girl unchecked")) == []


@pytest.mark.parametrize(
    ("label", "kind", "says"),
    [
        ("Uphold", "prompt", "have upheld the decision"),
        ("Overturn", "picture", "The picture was never kept"),
        ("Overturn", "report", "It no longer counts against you."),
        ("Uphold and block the member", "prompt", "You cannot ask for pictures there any more."),
    ],
)
async def test_what_was_decided_is_told_and_kept_in_the_log(
    court: Court, label: str, kind: str, says: str
) -> None:
    world, mika = court.world, court.world.mika
    decision_id = await appealed(court, mika, "report" if kind == "report" else "sexual", kind=kind)
    await court.judge.click(court.posted(), label=label)
    assert says in court.direct_messages(mika)[-1]
    async with world.database.session() as session:
        audit = await session.get_one(AuditRow, max(await _audit_ids(world)))
        strikes = await session.get(StrikeRow, 1)
    assert (audit.actor_id, audit.target) == (court.judge.id, f"member:{mika.id}")
    assert decision_id in str(audit.after)
    assert "secret" not in str((audit.before, audit.after)), "prompts are not for the log"
    assert strikes is None or kind != "report"
    if "block" in label:
        assert "what you asked for, as the moderators decided" in (await refused(world, mika)).content
    else:
        assert (await world.draw(prompt="1girl")).attachments


async def _audit_ids(world: World) -> list[int]:
    async with world.database.session() as session:
        return list(await session.scalars(select(AuditRow.id)))


async def test_a_member_without_direct_messages_reads_it_in_appeals(court: Court) -> None:
    world, mika = court.world, court.world.mika
    decision_id = await appealed(court, mika)
    sent = len(court.direct_messages(mika))
    world.env.inject_error("POST", "/users/@me/channels", status=403, code=50007)
    world.env.inject_error("POST", f"/channels/{mika.user.dm_channel.id}/messages", status=403, code=50007)
    await court.judge.click(court.posted(), label="Uphold")
    world.env.backend.faults.clear()
    assert len(court.direct_messages(mika)) == sent
    assert (await row_of(world, decision_id)).told_at is None
    message = await court.decisions_of(mika)
    assert "upheld" in str(message.embeds[0].description)
    assert (await row_of(world, decision_id)).told_at is not None


# --- who may what ---


async def test_only_moderators_decide(court: Court) -> None:
    decision_id = await appealed(court, court.world.mika)
    result = await court.clerk.click(court.posted(), label="Overturn")
    [answer] = result.followups
    assert answer.ephemeral
    assert "Timeout Members" in answer.content
    assert (await row_of(court.world, decision_id)).state == "open"
    assert court.posted().components != []


async def test_a_button_that_was_never_there_overturns_nothing(court: Court) -> None:
    """A client could send it all the same: the rule is the service's, not the button's."""
    world = court.world
    decision_id = await appealed(court, world.mika, "sexual", "sexual_minor")
    posted = court.posted()
    uphold = world.env.backend.get_message(court.queue.id, posted.id).components[0]["components"][0]
    uphold["custom_id"] = f"trinart:ruling:overturn:{decision_id}"
    [answer] = (await court.boss.click(posted, custom_id=uphold["custom_id"])).followups
    assert answer.content == "A server cannot overturn this decision, only uphold it."
    assert (await row_of(world, decision_id)).state == "open"
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


# --- settings and strikes ---


async def test_the_channel_must_not_be_for_everybody(court: Court) -> None:
    result = await court.boss.slash(
        court.world.channel, "admin moderation settings", channel=court.world.channel
    )
    assert told(result).startswith("Everybody in the server can read <#")


@pytest.mark.parametrize("reports", [0, 101])
async def test_a_number_of_reports_that_cannot_be(court: Court, reports: int) -> None:
    result = await court.boss.slash(court.world.channel, "admin moderation settings", reports=reports)
    assert "`reports` must be between 1 and 100" in told(result)


@LOCALES
async def test_the_settings_are_shown(court: Court, locale: str) -> None:
    with interactions_with(locale=locale):
        result = await court.boss.slash(court.world.channel, "admin moderation settings")
    text = told(result)
    assert f"<#{court.queue.id}>" in text
    assert "3" in text
    assert is_japanese(text) == (locale == "ja")


@LOCALES
async def test_admins_see_and_clear_the_strikes_of_their_server(court: Court, locale: str) -> None:
    world, mika = court.world, court.world.mika
    now = datetime.now(UTC)
    async with world.database.session() as session:
        for guild_id, decision_id in ((world.guild.id, "a" * 32), (1, "b" * 32)):
            session.add(
                StrikeRow(
                    guild_id=guild_id, user_id=mika.id, weight=1, reason="report", decision_id=decision_id,
                    created_at=now,
                )
            )  # fmt: skip
    await refused(world, mika)
    with interactions_with(locale=locale):
        shown = await court.boss.slash(world.channel, "admin moderation strikes", member=mika)
        cleared = await court.boss.slash(world.channel, "admin moderation clear", member=mika)
    for result in (shown, cleared):
        assert is_japanese(told(result)) == (locale == "ja")
        assert f"<@{mika.id}>" in told(result)
    assert (await world.draw(prompt="1girl")).attachments
    async with world.database.session() as session:
        audit = await session.get_one(AuditRow, max(await _audit_ids(world)))
    assert (audit.action, audit.before, audit.after) == ("strikes.clear", {"strikes": 1}, {"strikes": 0})


@pytest.mark.parametrize("reason", ["real_person_sexual", "host_list", "too_long"])
async def test_what_the_host_decides_no_server_overturns(court: Court, reason: str) -> None:
    world = court.world
    decision_id = await appealed(court, world.mika, reason)
    with pytest.raises(CannotOverturn):
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
