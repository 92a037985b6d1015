"""Those who moderate a server, with a channel of their own, in the offline Discord."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

import discord
import simcord
from simcord.actors import MemberActor

from bot.safety.appeals import Noted
from tests.integration.simcord_admins import told
from tests.integration.simcord_world import World, interactions_with


@dataclass(frozen=True, kw_only=True)
class Court:
    """A world whose server has an admin, a moderator, and a channel that only they can read."""

    world: World
    boss: MemberActor
    """Has Manage Server."""
    judge: MemberActor
    """Has Timeout Members."""
    clerk: MemberActor
    """Reads the channel, and has no permission."""
    queue: simcord.ChannelHandle

    async def open_queue(self, **options: Any) -> None:
        """The boss chooses the channel."""
        result = await self.boss.slash(
            self.world.channel, "admin moderation settings", channel=self.queue, **options
        )
        assert told(result).startswith("✅") or "Nothing changed" in told(result)

    async def note(self, member: MemberActor, *reasons: str, **changes: Any) -> str:
        """A decision against a member of this server; returns its id."""
        noted: dict[str, Any] = {
            "decision_id": uuid.uuid4().hex,
            "kind": "prompt",
            "guild_id": self.world.guild.id,
            "channel_id": self.world.channel.id,
            "user_id": member.id,
            "reasons": reasons,
            "prompt": "1girl, *secret*",
        }
        decision = Noted(**(noted | changes))
        await self.world.services.appeals.note(decision)
        return decision.decision_id

    async def decisions_of(self, member: MemberActor, locale: str = "en-US") -> simcord.ResponseMessage:
        """What `/appeals` tells a member."""
        with interactions_with(locale=locale):
            result = await member.slash(self.world.channel, "appeals")
        assert result.response is not None
        assert result.response.ephemeral
        return result.response

    def posted(self) -> discord.Message:
        """The newest message of the moderators' channel."""
        message = self.queue.last_message
        assert message is not None
        return message

    def direct_messages(self, member: MemberActor) -> list[str]:
        """What the bot wrote to a member."""
        return [message.content for message in member.user.dm_channel.history()]


async def open_court(world: World) -> Court:
    """Let an admin and a moderator join, and make their channel."""
    guild = world.guild
    admins = guild.create_role("admins", permissions=discord.Permissions(manage_guild=True))
    moderators = guild.create_role("moderators", permissions=discord.Permissions(moderate_members=True))
    boss = guild.add_member(world.env.create_user("boss"), roles=[admins])
    judge = guild.add_member(world.env.create_user("judge"), roles=[moderators])
    clerk = guild.add_member(world.env.create_user("clerk"))
    see, hide = (
        discord.PermissionOverwrite(view_channel=True),
        discord.PermissionOverwrite(view_channel=False),
    )
    me = guild.me
    assert me is not None
    queue = guild.create_text_channel(
        "moderators", overwrites={guild.default_role: hide, admins: see, moderators: see, clerk: see, me: see}
    )
    await world.env.settle()
    return Court(world=world, boss=boss, judge=judge, clerk=clerk, queue=queue)
