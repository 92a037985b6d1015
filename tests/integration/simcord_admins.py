"""Those who manage a server and those who host the bot, in the offline Discord, and what they are told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import discord
import simcord
from simcord.actors import MemberActor
from simcord.backend import serializers
from simcord.http import router
from sqlalchemy import select

from bot.database.models import AuditRow
from tests.integration.simcord_world import World, interactions_with


@dataclass(frozen=True, kw_only=True)
class Office:
    """A world whose server has somebody with Manage Server."""

    world: World
    boss: MemberActor

    async def do(self, command: str, *, locale: str = "en-US", **options: Any) -> str:
        """The boss uses a command; what the private answer says."""
        with interactions_with(locale=locale):
            return told(await self.ask(command, **options))

    async def ask(
        self, command: str, *, by: MemberActor | None = None, **options: Any
    ) -> simcord.InteractionResult:
        """Somebody uses a command; asserts that nobody else can read or be pinged by the answer."""
        env = self.world.env
        first, seen = len(env.http_requests), len(self.world.channel.history())
        result = await (by or self.boss).slash(self.world.channel, command, **options)
        assert result.response is not None
        assert result.response.ephemeral
        assert len(self.world.channel.history()) == seen
        for request in env.http_requests[first:]:
            if request.path.startswith("/webhooks/"):
                assert request.json is not None
                assert request.json["allowed_mentions"] == {"parse": []}
        return result

    def commands_of(self, member: MemberActor) -> tuple[str, ...]:
        """What Discord offers a member."""
        return member.available_commands(self.world.channel)

    async def audit(self, guild_id: int | None = None) -> list[AuditRow]:
        """The rows of the audit log of this server, or of another, oldest first."""
        wanted = self.world.guild.id if guild_id is None else guild_id
        async with self.world.database.session() as session:
            rows = await session.scalars(
                select(AuditRow).where(AuditRow.guild_id == wanted).order_by(AuditRow.id)
            )
            return list(rows)

    async def last_change(self) -> tuple[str, str, Any, Any]:
        """Action, target, before and after of the newest row; asserts that the boss did it."""
        row = (await self.audit())[-1]
        assert row.actor_id == self.boss.id
        return row.action, row.target, row.before, row.after


def open_office(world: World) -> Office:
    """Let somebody with Manage Server join."""
    role = world.guild.create_role("admins", permissions=discord.Permissions(manage_guild=True))
    return Office(world=world, boss=world.guild.add_member(world.env.create_user("boss"), roles=[role]))


def told(result: simcord.InteractionResult) -> str:
    """The text of an answer, whether it came as an embed or as a refusal."""
    assert result.response is not None
    texts = [result.response.content, *(embed.description or "" for embed in result.response.embeds)]
    return "\n".join(filter(None, texts))


def allow(office: Office, command: str, member: MemberActor) -> None:
    """What a server's admins do in Integrations: this member may use this command."""
    [found] = [
        entry for (name, _), entry in office.world.env.backend.commands[None].items() if name == command
    ]
    office.world.guild.set_command_permissions(int(found["id"]), {member: True})


def from_this_server(office: Office) -> dict[str, Any]:
    """What Discord says of a command that comes by the server's own installation; simcord says nothing."""
    return {"authorizing_integration_owners": {"0": str(office.world.guild.id)}}


def as_member(office: Office, member: MemberActor) -> dict[str, Any]:
    """The part of an interaction that says who sends it."""
    backend = office.world.env.backend
    guild = backend.get_guild(office.world.guild.id)
    payload = dict(serializers.member_payload(backend, guild, guild.members[member.id]))
    channel_id = office.world.channel.id
    return {
        "member": payload | {"permissions": str(backend.compute_permissions(guild.id, member.id, channel_id))}
    }


@contextmanager
def application_of(owner: MemberActor, *, team: dict[MemberActor, str] | None = None) -> Iterator[None]:
    """Meanwhile the application belongs to somebody, or to a team of members with roles, invited or joined.

    simcord lets the bot own itself. A team's member whose role is `invited` has not joined yet.
    """
    path = ["oauth2", "applications", "@me"]
    [real] = [(template, handler) for template, handler in router._ROUTES["GET"] if template == path]

    def info(context: router.RequestContext) -> Any:
        payload = dict(real[1](context))
        payload["owner"] = _user(context, owner)
        if team is not None:
            payload["team"] = {
                "id": "1",
                "name": "hosts",
                "icon": None,
                "owner_user_id": str(owner.id),
                "members": [_team_member(context, member, role) for member, role in team.items()],
            }
        return payload

    routes = router._ROUTES["GET"]
    place = routes.index(real)
    routes[place] = (path, info)
    try:
        yield
    finally:
        routes[place] = real


def _user(context: router.RequestContext, member: MemberActor) -> dict[str, Any]:
    return dict(serializers.user_payload(context.backend.get_user(member.id)))


def _team_member(context: router.RequestContext, member: MemberActor, role: str) -> dict[str, Any]:
    return {
        "user": _user(context, member),
        "team_id": "1",
        "membership_state": 1 if role == "invited" else 2,
        "role": "developer" if role == "invited" else role,
        "permissions": ["*"],
    }
