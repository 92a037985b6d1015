"""Those who moderate a server, with a channel of their own, in the offline Discord."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import discord
import simcord
from simcord.actors import MemberActor
from sqlalchemy import select

from bot.database.models import AuditRow
from bot.database.people import AppealRow
from bot.safety.noted import Noted
from tests.integration.simcord_admins import told
from tests.integration.simcord_world import World, buttons, interactions_with, pictures


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


async def refused(world: World, member: MemberActor, locale: str = "en-US") -> simcord.ResponseMessage:
    """The private refusal of a command."""
    with interactions_with(locale=locale):
        result = await member.slash(world.channel, "trinart", prompt="1girl")
    message = await world.answer_to(result)
    assert message.ephemeral
    assert message.attachments == []
    return message


async def appealed(court: Court, member: MemberActor, *reasons: str, **changes: str) -> str:
    """A decision whose appeal waits in the moderators' channel; its id."""
    decision_id = await court.note(member, *(reasons or ("sexual",)), **changes)
    message = await court.decisions_of(member)
    result = await member.click(message, custom_id=f"trinart:appeal:{decision_id}")
    assert result.response is not None
    assert result.response.content.startswith("The moderators of the server have your appeal.")
    assert str(court.posted().embeds[0].footer.text) == decision_id
    return decision_id


async def row_of(world: World, decision_id: str) -> AppealRow:
    async with world.database.session() as session:
        return await session.get_one(AppealRow, decision_id)


async def refused_prompt(world: World, member: MemberActor, prompt: str) -> simcord.ResponseMessage:
    """What the prompt check says, with its Appeal button, once it is recorded."""
    result = await member.slash(world.channel, "trinart", prompt=prompt)
    await world.service.screening.settled()
    assert result.response is not None
    assert result.response.ephemeral
    assert buttons(result.response) == ["Appeal"]
    return result.response


async def audit_ids(world: World) -> list[int]:
    async with world.database.session() as session:
        return list(await session.scalars(select(AuditRow.id)))


async def report(
    member: MemberActor, message: simcord.ResponseMessage, *, locale: str = "en-US", label: str = "Report"
) -> str:
    """A member presses the button; what the member alone is told."""
    with interactions_with(locale=locale):
        result = await member.click(message, label=label)
    [answer] = result.followups
    assert answer.ephemeral
    return answer.content


async def hidden(court: Court, prompt: str = "1girl") -> tuple[simcord.ResponseMessage, list[bytes]]:
    """A picture of Mika's that a moderator reported, and what it was."""
    message = await court.world.draw(prompt=prompt, seed="7", images=2)
    before = await pictures(message)
    await report(court.judge, message)
    assert message.attachments == []
    return message, before


def kept(world: World) -> list[Path]:
    """The files that wait for a moderator."""
    return sorted(world.settings.reported_dir.glob("*"))
