"""Where a picture would be shown, and how much may be shown there: the lowest that any party allows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from bot.safety.levels import Level, lowest


@dataclass(frozen=True, kw_only=True)
class Place:
    """A channel as Discord describes it now. What is not known is not age-restricted."""

    guild_id: int = 0
    """0 in direct messages."""
    channel_id: int = 0
    """Of a thread it is the channel that the thread belongs to, as is what follows."""
    is_age_restricted: bool = False
    is_known: bool = True
    """False where Discord did not say: not even which channel a thread belongs to."""
    is_host: bool = False
    """The command line of the host, whom the host's cap alone concerns."""


HOST_PLACE = Place(is_host=True)


def unknown_place(guild_id: int, channel_id: int) -> Place:
    """A channel that the bot cannot see."""
    return Place(guild_id=guild_id, channel_id=channel_id, is_known=False)


@dataclass(frozen=True, kw_only=True)
class ServerSafety:
    """What a server's admins chose. A server that chose nothing shows nothing age-restricted."""

    level: Level = "default"
    channels: Mapping[int, Level] = field(default_factory=dict[int, Level])
    """Channels with a level of their own, which counts beside the server's."""
    block: tuple[str, ...] = ()
    """Words that requests are refused for here."""
    allow: tuple[str, ...] = ()
    """Words that the server's admins know to be harmless."""

    def levels_in(self, place: Place) -> Iterable[Level]:
        """Every level that has a say in a place of this server."""
        yield self.level
        if not place.is_known:
            # It may be a thread of any of them.
            yield from self.channels.values()
        elif place.channel_id in self.channels:
            yield self.channels[place.channel_id]


def effective_level(cap: Level, server: ServerSafety, place: Place) -> Level:
    """How much may be shown in a place, given the host's cap and what the server's admins chose."""
    if place.is_host:
        return cap
    by_discord: Level = "age-restricted" if place.is_age_restricted and place.is_known else "default"
    return lowest(cap, by_discord, *server.levels_in(place))
