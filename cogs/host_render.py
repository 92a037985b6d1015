"""What the host reads: servers and the engine. Pure functions of values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bot.i18n import N_, Translate
from bot.ledger_csv import csv_line
from cogs.render import clip, plain
from engine.client import EngineStatus
from engine.protocol import EngineReady, EngineUnavailable

MAX_SERVERS = 20

STATES = {
    "queued": N_("waiting"),
    "running": N_("being drawn"),
    "succeeded": N_("on their way to Discord"),
}


@dataclass(frozen=True, kw_only=True)
class Server:
    """A server that the bot is in."""

    id: int
    name: str
    members: int
    pictures: int
    """Of the last 30 days."""
    suspended: bool


def servers_text(servers: Sequence[Server], t: Translate) -> str:
    """The first servers, one a line, and how many there are."""
    lines = [t("**Servers: {count}**", count=len(servers))]
    for server in servers[:MAX_SERVERS]:
        mark = "⏸ " if server.suspended else ""
        name = clip(plain(server.name), 60)
        facts = t(
            "members: {members}, pictures in 30 days: {pictures}",
            members=server.members,
            pictures=server.pictures,
        )
        lines.append(f"{mark}{name} `{server.id}`: {facts}")
    if len(servers) > MAX_SERVERS:
        lines.append(t("All of them are in the file."))
    return "\n".join(lines)


def servers_csv(servers: Sequence[Server]) -> bytes:
    """All servers as a file; their names were chosen by strangers."""
    lines = [csv_line(("id", "name", "members", "pictures_30_days", "suspended"))]
    lines += [
        csv_line((server.id, server.name, server.members, server.pictures, int(server.suspended)))
        for server in servers
    ]
    return ("\ufeff" + "".join(lines)).encode()


def engine_text(status: EngineStatus, jobs: Mapping[str, int], t: Translate, *, paused: bool) -> str:
    """Devices and jobs."""
    lines: list[str] = []
    match status:
        case EngineReady(model, devices, starting, given_up):
            lines.append(f"**{plain(model.name)}** `{model.hash}`")
            lines.append(t("Drawing: {devices}", devices=_list(devices)))
            lines.append(t("Starting: {devices}", devices=_list(starting)))
            lines += [
                t("Given up: {device} ({reason})", device=plain(device), reason=clip(plain(reason), 300))
                for device, reason in given_up.items()
            ]
        case EngineUnavailable(reason):
            lines.append(t("The engine cannot draw: {reason}", reason=clip(plain(reason), 1000)))
        case _:
            lines.append(t("The engine is starting."))
    lines += [f"{t(STATES[state])}: {count}" for state, count in jobs.items()]
    if paused:
        lines.append(t("No new requests are taken."))
    return "\n".join(lines)


def _list(devices: Sequence[str]) -> str:
    return ", ".join(map(plain, devices)) or "—"
