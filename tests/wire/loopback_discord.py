"""A small Discord on this machine's loopback, for tests of a bot that runs as a process of its own.

    async with LoopbackDiscord() as server:
        process = await start_bot(env=server.env())
        await server.commands_synced("trinart")
        interaction = await server.slash("trinart", {"prompt": "a lighthouse"}, locale="ja")
        await interaction.wait(lambda i: i.message is not None and i.message["attachments"])

The bot talks to it over real sockets with the library it has in production. That shows what no
simulator inside the process can: multipart uploads, retries after 429 and 5xx, RESUME, expired tokens.
"""

from __future__ import annotations

import copy
import socket
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, Self, Unpack

from aiohttp import web

from . import people
from .answers import InteractionRoutes
from .gateway import DropKind, Gateway
from .handles import EPHEMERAL, Interaction, StoredFile
from .payloads import JSON, guild, thread
from .people import ClickWhere, Where
from .rest import API_PREFIX, Fault, FaultDetails, Hold, RecordedRequest, Rest
from .routes import BotRoutes
from .routing import RouteTable
from .world import World, guess_type

COMMAND, COMPONENT, AUTOCOMPLETE, MODAL_SUBMIT = 2, 3, 4, 5
MAX_BODY = 128 * 1024 * 1024


class LoopbackDiscord:
    """The server, and the hands of the people who use the bot through it."""

    def __init__(
        self,
        token: str = "loopback.bot.token",
        guilds: Iterable[JSON] | None = None,
        *,
        callback_window: float = 3.0,
    ) -> None:
        self.world = World(token, list(guilds) if guilds is not None else [guild()])
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._socket.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self.url = f"http://{host}{API_PREFIX}"
        self.gateway_url = f"ws://{host}/gateway"
        self.world.files_url = f"http://{host}/attachments"
        self._gateway = Gateway(self.world, self.gateway_url)
        table = RouteTable()
        BotRoutes(self.world, table, self.gateway_url)
        InteractionRoutes(self.world, table, callback_window)
        self._rest = Rest(self.world, table)
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=MAX_BODY)
        app.router.add_get("/gateway", self._gateway.handle)
        app.router.add_get("/attachments/{channel}/{id}/{name}", self._serve_file)
        app.router.add_route("*", API_PREFIX + "/{tail:.*}", self._rest.handle)
        self._runner = web.AppRunner(app, shutdown_timeout=1.0, access_log=None)
        await self._runner.setup()
        await web.SockSite(self._runner, self._socket).start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._gateway.stop()
        if self._runner is not None:
            await self._runner.cleanup()
        self._socket.close()

    def env(self) -> dict[str, str]:
        """The environment that points a bot process at this server."""
        return {
            "DISCORD_TOKEN": self.world.token,
            "TRINART_DISCORD_API_URL": self.url,
            "TRINART_DISCORD_GATEWAY_URL": self.gateway_url,
        }

    # What happened so far

    @property
    def requests(self) -> list[RecordedRequest]:
        """Every API request, oldest first."""
        return self._rest.requests

    @property
    def unexpected(self) -> list[str]:
        """Requests that the server knows no answer to; a test ends by seeing that there are none."""
        return self._rest.unexpected

    @property
    def identifies(self) -> int:
        """How many times a bot began a session of its own."""
        return len(self._gateway.identify_payloads)

    @property
    def identify_payloads(self) -> list[JSON]:
        """What each IDENTIFY said: intents, shard, properties."""
        return self._gateway.identify_payloads

    @property
    def resumes(self) -> int:
        """How many times a bot took a session up again."""
        return self._gateway.resumes

    @property
    def compressions(self) -> list[str | None]:
        """The transport compression that each gateway connection asked for."""
        return self._gateway.compressions

    def messages(self, channel_id: str, *, include_ephemeral: bool = False) -> list[JSON]:
        """The messages that stand in a channel: those all can see, or the ephemeral ones as well."""
        there = [m for m in self.world.messages.values() if m["channel_id"] == channel_id]
        return [m for m in there if include_ephemeral or not m["flags"] & EPHEMERAL]

    def file(self, attachment: JSON) -> StoredFile:
        """The uploaded file behind a message's attachment: its bytes, its name, its alt text."""
        return self.world.files[attachment["id"]]

    # Waiting

    async def connected(self, timeout: float = 10.0, *, guild_id: str | None = None) -> None:
        """Return once a bot listens, on the shard that hears of this guild or else of direct messages."""
        await self.world.pulse.until(lambda: self._gateway.reaches(guild_id), timeout, "the bot's connection")

    async def commands_synced(
        self, *names: str, guild_id: str | None = None, timeout: float = 10.0
    ) -> list[JSON]:
        """Return the registered commands once all of ``names`` are among them and the bot listens."""

        def synced() -> bool:
            known = {c["name"] for c in self.world.commands.get(guild_id, {}).values()}
            return known.issuperset(names) and self._gateway.reaches(guild_id)

        await self.world.pulse.until(synced, timeout, f"the commands {names}")
        return list(self.world.commands.get(guild_id, {}).values())

    async def requested(
        self, method: str, pattern: str, *, count: int = 1, timeout: float = 5.0
    ) -> RecordedRequest:
        """Return the ``count``-th request that fits ``method`` and ``pattern`` once it was answered."""

        def fitting() -> list[RecordedRequest]:
            return [r for r in self.requests if r.status is not None and r.fits(method, pattern)]

        await self.world.pulse.until(
            lambda: len(fitting()) >= count, timeout, f"{method} {pattern} (number {count})"
        )
        return fitting()[count - 1]

    # Breaking things

    def fail_next(
        self,
        method: str,
        path_pattern: str,
        status: int | None = 503,
        **details: Unpack[FaultDetails],
    ) -> None:
        """Answer the next fitting requests with ``status``, or cut the connection for ``None``.

        ``path_pattern`` is a shell-style pattern for the path below ``/api/v10``.
        """
        self._rest.faults.append(Fault(method, path_pattern, status, **details))

    def hold_next(self, method: str, path_pattern: str, *, uploads_only: bool = False) -> Hold:
        """Let the next fitting request wait, as in a Discord that is slow, until the test lets it go."""
        self._rest.holds.append(hold := Hold(method, path_pattern, uploads_only))
        return hold

    async def drop_gateway(
        self, *, resumable: bool = True, how: DropKind = "abort", code: int = 4000
    ) -> None:
        """End the bot's gateway connection: cut, closed with ``code``, by op 7 ("reconnect") or by op 9
        ("invalidate")."""
        await self._gateway.drop(resumable=resumable, how=how, code=code)

    def begin_outage(self) -> None:
        """From now on a bot that connects finds its guilds unavailable, as in a Discord outage.

        READY names them without their channels and roles, and GUILD_CREATE comes at the outage's end. What
        people do there reaches the bot all the same.
        """
        self._gateway.has_outage = True

    async def end_outage(self) -> None:
        """Make the guilds available to all bots that are connected."""
        await self._gateway.end_outage()

    async def dispatch(self, event: str, data: JSON) -> None:
        """Send the bot any gateway event."""
        await self._gateway.dispatch(event, data)

    # What people do

    async def slash(
        self,
        name: str,
        options: Mapping[str, Any] | None = None,
        *,
        repeat_of: Interaction | None = None,
        **where: Unpack[Where],
    ) -> Interaction:
        """Run a slash command, with its options typed as the bot registered them.

        ``repeat_of`` delivers that interaction once more, id and token included, as Discord may.
        """
        if repeat_of is not None:
            return await self._send(repeat_of)
        place = people.find_place(self.world, where)
        data = people.command_data(self.world, name, options or {}, place.guild_id)
        return await self._send(people.begin(self.world, COMMAND, data, where))

    async def autocomplete(
        self, name: str, options: Mapping[str, Any], focused: str, **where: Unpack[Where]
    ) -> Interaction:
        """Type into the option ``focused``; the bot's suggestions become the handle's ``choices``."""
        place = people.find_place(self.world, where)
        data = people.command_data(self.world, name, options, place.guild_id, focused)
        return await self._send(people.begin(self.world, AUTOCOMPLETE, data, where))

    async def click(
        self,
        message: JSON,
        custom_id: str,
        user: JSON | None = None,
        *,
        values: list[str] | None = None,
        **where: Unpack[ClickWhere],
    ) -> Interaction:
        """Use a button of a message, or with ``values`` a select menu."""
        data = people.component_data(message, custom_id, values)
        full: Where = {"user": user or self.world.default_user, **where}
        if "channel" not in full and message["channel_id"] in self.world.channels:
            full["channel"] = self.world.channels[message["channel_id"]]
        shown = copy.deepcopy(message)
        return await self._send(people.begin(self.world, COMPONENT, data, full, {"message": shown}))

    async def submit(
        self, opened: Interaction, values: Mapping[str, str], **where: Unpack[Where]
    ) -> Interaction:
        """Fill in and send the modal that the bot answered ``opened`` with."""
        if opened.modal is None:
            raise ValueError("the bot answered with no modal")
        data = people.modal_data(opened.modal, values)
        extra: JSON = {"message": opened.payload["message"]} if "message" in opened.payload else {}
        return await self._send(people.begin(self.world, MODAL_SUBMIT, data, where, extra))

    async def _send(self, interaction: Interaction) -> Interaction:
        await self.dispatch("INTERACTION_CREATE", interaction.payload)
        return interaction

    # Places

    @property
    def guild(self) -> JSON:
        """The first guild."""
        return next(iter(self.world.guilds.values()))

    @property
    def channel(self) -> JSON:
        """The first guild's first channel."""
        return self.guild["channels"][0]

    def dm(self, user: JSON | None = None) -> JSON:
        """The bot's private channel with a user."""
        who = user or self.world.default_user
        self.world.users.setdefault(who["id"], who)
        return self.world.dm_with(who["id"])

    def open_thread(self, parent: JSON | None = None, name: str = "a-thread") -> JSON:
        """A new thread under a channel, which the bot can see and write in."""
        made = thread(parent or self.channel, name)
        self.world.channels[made["id"]] = made
        return made

    async def _serve_file(self, request: web.Request) -> web.Response:
        """What Discord's file host does: give an attachment's bytes to anyone who knows the address."""
        stored = self.world.files.get(request.match_info["id"])
        if stored is None:
            raise web.HTTPNotFound
        return web.Response(body=stored.data, content_type=guess_type(stored.filename, stored.content_type))
