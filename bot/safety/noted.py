"""Decisions against members as they are made: what an appeal will need, and the strike that each one gives.

Whoever decides notes it in the transaction of the decision. `bot/safety/appeals.py` is what members and
moderators do with it afterwards.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from bot.database.people import AppealRow
from bot.safety.strike_book import give_strike
from bot.safety.strikes import strike_rules

Kind = Literal["prompt", "picture", "report"]

FOR_HOST = frozenset({"sexual_minor", "real_person_sexual", "host_list", "too_long"})
"""Reasons of decisions that no server can overturn: the host's rules, and what nobody has read. Their appeals
go to the host."""

ALLOWED_FOR = timedelta(days=7)
"""How long an overturned refusal lets the same words through."""


@dataclass(frozen=True, kw_only=True)
class Noted:
    """A decision against a member, as it is made."""

    decision_id: str
    kind: Kind
    guild_id: int
    """0 in direct messages."""
    channel_id: int
    user_id: int
    reasons: tuple[str, ...]
    prompt: str = ""
    prompt_hash: str = ""
    locale: str = "en-US"


def hash_of_texts(*texts: str) -> str:
    """What an overturned refusal allows: exactly these texts, in this order."""
    return hashlib.sha256(msgspec.msgpack.encode(texts)).hexdigest()


async def is_overturned(
    session: AsyncSession,
    *,
    user_id: int,
    guild_id: int,
    prompt_hash: str,
    reasons: Sequence[str],
    now: datetime,
) -> bool:
    """Whether moderators of this server overturned the refusal of these very texts for this member.

    `reasons` are those of the verdict that would refuse them now: they have to be among those that were
    overturned, as other places and newer rules have others.
    """
    if FOR_HOST & {*reasons}:
        return False
    overturned = await session.scalars(
        select(AppealRow.reasons).where(
            AppealRow.user_id == user_id,
            AppealRow.guild_id == guild_id,
            AppealRow.kind == "prompt",
            AppealRow.state == "overturned",
            AppealRow.prompt_hash == prompt_hash,
            AppealRow.decided_at > now - ALLOWED_FOR,
        )
    )
    return any({*reasons} <= {*known} for known in overturned)


async def note_decision(session: AsyncSession, decision: Noted, now: datetime) -> None:
    """Write a decision and its strike, within the transaction of what was decided; once for each decision."""
    if await session.get(AppealRow, decision.decision_id) is not None:
        return
    session.add(
        AppealRow(
            decision_id=decision.decision_id,
            state="possible",
            kind=decision.kind,
            guild_id=decision.guild_id,
            channel_id=decision.channel_id,
            user_id=decision.user_id,
            reasons=[*decision.reasons],
            prompt=decision.prompt,
            prompt_hash=decision.prompt_hash,
            locale=decision.locale,
            created_at=now,
            actor_id=0,
        )
    )
    if decision.kind == "picture":
        return  # what the model drew is not what the member asked for
    reason = strike_rules().heaviest(decision.reasons)
    if reason is not None:
        await give_strike(
            session,
            decision_id=decision.decision_id,
            guild_id=decision.guild_id,
            user_id=decision.user_id,
            reason=reason,
            now=now,
        )
