"""The gateway: the websocket over which Discord tells a bot what happens.

A session outlives its connection. Every event gets a sequence number and is kept, so that a bot that
lost its connection can RESUME with the last number it saw and miss nothing, which is the promise that
the tests want to see kept.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import zstandard
from aiohttp import ClientConnectionResetError, WSMsgType, web

from .payloads import ALL_PERMISSIONS, JSON, member, now_iso
from .world import World

DISPATCH, HEARTBEAT, IDENTIFY, RESUME = 0, 1, 2, 6
RECONNECT, INVALID_SESSION, HELLO, HEARTBEAT_ACK = 7, 9, 10, 11
NOT_AUTHENTICATED, AUTHENTICATION_FAILED = 4003, 4004
HEARTBEAT_INTERVAL_MS = 41_250
GUILDS_INTENT = 1

Encoder: TypeAlias = Callable[[bytes], bytes]
DropKind: TypeAlias = Literal["abort", "close", "reconnect", "invalidate"]


def stream_encoder(compression: str | None) -> Encoder | None:
    """A compressor whose state lasts as long as the connection; each message ends at a flush."""
    if compression == "zlib-stream":
        deflate = zlib.compressobj()
        return lambda data: deflate.compress(data) + deflate.flush(zlib.Z_SYNC_FLUSH)
    if compression == "zstd-stream":
        frame = zstandard.ZstdCompressor().compressobj()
        return lambda data: frame.compress(data) + frame.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
    return None


class Connection:
    """One websocket, with the compression that its address asked for."""

    def __init__(self, socket: web.WebSocketResponse, request: web.Request) -> None:
        self.socket = socket
        self.request = request
        self.compression = request.query.get("compress")
        self.session: Session | None = None
        self._encode = stream_encoder(self.compression)
        self._sending = asyncio.Lock()

    async def send(
        self, op: int, data: Any = None, *, seq: int | None = None, event: str | None = None
    ) -> None:
        """Send one payload; a connection that is gone swallows it, as a broken line would."""
        text = json.dumps({"op": op, "d": data, "s": seq, "t": event})
        async with self._sending:
            try:
                if self._encode is None:
                    await self.socket.send_str(text)
                else:
                    await self.socket.send_bytes(self._encode(text.encode()))
            except ClientConnectionResetError:
                pass

    def abort(self) -> None:
        """Cut the line without a word."""
        if self.request.transport is not None:
            self.request.transport.abort()


@dataclass
class Session:
    """What the gateway remembers of a bot between its connections."""

    id: str = field(default_factory=lambda: secrets.token_hex(16))
    events: list[tuple[str, JSON]] = field(default_factory=list)
    """Every event sent or to be sent; an event's sequence number is its place here, from 1."""
    connection: Connection | None = None
    shard: tuple[int, int] = (0, 1)
    """Which of how many: a guild's events go to one of them."""
    hears_of_guilds: bool = False
    """Whether the bot asked for the events of guilds themselves."""

    def hears_of(self, guild_id: str | None) -> bool:
        """Whether this shard gets the events of a guild; direct messages are the first one's."""
        number, count = self.shard
        return (int(guild_id) >> 22) % count == number if guild_id else number == 0


class Gateway:
    """Accepts the bots' websockets and keeps a session for each shard."""

    def __init__(self, world: World, url: str) -> None:
        self.world = world
        self.url = url
        self.sessions: dict[int, Session] = {}
        self.connections: set[Connection] = set()
        self.identify_payloads: list[JSON] = []
        self.compressions: list[str | None] = []
        self.resumes = 0
        self.has_outage = False
        """Whether guilds are unavailable to a bot that connects: no GUILD_CREATE follows READY."""

    def reaches(self, guild_id: str | None) -> bool:
        """Whether a bot is listening that hears of this guild; without one, of direct messages."""
        session = self._session_for(guild_id)
        return session is not None and session.connection is not None

    def _session_for(self, guild_id: str | None) -> Session | None:
        hearing = [session for session in self.sessions.values() if session.hears_of(guild_id)]
        return hearing[0] if hearing else None

    async def handle(self, request: web.Request) -> web.WebSocketResponse:
        """Serve one websocket until either side ends it."""
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        connection = Connection(socket, request)
        self.connections.add(connection)
        self.compressions.append(connection.compression)
        try:
            await connection.send(HELLO, {"heartbeat_interval": HEARTBEAT_INTERVAL_MS})
            async for received in socket:
                if received.type is WSMsgType.TEXT:
                    await self._receive(connection, json.loads(received.data))
        finally:
            self.connections.discard(connection)
            if connection.session is not None and connection.session.connection is connection:
                connection.session.connection = None
            self.world.pulse.fire()
        return socket

    async def dispatch(self, event: str, data: JSON) -> None:
        """Send an event, or keep it for the RESUME when the bot is away."""
        session = self._session_for(data.get("guild_id"))
        if session is None:
            raise RuntimeError("no bot has identified itself yet")
        await self._send(session, event, data)

    async def _send(self, session: Session, event: str, data: JSON) -> None:
        session.events.append((event, data))
        if session.connection is not None:
            await session.connection.send(DISPATCH, data, seq=len(session.events), event=event)

    async def drop(self, *, resumable: bool, how: DropKind, code: int = 4000) -> None:
        """End the first shard's connection in one of the ways in which Discord does."""
        session = self.sessions.get(0)
        if session is None or session.connection is None:
            raise RuntimeError("no bot is connected")
        connection, session.connection = session.connection, None
        if how == "invalidate" or not resumable:
            del self.sessions[0]
        if how == "abort":
            connection.abort()
        elif how == "close":
            await connection.socket.close(code=code, message=b"Unknown error")
        elif how == "reconnect":
            await connection.send(RECONNECT)
        else:
            await connection.send(INVALID_SESSION, False)

    def stop(self) -> None:
        """Cut every line."""
        for connection in self.connections:
            connection.abort()

    async def _receive(self, connection: Connection, payload: JSON) -> None:
        op, data = payload["op"], payload["d"]
        if op == HEARTBEAT:
            await connection.send(HEARTBEAT_ACK)
        elif op == IDENTIFY:
            await self._identify(connection, data)
        elif op == RESUME:
            await self._resume(connection, data)
        elif connection.session is None:
            await connection.socket.close(code=NOT_AUTHENTICATED, message=b"Not authenticated.")

    async def _identify(self, connection: Connection, data: JSON) -> None:
        self.identify_payloads.append(data)
        if data["token"] != self.world.token:
            await connection.socket.close(code=AUTHENTICATION_FAILED, message=b"Authentication failed.")
            return
        number, count = data.get("shard", (0, 1))
        session = connection.session = Session(connection=connection, shard=(number, count))
        self.sessions[number] = session
        session.hears_of_guilds = bool(data.get("intents", 0) & GUILDS_INTENT)
        await self._send(session, "READY", self._ready(session))
        if not self.has_outage:
            await self._send_guilds(session)
        self.world.pulse.fire()

    async def end_outage(self) -> None:
        """Tell each bot of its guilds."""
        self.has_outage = False
        for session in self.sessions.values():
            await self._send_guilds(session)

    async def _send_guilds(self, session: Session) -> None:
        if session.hears_of_guilds:
            for guild in self._guilds_of(session):
                await self._send(session, "GUILD_CREATE", self._guild_create(guild))

    async def _resume(self, connection: Connection, data: JSON) -> None:
        """Send again all that came after the bot's last sequence number, then RESUMED."""
        known = {session.id: session for session in self.sessions.values()}
        session = known.get(data["session_id"])
        if session is None or data["token"] != self.world.token:
            await connection.send(INVALID_SESSION, False)
            return
        self.resumes += 1
        connection.session = session
        seq: int = data["seq"] or 0
        while seq < len(session.events):
            event, missed = session.events[seq]
            seq += 1
            await connection.send(DISPATCH, missed, seq=seq, event=event)
        session.connection = connection
        await self._send(session, "RESUMED", {})
        self.world.pulse.fire()

    def _guilds_of(self, session: Session) -> list[JSON]:
        return [guild for guild in self.world.guilds.values() if session.hears_of(guild["id"])]

    def _ready(self, session: Session) -> JSON:
        return {
            "v": 10,
            "user": self.world.bot,
            "session_id": session.id,
            "session_type": "normal",
            "resume_gateway_url": self.url,
            "guilds": [{"id": guild["id"], "unavailable": True} for guild in self._guilds_of(session)],
            "shard": list(session.shard),
            "private_channels": [],
            "application": {"id": self.world.app_id, "flags": 0},
        }

    def _guild_create(self, guild: JSON) -> JSON:
        return {
            **guild,
            "unavailable": False,
            "joined_at": now_iso(),
            "large": False,
            "members": [member(self.world.bot, permissions=ALL_PERMISSIONS)],
            "presences": [],
            "voice_states": [],
            "stage_instances": [],
            "guild_scheduled_events": [],
        }
