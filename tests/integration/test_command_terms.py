"""The terms of use before the first picture: read, accepted once, and the command goes on."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import simcord
from simcord.actors import MemberActor
from sqlalchemy import select

import bot.safety.use_terms
import cogs.accept
from bot.database.models import RefusalRow
from bot.database.people import UseTermsAcceptanceRow
from tests.integration.simcord_world import (
    World,
    buttons,
    embed_fields,
    interactions_with,
    is_japanese,
    open_world,
    sent_messages,
)

LOCALES = pytest.mark.parametrize(("locale", "accept"), [("en-US", "Accept"), ("ja", "同意する")])


@pytest.fixture(scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with open_world(tmp_path_factory.mktemp("terms"), terms="required") as world:
        yield world


@pytest.fixture
async def newcomer(world: World) -> MemberActor:
    """Somebody who has accepted nothing."""
    return world.guild.add_member(world.env.create_user("newcomer"))


async def ask(
    world: World, member: MemberActor, *, locale: str = "en-US", **options: object
) -> simcord.ResponseMessage:
    """The private answer to a command; asserts that nothing was drawn."""
    jobs = len(await world.jobs())
    with interactions_with(locale=locale):
        result = await member.slash(world.channel, "trinart", **options)
    message = await world.answer_to(result)
    assert message.ephemeral
    assert len(await world.jobs()) == jobs
    return message


async def acceptances(world: World, member: MemberActor) -> list[str]:
    async with world.database.session() as session:
        found = await session.scalars(
            select(UseTermsAcceptanceRow.version).where(UseTermsAcceptanceRow.user_id == member.id)
        )
        return list(found)


@LOCALES
async def test_accepting_goes_on_with_the_very_command(
    world: World, newcomer: MemberActor, locale: str, accept: str
) -> None:
    message = await ask(world, newcomer, prompt="1girl, *wink*", seed="7", steps=3, locale=locale)
    assert is_japanese(message.content) == (locale == "ja")
    assert "1girl, \\*wink\\*" in message.content, "the prompt is not lost, whatever happens"
    [embed] = message.embeds
    assert "https://huggingface.co/" in str(embed.description)
    assert is_japanese(str(embed.description)) == (locale == "ja")
    assert buttons(message) == [accept]

    first = len(world.env.http_requests)
    with interactions_with(locale=locale):
        click = await newcomer.click(message, label=accept)
    await world.finish()
    [picture] = click.followups
    assert not picture.ephemeral
    assert [attachment.filename for attachment in picture.attachments] == ["trinart-7.png"]
    assert picture.embeds[0].description == "1girl, \\*wink\\*"
    assert "3" in embed_fields(picture).values()
    assert await acceptances(world, newcomer) == ["1"]
    assert buttons(message) == [], "there is nothing more to press"
    assert all(body["allowed_mentions"] == {"parse": []} for body in sent_messages(world.env, first))

    result = await newcomer.slash(world.channel, "trinart", prompt="1girl")
    assert (await world.answer_to(result)).attachments, "asked once"


async def test_a_command_that_is_refused_after_accepting_is_told(world: World, newcomer: MemberActor) -> None:
    """The options are read first, so this takes a model that changed meanwhile: here, a bot that pauses."""
    message = await ask(world, newcomer, prompt="1girl")
    world.service.paused = True
    try:
        click = await newcomer.click(message, label="Accept")
        await world.finish()
    finally:
        world.service.paused = False
    assert click.followups == []
    assert message.content.startswith("The host has paused the bot for maintenance.")
    assert ">>> 1girl" in message.content
    assert await acceptances(world, newcomer) == ["1"]


async def test_what_cannot_be_drawn_is_refused_before_the_terms(world: World, newcomer: MemberActor) -> None:
    message = await ask(world, newcomer, prompt="1girl", steps=99)
    assert "`steps` must be between" in message.content
    assert buttons(message) == []


async def test_a_long_prompt_comes_back_as_a_file(world: World, newcomer: MemberActor) -> None:
    message = await ask(world, newcomer, prompt="long, " * 330)
    [attachment] = message.attachments
    assert (await attachment.read()).decode().startswith("long, long,")
    await newcomer.click(message, label="Accept")
    await world.finish()
    assert (await world.last_job()).state == "delivered"


async def test_after_a_restart_the_command_is_to_be_sent_again(
    world: World, newcomer: MemberActor, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = await ask(world, newcomer, prompt="1girl, blue hair")
    for key in [*world.env.bot.waiting._entries]:  # pyright: ignore
        world.env.bot.waiting.take(newcomer.id, key)  # pyright: ignore
    jobs = len(await world.jobs())
    await newcomer.click(message, label="Accept")
    await world.finish()
    assert message.content.startswith("You have accepted the terms of use. Please send your command again.")
    assert "1girl, blue hair" in message.content
    assert (buttons(message), message.embeds) == ([], [])
    assert await acceptances(world, newcomer) == ["1"]
    assert len(await world.jobs()) == jobs


async def test_the_terms_changed_since_the_button_was_shown(
    world: World, newcomer: MemberActor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody accepts a text that they were not shown; the command waits on."""
    message = await ask(world, newcomer, prompt="1girl", seed="9")
    for module in (bot.safety.use_terms, cogs.accept):
        monkeypatch.setattr(module, "TERMS_VERSION", "2")
    result = await newcomer.click(message, label="Accept")
    assert result.response is not None
    assert await acceptances(world, newcomer) == []
    again = result.response
    assert again.ephemeral
    assert buttons(again) == ["Accept"]


@LOCALES
async def test_terms_can_be_read_and_accepted_without_a_command(
    world: World, newcomer: MemberActor, locale: str, accept: str
) -> None:
    with interactions_with(locale=locale):
        result = await newcomer.slash(world.channel, "terms")
        assert result.response is not None
        assert result.response.ephemeral
        assert buttons(result.response) == [accept]
        await newcomer.click(result.response, label=accept)
        assert is_japanese(result.response.content) == (locale == "ja")
        assert await acceptances(world, newcomer) == ["1"]
        again = await newcomer.slash(world.channel, "terms")
    assert again.response is not None
    assert buttons(again.response) == []
    assert "-license>" in str(again.response.embeds[0].description), "a link that ends where it should"
    assert is_japanese(again.response.content) == (locale == "ja")


async def test_a_refusal_for_the_terms_is_counted_for_the_admins(world: World, newcomer: MemberActor) -> None:
    await ask(world, newcomer, prompt="1girl")
    await world.service._reservations.settled()
    async with world.database.session() as session:
        codes = await session.scalars(select(RefusalRow.code).where(RefusalRow.user_id == newcomer.id))
        assert list(codes) == ["terms_not_accepted"]


@pytest.mark.parametrize("locale", ["en-US", "ja"])
async def test_the_licences_are_named(world: World, newcomer: MemberActor, locale: str) -> None:
    with interactions_with(locale=locale):
        result = await newcomer.slash(world.channel, "license")
    assert result.response is not None
    assert result.response.ephemeral
    [embed] = result.response.embeds
    text = str(embed.to_dict())
    assert "studio" in text
    assert is_japanese(text) == (locale == "ja")
    for name in (
        "TrinArt Derrida",
        "CreativeML Open RAIL-M",
        "Apache License 2.0",
        "discord.py",
        "diffusers",
    ):
        assert name in text
    assert len(embed) <= 6000
    assert all(len(str(field.value)) <= 1024 for field in embed.fields)
