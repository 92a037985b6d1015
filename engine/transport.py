"""Framed msgpack over an inherited socket: how the three processes talk.

A frame is a 4-byte big-endian length and that many bytes of msgpack. The socket is a private file
descriptor, not stdin or stdout, so a library that prints cannot corrupt the stream; and both ends see
at once when the other process dies, because nobody else holds the descriptor.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Sequence
from typing import Any, Generic, Self, TypeVar

import msgspec

MAX_FRAME = 256 * 1024 * 1024
"""Bytes. Four large pictures are 40 MB; a longer length means that the stream is garbage."""

Incoming = TypeVar("Incoming")
Outgoing = TypeVar("Outgoing", bound=msgspec.Struct)


SECRETS = ("DISCORD_TOKEN", "TRINART_DATABASE_URL")
"""Environment variables of the bot that no child needs to know."""


class FrameError(Exception):
    """The peer sent something that is not a message; the connection cannot be trusted any further."""


class Channel(Generic[Incoming, Outgoing]):
    """One end of a connection: iterate over it to receive, `send` to send.

    `incoming` is the union of message types that may arrive; anything else raises `FrameError`.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, incoming: Any) -> None:
        self._reader = reader
        self._writer = writer
        self._decoder: msgspec.msgpack.Decoder[Incoming] = msgspec.msgpack.Decoder(incoming)
        self._encoder = msgspec.msgpack.Encoder()

    @classmethod
    async def open(cls, sock: socket.socket, incoming: Any) -> Self:
        """Take over a connected stream socket."""
        sock.setblocking(False)
        reader, writer = await asyncio.open_unix_connection(sock=sock, limit=1024 * 1024)
        return cls(reader, writer, incoming)

    def send(self, message: Outgoing) -> None:
        """Queue a message. A dead peer is noticed by the receiving side, not here."""
        if self._writer.is_closing():
            return
        body = self._encoder.encode(message)
        self._writer.write(len(body).to_bytes(4) + body)

    async def flush(self) -> None:
        """Wait until the peer has room; returns at once when it is gone."""
        with contextlib.suppress(OSError):
            await self._writer.drain()

    async def __aiter__(self) -> AsyncIterator[Incoming]:
        """Messages until the peer closes or dies.

        Raises:
            FrameError: a length over `MAX_FRAME`, bytes that are no msgpack, or a message of another type.
        """
        while True:
            try:
                length = int.from_bytes(await self._reader.readexactly(4))
                if length > MAX_FRAME:
                    raise FrameError(f"a frame of {length} bytes was announced")
                body = await self._reader.readexactly(length)
            except (asyncio.IncompleteReadError, ConnectionError):
                return
            try:
                message = self._decoder.decode(body)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise FrameError(f"unreadable frame: {error}") from error
            yield message

    async def close(self) -> None:
        """Close the socket; the peer's iteration ends."""
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()


async def spawn(
    command: Sequence[str], incoming: Any
) -> tuple[asyncio.subprocess.Process, Channel[Any, Any]]:
    """Start `command` with `--fd N` added, N being its end of a fresh socket pair.

    The child's stdout goes to our stderr: whatever a library prints is a log line, never data.
    """
    ours, theirs = socket.socketpair()
    with theirs:
        process = await asyncio.create_subprocess_exec(
            *command,
            "--fd",
            str(theirs.fileno()),
            pass_fds=[theirs.fileno()],
            stdin=asyncio.subprocess.DEVNULL,
            stdout=2,
            env={name: value for name, value in os.environ.items() if name not in SECRETS},
            # A Ctrl-C in the terminal is for the bot alone, which then drains the engine in order.
            start_new_session=True,
        )
    return process, await Channel[Any, Any].open(ours, incoming)


async def stop(process: asyncio.subprocess.Process, *, grace: float) -> None:
    """Wait `grace` seconds for a process to end by itself, then kill it."""
    try:
        await asyncio.wait_for(process.wait(), grace)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
