"""A decision is appealed, moderators decide, and the member hears of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from bot.database.models import AuditRow
from bot.database.people import StrikeRow
from tests.integration.simcord_admins import told
from tests.integration.simcord_moderators import (
    Court,
    appealed,
    audit_ids,
    refused,
    refused_prompt,
    row_of,
)
from tests.integration.simcord_world import (
    buttons,
    interactions_with,
    is_japanese,
    sent_messages,
)

LOCALES = pytest.mark.parametrize("locale", ["en-US", "ja"])


# --- pauses ---


@LOCALES
async def test_a_strike_pauses_and_the_refusal_can_be_appealed(court: Court, locale: str) -> None:
    """From the refusal to the moderators and back, each in their own language."""
    world, mika = court.world, court.world.mika
    before = datetime.now(UTC)
    decision_id = await court.note(mika, "report", kind="report", locale=locale)
    message = await refused(world, mika, locale)
    assert is_japanese(message.content) == (locale == "ja")
    until = int(message.content.partition("<t:")[2].partition(":R>")[0])
    assert (
        timedelta(0)
        <= datetime.fromtimestamp(until, UTC) - before - timedelta(minutes=10)
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
    assert facts["Reason"] == "reported by members"
    assert "secret" not in str(world.channel.history(viewer=world.ren))
    labels = [button.label for row in posted.components for button in row.children]  # pyright: ignore
    assert labels == ["Uphold", "Overturn", "Uphold and block the member"]

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
    before = len(court.queue.history())
    answer = told(await mika.click(message, label="Appeal"))
    assert answer.startswith("The host of this bot has your appeal")
    assert len(court.queue.history()) == before, "the moderators could not overturn it"


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
        audit = await session.get_one(AuditRow, max(await audit_ids(world)))
        strikes = await session.get(StrikeRow, 1)
    assert (audit.actor_id, audit.target) == (court.judge.id, f"member:{mika.id}")
    assert decision_id in str(audit.after)
    assert "secret" not in str((audit.before, audit.after)), "prompts are not for the log"
    assert strikes is None or kind != "report"
    if "block" in label:
        assert "what you asked for, as the moderators decided" in (await refused(world, mika)).content
    else:
        assert (await world.draw(prompt="1girl")).attachments


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
