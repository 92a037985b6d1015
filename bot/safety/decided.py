"""What the record says already: a decision that is the same as the latest one is not written again."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from bot.database.safety import SafetyDecisionRow

Subject = tuple[int | None, int, int]
"""Which picture of a job, and for which place."""

Facts = tuple[object, ...]
"""What was decided, and everything that decided it."""


def subject_of(row: SafetyDecisionRow) -> Subject:
    """What a decision is about, within its job."""
    return row.position, row.guild_id, row.channel_id


def facts_of(row: SafetyDecisionRow) -> Facts:
    """What makes it another decision than the one before; its verdict goes with model and file."""
    return row.decision, row.level, tuple(row.reasons), row.policy_version, row.model, row.sha256


async def latest_decisions(session: AsyncSession, job_id: str) -> dict[Subject, Facts]:
    """The latest decision on each picture of a job in each place."""
    rows = await session.scalars(
        select(SafetyDecisionRow)
        .where(SafetyDecisionRow.job_id == job_id)
        .order_by(SafetyDecisionRow.created_at)
    )
    return {subject_of(row): facts_of(row) for row in rows}
