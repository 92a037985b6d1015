"""Who may use `/admin`, the log of what they did, and the commands as Discord gets them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import discord
import pytest
import simcord
from simcord.backend.errors import SetupError
from sqlalchemy import delete, update
from sqlalchemy.exc import DatabaseError

from bot.database.models import AuditRow
from cogs.admin_answer import BUTTON_TIME
from tests.integration.simcord_admins import (
    Office,
    allow,
    as_member,
    from_this_server,
    open_office,
    told,
)
from tests.integration.simcord_world import buttons, interactions_with, is_japanese, open_world


@pytest.fixture(scope="module")
async def office(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Office]:
    """One bot and one engine for all tests of this file."""
    async with open_world(tmp_path_factory.mktemp("permissions")) as world:
        yield open_office(world)


# --- the commands ---


@pytest.fixture(params=["admin", "host"])
def command(office: Office, request: pytest.FixtureRequest) -> dict[str, Any]:
    """What the bot registered with Discord."""
    [request_] = [entry for entry in office.world.env.http_requests if entry.method == "PUT"]
    assert request_.json is not None
    [command] = [command for command in request_.json if command["name"] == request.param]
    return command


def parts(command: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A command, its subcommands and their options."""
    yield command
    for option in command.get("options", []):
        yield from parts(option)


def in_language(part: dict[str, Any], what: str, language: str) -> str:
    return part[what] if language == "en" else part[f"{what}_localizations"][language]


async def test_only_those_who_manage_the_server_are_offered_them(command: dict[str, Any]) -> None:
    needed = {"admin": discord.Permissions(manage_guild=True), "host": discord.Permissions.none()}
    assert int(command["default_member_permissions"]) == needed[command["name"]].value
    assert command["integration_types"] == [0], "a member cannot bring them along"
    assert command["contexts"] == [0], "only in servers"


@pytest.mark.parametrize("language", ["en", "ja"])
async def test_the_commands_keep_discords_limits(command: dict[str, Any], language: str) -> None:
    """https://discord.com/developers/docs/interactions/application-commands"""
    total = 0
    for part in parts(command):
        name = in_language(part, "name", language)
        assert 1 <= len(name) <= 32
        assert all(letter.isalnum() or letter in "-_'ー" for letter in name)
        assert name == name.lower()
        description = in_language(part, "description", language)
        assert 1 <= len(description) <= 100
        options = [in_language(option, "name", language) for option in part.get("options", [])]
        assert len(set(options)) == len(options) <= 25
        choices = [
            choice.get("name_localizations", {}).get(language, choice["name"])
            for choice in part.get("choices", [])
        ]
        assert len(set(choices)) == len(choices) <= 25
        assert all(1 <= len(choice) <= 100 for choice in choices)
        total += len(name) + len(description) + sum(map(len, choices))
    assert total <= 8000


# --- who may ---


async def test_discord_offers_it_to_nobody_else(office: Office) -> None:
    with pytest.raises(SetupError, match="admin"):
        await office.world.ren.slash(office.world.channel, "admin limits")
    assert "admin limits" in office.commands_of(office.boss)
    assert not [name for name in office.commands_of(office.world.ren) if name.startswith("admin")]


async def test_who_got_the_command_by_an_override_may_use_it(office: Office) -> None:
    """Discord has checked the override; Manage Server is not asked for again."""
    world = office.world
    allow(office, "admin", world.mika)
    with interactions_with(**from_this_server(office)):
        result = await office.ask("admin quota set", by=world.mika, window="day", amount=3)
    assert "Quota set" in told(result)
    assert (await office.audit())[-1].actor_id == world.mika.id


@pytest.mark.parametrize("locale", ["en-US", "ja"])
@pytest.mark.parametrize(
    "came",
    [
        {},
        {"authorizing_integration_owners": {"0": "1"}},
        {"authorizing_integration_owners": {"1": "user"}},
    ],
    ids=["no word of an installation", "another server's", "a member's own"],
)
async def test_what_discord_did_not_check_is_refused(
    office: Office, came: dict[str, Any], locale: str
) -> None:
    """Nothing is shown and nothing changed without Manage Server, however the command got here."""
    world = office.world
    allow(office, "admin", world.mika)
    if came.get("authorizing_integration_owners") == {"1": "user"}:
        came = {"authorizing_integration_owners": {"1": str(world.mika.id)}}
    changes = len(await office.audit())
    for command, options in {
        "admin quota set": {"window": "day", "amount": 3},
        "admin limits": {},
        "admin block": {"member": world.ren, "reason": "no"},
        "admin usage": {},
        "admin log": {},
        "admin quota export": {},
    }.items():
        with interactions_with(locale=locale, **came):
            text = told(await office.ask(command, by=world.mika, **options))
        assert is_japanese(text) == (locale == "ja")
        assert locale == "ja" or text.startswith("This needs the permission Manage Server")
    assert len(await office.audit()) == changes


async def test_a_members_own_installation_is_not_trusted_even_of_an_admin(office: Office) -> None:
    owners = {"1": str(office.boss.id)}
    with interactions_with(authorizing_integration_owners=owners):
        assert "Manage Server" in told(await office.ask("admin limits"))


async def test_not_in_private_messages(office: Office) -> None:
    with pytest.raises(SetupError):
        await office.boss.user.slash("admin limits")


# --- the log ---


async def test_the_log_can_only_be_added_to(office: Office) -> None:
    await office.do("admin limits", at_once=4)
    for statement in (update(AuditRow).values(actor_id=1), delete(AuditRow)):
        with pytest.raises(DatabaseError, match="append-only"):
            async with office.world.database.session() as session:
                await session.execute(statement)


async def test_who_changed_what(office: Office) -> None:
    await office.do("admin limits", rate="7/min")
    await office.do("admin settings", timezone="Asia/Tokyo")
    newest, facts, before, older_facts = (await office.do("admin log")).splitlines()[:4]
    assert newest.endswith(f"<@{office.boss.id}> **Settings changed**")
    assert facts == "-# time zone: UTC → Asia/Tokyo"
    assert before.endswith("**Limits changed**")
    assert older_facts == "-# requests of a member: — → 7 in 60 s"
    assert is_japanese(await office.do("admin log", locale="ja"))


@pytest.fixture
async def first_page(office: Office) -> simcord.ResponseMessage:
    """The log with more than two pages in it."""
    for number in range(20):
        await office.do("admin limits", at_once=100 + number)
    result = await office.ask("admin log")
    assert result.response is not None
    return result.response


async def test_pages_of_the_log(office: Office, first_page: simcord.ResponseMessage) -> None:
    def text() -> str:
        [embed] = first_page.embeds
        return embed.description or ""

    newest = text()
    assert "118 → 119" in newest
    assert buttons(first_page) == ["Older"]
    await office.do("admin limits", at_once=500)
    await office.boss.click(first_page, label="Older")
    assert "110 → 111" in text(), "pages stay the same while the log grows"
    assert buttons(first_page) == ["Newer", "Older"]
    with interactions_with(locale="ja"):
        await office.boss.click(first_page, label="Newer")
    assert is_japanese(text())
    await office.boss.click(first_page, label="古い方へ")
    await office.boss.click(first_page, label="Newer")
    assert text() == newest


async def test_somebody_else_cannot_turn_the_pages(
    office: Office, first_page: simcord.ResponseMessage
) -> None:
    """Discord checks no permission for buttons."""
    before = first_page.embeds
    for locale in ("en-US", "ja"):
        with interactions_with(locale=locale, **as_member(office, office.world.ren)):
            result = await office.boss.click(first_page, label="Older")
        assert result.response is not None
        assert result.response.ephemeral
        assert is_japanese(result.response.content) == (locale == "ja")
    assert first_page.embeds == before


async def test_who_lost_the_permission_can_turn_pages_for_a_while_only(
    office: Office, first_page: simcord.ResponseMessage
) -> None:
    me = as_member(office, office.boss)["member"]
    powerless = {"member": me | {"permissions": "0"}}
    with interactions_with(**powerless):
        await office.boss.click(first_page, label="Older")
    assert buttons(first_page) == ["Newer", "Older"]
    office.world.env.backend.advance_clock(BUTTON_TIME.total_seconds())
    with interactions_with(**powerless):
        result = await office.boss.click(first_page, label="Older")
    assert result.response is not None
    assert result.response.content.startswith("Only who asked for this list")
    await office.boss.click(first_page, label="Older")
    assert buttons(first_page) == ["Newer", "Older"], "with Manage Server there is no such limit"
