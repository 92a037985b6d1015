"""`/host`: for the application's owner or team alone."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Iterator
from typing import Any

import discord
import pytest

from bot.i18n import translator
from bot.limits import EVERYWHERE
from cogs.host_render import Server, engine_text, servers_csv, servers_text
from engine.client import EngineStarting
from engine.protocol import EngineReady, EngineUnavailable, ModelCard
from tests.integration.simcord_admins import Office, allow, application_of, open_office, told
from tests.integration.simcord_world import buttons, interactions_with, is_japanese, open_world

MIKA = "Mika"
"""In place of a member, whom there is only with the world."""

COMMANDS: dict[str, dict[str, Any]] = {
    "host servers": {},
    "host suspend": {"server": "1"},
    "host resume": {},
    "host drain": {},
    "host announce": {"text": "hello"},
    "host engine": {},
    "host appeals": {},
    "host block": {"member": MIKA, "reason": "x"},
    "host unblock": {"member": MIKA},
    "host log": {},
}


@pytest.fixture(scope="module")
async def office(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Office]:
    """One bot and one engine for all tests of this file; Mika can see the command."""
    async with open_world(tmp_path_factory.mktemp("host")) as world:
        office = open_office(world)
        allow(office, "host", world.mika)
        yield office


@pytest.fixture
def host(office: Office) -> Iterator[None]:
    """Mika owns the application meanwhile."""
    with application_of(office.world.mika):
        yield


async def do(office: Office, command: str, *, locale: str = "en-US", **options: Any) -> str:
    """Mika uses a command; what she is told."""
    with interactions_with(locale=locale):
        return told(await office.ask(command, by=office.world.mika, **options))


async def host_log(office: Office, guild_id: int = EVERYWHERE) -> list[tuple[str, Any, Any]]:
    return [(row.action, row.before, row.after) for row in await office.audit(guild_id)]


# --- who may ---


@pytest.mark.parametrize("locale", ["en-US", "ja"])
@pytest.mark.parametrize("command", COMMANDS)
async def test_others_are_refused(office: Office, command: str, locale: str) -> None:
    """The owner of the server and an override in Integrations make nobody the host."""
    messages = len(office.world.channel.history())
    options = {
        name: office.world.mika if value is MIKA else value for name, value in COMMANDS[command].items()
    }
    with application_of(office.world.ren):
        text = await do(office, command, locale=locale, **options)
    assert is_japanese(text) == (locale == "ja")
    assert locale == "ja" or text == "Only the host of this bot can do this. Nothing was changed."
    assert not office.world.service.paused
    assert await host_log(office) == []
    assert len(office.world.channel.history()) == messages


@pytest.mark.parametrize(
    ("role", "may"), [("admin", True), ("developer", True), ("read_only", False), ("invited", False)]
)
async def test_the_team(office: Office, role: str, may: bool) -> None:
    world = office.world
    with application_of(world.ren, team={world.ren: "admin", world.mika: role}):
        text = await do(office, "host engine")
    assert text.startswith("Only the host") != may


async def test_who_leaves_the_team_is_no_host_any_more(office: Office) -> None:
    world = office.world
    with application_of(world.ren, team={world.ren: "admin", world.mika: "admin"}):
        assert not (await do(office, "host engine")).startswith("Only the host")
    with application_of(world.ren, team={world.ren: "admin"}):
        assert (await do(office, "host engine")).startswith("Only the host")


# --- servers ---


@pytest.mark.usefixtures("host")
async def test_the_servers(office: Office) -> None:
    world = office.world
    await world.draw(prompt="1girl", images=2)
    lines = (await do(office, "host servers")).splitlines()
    assert lines[0] == "**Servers: 1**"
    assert lines[1].startswith(f"TrinArt `{world.guild.id}`: ")
    assert lines[1].endswith(", pictures in 30 days: 2")
    assert is_japanese(await do(office, "host servers", locale="ja"))


async def test_many_servers_are_in_a_file() -> None:
    servers = [
        Server(id=number, name="=cmd" if number else "*first*", members=2, pictures=0, suspended=number == 1)
        for number in range(30)
    ]
    lines = servers_text(servers, translator("en-US")).splitlines()
    assert len(lines) == 22
    assert lines[1].startswith("\\*first\\* `0`")
    assert lines[2].startswith("⏸ =cmd `1`")
    rows = list(csv.DictReader(io.StringIO(servers_csv(servers).decode("utf-8-sig"))))
    assert len(rows) == 30
    assert rows[1] == {
        "id": "1",
        "name": "'=cmd",
        "members": "2",
        "pictures_30_days": "0",
        "suspended": "1",
    }


@pytest.mark.usefixtures("host")
async def test_a_server_is_switched_off_and_on(office: Office) -> None:
    world = office.world
    here = str(world.guild.id)
    assert "Switched off by the host" in await do(office, "host suspend", server=here)
    assert "host of this bot has switched it off" in (await world.draw(prompt="1girl")).content
    await office.do("admin limits", enabled=True)
    assert "bot switched on: switched off by the host" in await office.do("admin limits")
    assert "host of this bot has switched it off" in (await world.draw(prompt="1girl")).content
    assert "Nothing changed" in await do(office, "host suspend", server=f" {here} ")
    assert "Switched on again" in await do(office, "host resume", server=here)
    assert (await world.draw(prompt="1girl")).attachments
    changes = await host_log(office, world.guild.id)
    assert changes == [
        ("host.suspend", {"suspended": False}, {"suspended": True}),
        ("host.resume", {"suspended": True}, {"suspended": False}),
    ]
    assert "Switched on again by the host" in await office.do("admin log"), "its admins can see it"


@pytest.mark.usefixtures("host")
@pytest.mark.parametrize("server", ["1", "TrinArt", "", "１２", "9" * 40])
async def test_a_server_that_is_none(office: Office, server: str) -> None:
    assert "The bot is in no server with the ID" in await do(office, "host suspend", server=server)
    assert is_japanese(await do(office, "host resume", locale="ja", server=server))


# --- maintenance ---


@pytest.mark.usefixtures("host")
async def test_a_drain_takes_nothing_new_until_it_is_ended(office: Office) -> None:
    world = office.world
    text = await do(office, "host drain")
    assert text.splitlines() == [
        "✅ **Drain by the host**",
        "taking requests: yes → no",
        "Jobs that are not done: 0",
    ]
    jobs = len(await world.jobs())
    assert "paused the bot for maintenance" in (await world.draw(prompt="1girl")).content
    with interactions_with(locale="ja"):
        assert is_japanese((await world.draw(prompt="1girl")).content)
    assert len(await world.jobs()) == jobs
    assert "No new requests are taken." in await do(office, "host engine")
    assert "Nothing changed" in await do(office, "host drain")
    assert "taking requests: no → yes" in await do(office, "host resume")
    assert (await world.draw(prompt="1girl")).attachments
    assert await host_log(office) == [
        ("host.drain", {"taking": True}, {"taking": False}),
        ("host.drain", {"taking": False}, {"taking": True}),
    ]


@pytest.mark.usefixtures("host")
async def test_the_engine(office: Office) -> None:
    card = office.world.service.model_card()
    assert (await do(office, "host engine")).splitlines() == [
        f"**studio** `{card.hash}`",
        "Drawing: cpu",
        "Starting: —",
        "waiting: 0",
        "being drawn: 0",
        "on their way to Discord: 0",
    ]
    assert is_japanese(await do(office, "host engine", locale="ja"))


async def test_an_engine_that_cannot_draw() -> None:
    t = translator("en-US")
    card = ModelCard(name="any", sizes={"square": (64, 64)})
    some = EngineReady(card, [], starting=["cuda:0"], given_up={"cuda:1": "no memory"})
    lines = engine_text(some, {"queued": 3}, t, paused=False).splitlines()
    assert lines[1:] == ["Drawing: —", "Starting: cuda:0", "Given up: cuda:1 (no memory)", "waiting: 3"]
    assert "cannot draw: broken" in engine_text(EngineUnavailable("broken"), {}, t, paused=False)
    assert engine_text(EngineStarting(), {}, t, paused=False) == "The engine is starting."


# --- people ---


@pytest.mark.usefixtures("host")
async def test_somebody_is_blocked_everywhere_until_the_host_lifts_it(office: Office) -> None:
    world = office.world
    text = await do(office, "host block", member=world.ren, reason="spam")
    assert text.startswith(f"✅ **Member blocked** · <@{world.ren.id}>")
    refused = await world.answer_to(await world.ren.slash(world.channel, "trinart", prompt="1girl"))
    assert "The host of this bot has blocked you everywhere: spam" in refused.content
    assert "Nothing changed" in await office.do("admin unblock", member=world.ren)
    assert "Block lifted" in await do(office, "host unblock", member=world.ren)
    drawn = await world.answer_to(await world.ren.slash(world.channel, "trinart", prompt="1girl"))
    assert drawn.attachments
    assert [action for action, _, _ in (await host_log(office))[-2:]] == ["block", "unblock"]


@pytest.mark.usefixtures("host")
async def test_the_hosts_own_log_and_its_pages(office: Office) -> None:
    world = office.world
    for _ in range(5):
        await do(office, "host block", member=world.ren, reason="spam")
        await do(office, "host unblock", member=world.ren)
    result = await office.ask("host log", by=world.mika)
    first_page = result.response
    assert first_page is not None
    assert f"**Member blocked** · <@{world.ren.id}>" in told(result)
    assert "Switched off" not in told(result), "that is in the log of the server"
    assert buttons(first_page) == ["Older"]
    with application_of(world.ren):
        refused = await world.mika.click(first_page, label="Older")
    [answer] = refused.followups
    assert "Only the host" in answer.content
    await world.mika.click(first_page, label="Older")
    assert "Newer" in buttons(first_page)


# --- announcements ---


@pytest.mark.usefixtures("host")
async def test_an_announcement_goes_where_servers_want_it(office: Office) -> None:
    world = office.world
    results = world.guild.create_text_channel("results")
    await office.do("admin settings", result_channel=results, language="ja")
    other = world.env.create_guild("Second", preferred_locale="en-US")
    system = other.create_text_channel("general")
    world.env.backend.edit_guild(other.id, {"system_channel_id": str(system.id)})
    mute = world.env.create_guild("Third")
    silent = discord.PermissionOverwrite(send_messages=False)
    mute.create_text_channel("closed", overwrites={mute.default_role: silent})
    await world.env.settle()

    text = await do(office, "host announce", text="@everyone  new **model** <@1>")
    assert text == "Posted in 2 of 3 servers."
    [here] = results.history()
    assert here.content == "📣 **ボット運営者からのお知らせ**\n@everyone new **model** <@1>"
    [there] = system.history()
    assert there.content.startswith("📣 **From the host of this bot**\n@everyone")
    assert not there.mention_everyone
    sent = [entry for entry in world.env.http_requests if entry.path.endswith(f"/{system.id}/messages")]
    assert [entry.json["allowed_mentions"] for entry in sent if entry.json] == [{"parse": []}]
    last = (await host_log(office))[-1]
    assert last == ("host.announce", None, {"text": "@everyone new **model** <@1>", "servers": 3})


@pytest.mark.usefixtures("host")
@pytest.mark.parametrize(
    ("text", "says"), [("  ", "`text` is empty"), ("x" * 1501, "`text` has 1501 characters")]
)
async def test_what_cannot_be_announced(office: Office, text: str, says: str) -> None:
    assert says in await do(office, "host announce", text=text)
    assert is_japanese(await do(office, "host announce", locale="ja", text=text))
