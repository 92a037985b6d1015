"""Messages over a real socket pair, in whatever pieces they arrive."""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import itertools
import socket
import types
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine import protocol
from engine.protocol import (
    BotToEngine,
    Cancel,
    CheckerToCore,
    CoreToChecker,
    CoreToWorker,
    Drain,
    EngineToBot,
    Preview,
    WorkerToCore,
)
from engine.transport import MAX_FRAME, Channel, FrameError

patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""However busy the machine is."""

DIRECTIONS = (BotToEngine, EngineToBot, CoreToWorker, WorkerToCore, CoreToChecker, CheckerToCore)

SIMPLE: dict[Any, st.SearchStrategy[Any]] = {
    str: st.text(max_size=200),
    bytes: st.binary(max_size=5000),
    int: st.integers(-(2**63), 2**64 - 1),
    float: st.floats(allow_nan=False),
    bool: st.booleans(),
    types.NoneType: st.none(),
}


def values_of(kind: Any) -> st.SearchStrategy[Any]:
    """Any value of a field's type or a message's; fields with defaults are filled in too."""
    if kind in SIMPLE:
        return SIMPLE[kind]
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        fields = get_type_hints(kind)
        return st.builds(kind, **{name: values_of(hint) for name, hint in fields.items()})
    parts = [values_of(part) for part in get_args(kind) if get_origin(kind) is not Literal]
    match get_origin(kind):
        case builtins.list:
            return st.lists(*parts, max_size=3)
        case builtins.dict:
            return st.dictionaries(*parts, max_size=3)
        case builtins.tuple:
            return st.tuples(*parts)
        case types.UnionType:
            return st.one_of(*parts)
        case _:  # a Literal
            return st.sampled_from(get_args(kind))


def messages_of(direction: Any) -> st.SearchStrategy[Any]:
    """Any message that may go in this direction."""
    return st.one_of(*(values_of(kind) for kind in get_args(direction)))


TRAFFIC = st.sampled_from(DIRECTIONS).flatmap(
    lambda direction: st.tuples(st.just(direction), st.lists(messages_of(direction), max_size=8))
)


def frames(messages: Sequence[msgspec.Struct]) -> bytes:
    """The messages as bytes on the wire."""
    bodies = [msgspec.msgpack.encode(message) for message in messages]
    return b"".join(len(body).to_bytes(4) + body for body in bodies)


@asynccontextmanager
async def channel_and_peer(incoming: Any) -> AsyncGenerator[tuple[Channel[Any, Any], socket.socket]]:
    """A channel, and the bare socket at its other end."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    channel = await Channel[Any, Any].open(ours, incoming)
    with theirs:
        try:
            yield channel, theirs
        finally:
            await channel.close()


async def send_in_pieces(peer: socket.socket, data: bytes, cuts: list[int]) -> None:
    """Send the data cut at these places, letting the reader run after each piece; then hang up."""
    loop = asyncio.get_running_loop()
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    for start, end in itertools.pairwise(edges):
        await loop.sock_sendall(peer, data[start:end])
        await asyncio.sleep(0)
    peer.shutdown(socket.SHUT_WR)


async def receive_all(incoming: Any, data: bytes, cuts: list[int] | None = None) -> list[Any]:
    """What a channel makes of the data."""
    async with channel_and_peer(incoming) as (channel, peer):
        sending = asyncio.create_task(send_in_pieces(peer, data, cuts or []))
        try:
            return [message async for message in channel]
        finally:
            await sending


@given(TRAFFIC, st.lists(st.integers(0, 100_000), max_size=20))
@patient
def test_messages_arrive_whole_however_they_are_cut(traffic: tuple[Any, list[Any]], cuts: list[int]) -> None:
    direction, messages = traffic
    assert asyncio.run(receive_all(direction, frames(messages), cuts)) == messages


@given(TRAFFIC)
@patient
def test_what_send_writes_is_what_iteration_reads(traffic: tuple[Any, list[Any]]) -> None:
    direction, messages = traffic
    assert asyncio.run(send_and_receive(direction, messages)) == messages


async def send_and_receive(direction: Any, messages: list[Any]) -> list[Any]:
    """From channel to channel."""
    ours, theirs = socket.socketpair()
    sender, receiver = await asyncio.gather(
        *(Channel[Any, Any].open(end, direction) for end in (ours, theirs))
    )
    for message in messages:
        sender.send(message)
    await sender.close()
    received = [message async for message in receiver]
    await receiver.close()
    return received


@given(TRAFFIC, st.data())
@patient
def test_a_stream_that_ends_in_mid_message_loses_only_that(traffic: tuple[Any, list[Any]], data: Any) -> None:
    direction, messages = traffic
    whole = frames(messages)
    kept = data.draw(st.integers(0, len(whole)))
    received = asyncio.run(receive_all(direction, whole[:kept]))
    assert received == messages[: len(received)]
    assert len(frames(messages[: len(received) + 1])) > kept or len(received) == len(messages)


@given(st.sampled_from(DIRECTIONS), st.binary(min_size=1, max_size=200))
@patient
def test_any_body_is_a_message_or_a_frame_error(direction: Any, body: bytes) -> None:
    received: list[Any] = []
    with contextlib.suppress(FrameError):
        received = asyncio.run(receive_all(direction, len(body).to_bytes(4) + body))
    assert all(isinstance(message, get_args(direction)) for message in received)


BAD_FRAMES = {
    "no msgpack": b"\x00\x00\x00\x01\xc1",
    "empty": b"\x00\x00\x00\x00",
    "cut short inside": b"\x00\x00\x00\x02\x81\xa4",
    "bytes after the message": b"\x00\x00\x00\x0d\x81\xa4type\xa5Drain\x00",
    "text that is no UTF-8": b"\x00\x00\x00\x17\x82\xa4type\xa6Cancel\xa6job_id\xa2\xff\xfe",
    "unknown type": b"\x00\x00\x00\x0b\x81\xa4type\xa4Nope",
    "another direction": frames([Preview("job", b"")]),
    "too long": (MAX_FRAME + 1).to_bytes(4),
    "much too long": b"\xff\xff\xff\xff",
}


@pytest.mark.parametrize("name", BAD_FRAMES)
async def test_a_bad_frame_is_an_error_after_the_good_ones(name: str) -> None:
    async with channel_and_peer(BotToEngine) as (channel, peer):
        peer.sendall(frames([Drain()]) + BAD_FRAMES[name] + frames([Drain()]))
        incoming = aiter(channel)
        assert await anext(incoming) == Drain()
        with pytest.raises(FrameError):
            await anext(incoming)


async def test_a_message_larger_than_all_buffers_arrives() -> None:
    preview = Preview("job", bytes(range(256)) * 40_000)
    assert await receive_all(WorkerToCore, frames([preview])) == [preview]


async def test_a_peer_that_is_gone_ends_the_iteration_and_swallows_what_is_sent() -> None:
    async with channel_and_peer(BotToEngine) as (channel, peer):
        peer.close()
        for _ in range(100):
            channel.send(Cancel("job"))
        await channel.flush()
        assert [message async for message in channel] == []


async def test_sending_after_close_does_nothing() -> None:
    async with channel_and_peer(BotToEngine) as (channel, peer):
        await channel.close()
        channel.send(Drain())
        assert peer.recv(100) == b""


def test_every_message_goes_in_some_direction() -> None:
    tagged = {
        kind
        for kind in vars(protocol).values()
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and kind.__struct_config__.tag
    }
    assert tagged == {kind for direction in DIRECTIONS for kind in get_args(direction)}
