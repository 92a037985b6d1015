"""A member's own data: all of it as one file, and its deletion.

What a deletion leaves is what limits and moderators need: the ledger, whose entries have amounts but no words
and can never be changed; grants; blocks; strikes; quotas that admins set for the member; the audit log;
decisions of the safety checks, which name the member by a key only and are deleted when their time is over.
"""

from __future__ import annotations

import asyncio
import gzip
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, delete, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from bot.database.failures import told_to_members
from bot.database.models import (
    AuditRow,
    Base,
    BlockRow,
    GrantRow,
    ImageRow,
    JobRow,
    LedgerEntryRow,
    PresetRow,
    QuotaRow,
    RateBucketRow,
    RefusalRow,
)
from bot.database.people import (
    AppealRow,
    ReportedPictureRow,
    ReportRow,
    StrikeRow,
    UseTermsAcceptanceRow,
)
from bot.database.safety import SafetyDecisionRow
from bot.database.session import Database
from bot.database.stored_json import UNREADABLE
from bot.errors import MemberError
from bot.i18n import N_
from bot.jobs import ENDED, StoredImage, utc_now
from bot.ledger import BOT
from bot.pictures import PictureStore
from engine.protocol import GenerationRequest

log = logging.getLogger(__name__)

SECRET = {"interaction_token"}
"""Columns that no file shows: whoever has a token can answer in the bot's name."""
NOT_READ = "could not be read"
NOBODY = 0
"""The author of a preset whose author's data was deleted."""


class ExportTooLarge(MemberError):
    message = N_("Your data is larger than what Discord takes here. Ask the host of this bot for it.")


class JobsStillRunning(MemberError):
    message = N_(
        "Requests of yours that are not done: {count}. Cancel or fetch them with /jobs, or wait for them; "
        "then delete your data. Nothing was deleted."
    )


@dataclass(frozen=True, kw_only=True)
class Export:
    """A file with everything about one member."""

    file_name: str
    data: bytes
    unreadable: int
    """How many values in it could not be read."""


@dataclass(frozen=True, kw_only=True)
class Deleted:
    """How much was deleted."""

    jobs: int
    refusals: int


class Privacy:
    """What members may ask of the data about them."""

    def __init__(
        self,
        database: Database,
        pictures: PictureStore,
        user_key: Callable[[int], str],
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._database = database
        self._user_key = user_key
        self._pictures = pictures
        self._clock = clock

    async def export(self, user_id: int, size_limit: int) -> Export:
        """Everything about a member as JSON, compressed if it would be too large.

        Raises:
            ExportTooLarge | RecordsUnavailable: there is no file.
        """
        about = _about(user_id, self._user_key(user_id))
        with told_to_members():
            async with self._database.session() as session:
                tables = {name: await _read(session, *what) for name, what in about.items()}
        return await asyncio.to_thread(_pack, user_id, self._clock(), tables, size_limit)

    async def delete(self, user_id: int) -> Deleted:
        """Remove a member's requests with their prompts, and what limits refused; their name from presets.

        Raises:
            JobsStillRunning: some of them would end in nothing.
            RecordsUnavailable: the database failed; nothing was deleted.
        """
        now = self._clock()
        pictures: list[StoredImage] = []
        deleted: list[Deleted] = []

        async def work(session: AsyncSession) -> None:
            mine = JobRow.user_id == user_id
            live = (await session.scalars(select(JobRow.id).where(mine, JobRow.state.not_in(ENDED)))).all()
            if live:
                raise JobsStillRunning(count=len(live))
            ended = mine & JobRow.state.in_(ENDED)
            jobs = select(JobRow.id).where(ended)
            for image in await session.scalars(select(ImageRow).where(ImageRow.job_id.in_(jobs))):
                pictures.append(_stored(image))
            await session.execute(delete(ImageRow).where(ImageRow.job_id.in_(jobs)))
            gone = await session.scalars(delete(JobRow).where(ended).returning(JobRow.id))
            refusals = await session.scalars(
                delete(RefusalRow).where(RefusalRow.user_id == user_id).returning(RefusalRow.id)
            )
            # A bucket that is not full yet would be a new allowance if it were forgotten.
            await session.execute(
                delete(RateBucketRow).where(RateBucketRow.user_id == user_id, RateBucketRow.full_at <= now)
            )
            await _delete_people(session, user_id)
            await session.execute(
                update(PresetRow).where(PresetRow.actor_id == user_id).values(actor_id=NOBODY)
            )
            deleted.append(Deleted(jobs=len(gone.all()), refusals=len(refusals.all())))

        with told_to_members():
            await self._database.write(work)
            await self._pictures.delete(pictures)
        return deleted[0]


async def _delete_people(session: AsyncSession, user_id: int) -> None:
    """Appeals with their prompts, the member's reports, and reports of pictures that are not hidden now."""
    await session.execute(delete(UseTermsAcceptanceRow).where(UseTermsAcceptanceRow.user_id == user_id))
    await session.execute(delete(AppealRow).where(AppealRow.user_id == user_id))
    await session.execute(delete(ReportRow).where(ReportRow.reporter_id == user_id))
    # A hidden one waits for a moderator, for a day at most.
    seen = (ReportedPictureRow.author_id == user_id) & (ReportedPictureRow.state != "hidden")
    await session.execute(delete(ReportedPictureRow).where(seen))


def _stored(row: ImageRow) -> StoredImage:
    return StoredImage(
        seed=row.seed, width=row.width, height=row.height, sha256=row.sha256, file_name=row.file_name
    )


def _about(user_id: int, user_key: str) -> Mapping[str, tuple[type[Base], ColumnElement[bool]]]:
    """Every table that has rows about a member, and which ones these are."""
    own_jobs = select(JobRow.id).where(JobRow.user_id == user_id)
    return {
        "jobs": (JobRow, JobRow.user_id == user_id),
        "images": (ImageRow, ImageRow.job_id.in_(own_jobs)),
        "ledger_entries": (LedgerEntryRow, LedgerEntryRow.user_id == user_id),
        "grants": (GrantRow, GrantRow.user_id == user_id),
        "quotas": (QuotaRow, (QuotaRow.scope == "member") & (QuotaRow.subject_id == user_id)),
        "rate_buckets": (RateBucketRow, RateBucketRow.user_id == user_id),
        "blocks": (BlockRow, BlockRow.user_id == user_id),
        "refusals": (RefusalRow, RefusalRow.user_id == user_id),
        "use_terms_acceptances": (UseTermsAcceptanceRow, UseTermsAcceptanceRow.user_id == user_id),
        "appeals": (AppealRow, AppealRow.user_id == user_id),
        "strikes": (StrikeRow, StrikeRow.user_id == user_id),
        "reported_pictures": (ReportedPictureRow, ReportedPictureRow.author_id == user_id),
        "reports": (ReportRow, ReportRow.reporter_id == user_id),
        "presets": (PresetRow, PresetRow.actor_id == user_id),
        "safety_decisions": (SafetyDecisionRow, SafetyDecisionRow.user_key == user_key),
        "audit_log": (
            AuditRow,
            or_(AuditRow.actor_id == user_id, AuditRow.target.contains(str(user_id), autoescape=True)),
        ),
    }


async def _read(session: AsyncSession, model: type[Base], condition: ColumnElement[bool]) -> list[Any]:
    rows = await session.execute(select(*model.__table__.columns).where(condition))
    return [dict(row) for row in rows.mappings()]


def _pack(user_id: int, now: datetime, tables: Mapping[str, list[Any]], size_limit: int) -> Export:
    told = {name: [_readable(row, user_id) for row in rows] for name, rows in tables.items()}
    content = {"user_id": str(user_id), "exported_at": now} | told
    unreadable = 0
    for name, rows in told.items():
        for row in rows:
            if lost := list(row.values()).count(UNREADABLE):
                unreadable += lost
                log.error("%s: row %s cannot be read", name, row.get("id") or row.get("job_id"))
    name = f"trinart-{user_id}.json"
    data = msgspec.json.format(msgspec.json.encode(content, enc_hook=_encode), indent=1)
    if len(data) > size_limit:
        name, data = name + ".gz", gzip.compress(data)
    if len(data) > size_limit:
        raise ExportTooLarge
    return Export(file_name=name, data=data, unreadable=unreadable)


def _readable(row: Mapping[str, Any], user_id: int) -> dict[str, Any]:
    """A row without secrets and without other people; ids as text, for their digits are too many for JSON."""
    told: dict[str, Any] = {}
    for column, value in row.items():
        if column in SECRET or (column == "actor_id" and value not in (user_id, BOT)):
            continue
        if column == "request":
            value = _request(value)
        told[column] = str(value) if column.endswith("_id") and isinstance(value, int) else value
    return told


def _encode(value: object) -> str:
    if value is UNREADABLE:
        return NOT_READ
    # How a hook of msgspec says that a value is none of its own.
    raise NotImplementedError(f"no JSON is known for a {type(value).__name__}")


def _request(stored: bytes) -> object:
    try:
        return msgspec.msgpack.decode(stored, type=GenerationRequest)
    except ValueError:  # the others of the member's rows are theirs all the same
        return UNREADABLE
