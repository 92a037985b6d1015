"""What is shown where, from a member's command to the message: withheld, spoilered, shown; and what stays."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from bot.database.models import RefusalRow
from bot.reconcile import find_discrepancies
from tests.integration.simcord_channels import (
    AgeRestrictions,
    age_restrictions,
    check_withheld,
    choose,
    decisions_of,
    open_thread,
    rename_table,
    taken,
)
from tests.integration.simcord_world import (
    World,
    embed_fields,
    interactions_with,
    is_japanese,
    open_world,
    sent_messages,
    shows_button,
    until,
)

LOCALES = pytest.mark.parametrize("locale", ["en-US", "ja"])


@pytest.fixture(scope="module")
def restrictions() -> Iterator[AgeRestrictions]:
    with age_restrictions() as restrictions:
        yield restrictions


@pytest.fixture(scope="module")
def gate_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gate") / "gate"


@pytest.fixture(scope="module")
async def one_world(
    gate_file: Path, restrictions: AgeRestrictions, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[World]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PLAIN_WORKER_GATE", str(gate_file))
        folder = tmp_path_factory.mktemp("release")
        async with open_world(folder, safety_level="age-restricted") as world:
            yield world


@pytest.fixture
async def world(one_world: World, restrictions: AgeRestrictions) -> World:
    """One bot whose host allows everything; the channel is age-restricted, and the server allows it."""
    await choose(one_world, "age-restricted")
    await restrictions.change(one_world, one_world.channel, restricted=True)
    return one_world


@pytest.fixture
async def family_world(one_world: World, restrictions: AgeRestrictions) -> World:
    """The same bot, where nobody has chosen anything."""
    await choose(one_world, "default")
    await restrictions.change(one_world, one_world.channel, restricted=False)
    return one_world


@pytest.fixture
def gate(gate_file: Path) -> Path:
    """Slow jobs go on when this file exists."""
    gate_file.unlink(missing_ok=True)
    return gate_file


# --- withheld ---


@LOCALES
async def test_an_explicit_picture_is_seen_by_nobody_and_costs_nothing(
    family_world: World, locale: str
) -> None:
    first = len(family_world.env.http_requests)
    with interactions_with(locale=locale):
        message = await family_world.draw(prompt="1girl bare", images=2)
    assert await check_withheld(family_world, message) == ["sexual"]
    assert not any(body.get("attachments") for body in sent_messages(family_world.env, first))
    assert is_japanese(message.content) == (locale == "ja")
    if locale == "en-US":
        assert message.content.startswith("What was drawn may not be shown here, so nobody sees it")
    job = await family_world.last_job()
    assert job.images[0].verdict is not None
    assert job.images[0].verdict["scores"] == {"sexual": 0.95}
    assert job.images[0].file_name == "", "it was not even written"


async def test_a_picture_on_the_block_list_is_shown_nowhere(world: World) -> None:
    """Not in an age-restricted channel either."""
    assert await check_withheld(world, await world.draw(prompt="1girl known")) == ["blocked_hash"]


@LOCALES
@pytest.mark.parametrize("word", ["unchecked", "sexual=nan", "unscored", "foreign"])
async def test_what_could_not_be_checked_is_shown_nowhere(world: World, word: str, locale: str) -> None:
    with interactions_with(locale=locale):
        message = await world.draw(prompt=f"1girl {word}", images=2)
    job = await world.last_job()
    assert (job.state, job.error_code) == ("failed", "check_failed")
    assert (message.attachments, message.embeds) == ([], [])
    assert world.picture_files() == []
    assert await taken(world) == 0
    assert is_japanese(message.content) == (locale == "ja")
    if locale == "en-US":
        assert message.content.startswith("What was drawn could not be checked, so nobody sees it")


async def test_the_members_list_says_what_became_of_it(family_world: World) -> None:
    await family_world.draw(prompt="1girl bare")
    listed = await family_world.mika.slash(family_world.channel, "jobs")
    assert listed.response is not None
    lines = (listed.response.embeds[0].description or "").splitlines()
    assert lines[0] == "🚫 withheld: 1girl bare"
    assert lines[1].startswith("-# cost 0 · ")


# --- some of them ---


@LOCALES
async def test_those_that_may_be_shown_are_and_only_they_are_paid(family_world: World, locale: str) -> None:
    with interactions_with(locale=locale):
        message = await family_world.draw(prompt="1girl mixed", images=3, seed="8")
    assert [attachment.filename for attachment in message.attachments] == ["trinart-8.png", "trinart-10.png"]
    assert embed_fields(message)["シード" if locale == "ja" else "Seed"] == "`8`, `10`"
    job = await family_world.last_job()
    assert job.state == "delivered"
    assert [image.is_withheld for image in job.images] == [False, True, False]
    assert await taken(family_world) == -(-job.cost * 2 // 3)
    assert family_world.picture_files() == []
    assert is_japanese(message.content) == (locale == "ja")
    if locale == "en-US":
        assert message.content == (
            "1 of 3 pictures may not be shown here and were deleted. They cost nothing."
        )
    found = await find_discrepancies(
        family_world.database, family_world.settings.pictures_dir, job.created_at
    )
    assert not found, found.sentences()


# --- spoilers ---


async def test_a_daring_picture_is_behind_a_spoiler(family_world: World) -> None:
    message = await family_world.draw(prompt="1girl daring", seed="7", images=2)
    assert [file.filename for file in message.attachments] == [
        "SPOILER_trinart-7.png",
        "SPOILER_trinart-8.png",
    ]
    rows = await decisions_of(family_world, (await family_world.last_job()).id)
    assert [(row.decision, row.level, row.reasons) for row in rows] == [
        ("spoiler", "default", ["sexual"])
    ] * 2


async def test_a_clean_picture_is_recorded_as_shown_once(family_world: World) -> None:
    message = await family_world.draw(prompt="1girl", seed="7")
    assert [file.filename for file in message.attachments] == ["trinart-7.png"]
    [row] = await decisions_of(family_world, (await family_world.last_job()).id)
    assert (row.decision, row.scores, row.model, row.reasons) == ("show", {"sexual": 0.0}, "plain", [])
    assert len(row.user_key) == 64


# --- levels of places ---


async def test_an_age_restricted_channel_may_show_more(world: World) -> None:
    message = await world.draw(prompt="1girl bare", seed="7")
    assert [file.filename for file in message.attachments] == ["SPOILER_trinart-7.png"]
    message = await world.draw(prompt="1girl daring", seed="7")
    assert [file.filename for file in message.attachments] == ["trinart-7.png"]


async def test_a_thread_is_as_restricted_as_its_channel(world: World, restrictions: AgeRestrictions) -> None:
    thread = await open_thread(world, world.channel)
    message = await world.answer_to(await world.mika.slash(thread, "trinart", prompt="1girl bare"))
    assert message.attachments
    await restrictions.change(world, world.channel, restricted=False)
    message = await world.answer_to(await world.mika.slash(thread, "trinart", prompt="1girl bare"))
    assert await check_withheld(world, message)


async def test_direct_messages_show_nothing_explicit(world: World) -> None:
    result = await world.mika.user.slash("trinart", prompt="1girl bare")
    assert await check_withheld(world, await world.answer_to(result)) == ["sexual"]


async def test_a_strict_prompt_holds_its_pictures_to_the_strictest_threshold(world: World) -> None:
    message = await world.draw(prompt="a child in the playground, daring")
    assert await check_withheld(world, message) == ["sexual", "strict_prompt", "minor"]
    assert (await world.last_job()).prompt_decision == "strict"
    message = await world.draw(prompt="a child in the playground")
    assert message.attachments


async def stops_being_restricted(world: World, restrictions: AgeRestrictions) -> None:
    await restrictions.change(world, world.channel, restricted=False)


async def server_becomes_strict(world: World, restrictions: AgeRestrictions) -> None:
    await choose(world, "strict")


async def channel_becomes_strict(world: World, restrictions: AgeRestrictions) -> None:
    await choose(world, "age-restricted", {str(world.channel.id): "strict"})


@pytest.mark.parametrize("change", [stops_being_restricted, server_becomes_strict, channel_becomes_strict])
async def test_a_place_that_allows_less_by_now_gets_nothing_explicit(
    world: World, gate: Path, restrictions: AgeRestrictions, change: Callable[..., object]
) -> None:
    result = await world.ask(prompt="1girl bare slow", images=2)
    await until(world.env, lambda: shows_button(result))
    await change(world, restrictions)  # pyright: ignore[reportGeneralTypeIssues]
    gate.touch()
    assert await check_withheld(world, await world.answer_to(result)) == ["sexual"]


async def test_a_place_that_allows_more_by_now_gets_what_was_allowed_when_it_was_asked_for(
    family_world: World, gate: Path, restrictions: AgeRestrictions
) -> None:
    result = await family_world.ask(prompt="1girl bare slow")
    await until(family_world.env, lambda: shows_button(result))
    await choose(family_world, "age-restricted")
    await restrictions.change(family_world, family_world.channel, restricted=True)
    gate.touch()
    assert await check_withheld(family_world, await family_world.answer_to(result)) == ["sexual"]


async def test_a_sexual_prompt_is_not_quoted_where_it_may_not_be_asked_for_any_more(
    world: World, gate: Path, restrictions: AgeRestrictions
) -> None:
    """The picture is clean; its prompt would stand beside it."""
    result = await world.ask(prompt="1girl, nude slow")
    await until(world.env, lambda: shows_button(result))
    await restrictions.change(world, world.channel, restricted=False)
    gate.touch()
    assert await check_withheld(world, await world.answer_to(result)) == ["prompt"]


# --- the database ---


async def test_while_decisions_cannot_be_recorded_nothing_is_sent(
    family_world: World, gate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = family_world
    result = await world.ask(prompt="1girl slow", seed="7")
    await until(world.env, lambda: shows_button(result))
    await rename_table(world, "safety_decisions", "decisions_away")
    gate.touch()
    message = await world.answer_to(result)
    assert message.attachments == []
    assert (await world.last_job()).state == "succeeded"
    assert len(world.picture_files()) == 1
    await rename_table(world, "decisions_away", "safety_decisions")
    monkeypatch.setattr("bot.generation.JUST_ACCEPTED", timedelta(0))
    await world.service.take_up()
    message = await world.answer_to(result)
    assert [file.filename for file in message.attachments] == ["trinart-7.png"]
    assert (await world.last_job()).state == "delivered"


# --- prompts ---


@LOCALES
async def test_a_refused_prompt_costs_nothing_and_is_answered_in_private(
    family_world: World, locale: str
) -> None:
    jobs = len(await family_world.jobs())
    with interactions_with(locale=locale):
        result = await family_world.ask(prompt="1girl, nude")
    assert result.response is not None
    assert result.response.ephemeral
    assert is_japanese(result.response.content.partition("\n")[0]) == (locale == "ja")
    if locale == "en-US":
        assert result.response.content.startswith("Sexual content is not drawn here.")
    await family_world.service.screening.settled()
    assert len(await family_world.jobs()) == jobs
    row = (await decisions_of(family_world, None))[-1]
    assert (row.kind, row.decision, row.reasons, row.level) == ("prompt", "refuse", ["sexual"], "default")
    assert "nude" not in str(vars(row))
    async with family_world.database.session() as session:
        codes = list(await session.scalars(select(RefusalRow.code).order_by(RefusalRow.id)))
    assert codes[-1] == "sexual"


async def test_what_may_be_asked_for_depends_on_the_place(world: World) -> None:
    assert (await world.draw(prompt="1girl, nude")).attachments
    result = await world.ask(prompt="a nude child")
    assert result.response is not None
    assert result.response.content.startswith("Sexual content together with anything that points to a minor")


async def test_the_servers_own_words_are_refused(family_world: World) -> None:
    await choose(family_world, "default", block=["gundam"])
    result = await family_world.ask(prompt="a gundam")
    assert result.response is not None
    assert result.response.content.startswith("The admins of this server do not want a word")
    assert "gundam" not in result.response.content.partition("\n")[0]
