"""The presets of servers in the database: read for requests and members, changed by those who may.

Changed through the `Desk` of `bot/audit.py`, as everything else that admins do.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import datetime

import msgspec
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from bot.audit import Admin, Change, Desk
from bot.database.failures import RecordsUnavailable, told_to_members
from bot.database.models import GuildSettingsRow, PresetRow
from bot.database.session import Database
from bot.jobs import utc_now
from bot.presets import PresetBook
from bot.safety.screening import Screening
from bot.server_presets import (
    MAX_PRESETS,
    NoSuchPreset,
    PresetChange,
    PresetDraft,
    PresetNameTaken,
    ServerPreset,
    TooManyPresets,
    all_versions,
    check_may_change,
    check_name,
    exact_version,
    newest_versions,
    to_preset,
)

log = logging.getLogger(__name__)

LOOKUP_SECONDS = 1.0


class PresetStore:
    """The presets of all servers."""

    def __init__(
        self,
        database: Database,
        builtin: PresetBook,
        screening: Screening,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._database = database
        self._screening = screening
        self._builtin = builtin
        self._desk = Desk(database, clock)

    # --- for requests ---

    async def book(self, guild_id: int, wanted: str | None) -> PresetBook:
        """All presets that a request in this server may name, and the server's default.

        Raises:
            RecordsUnavailable: the database did not answer, and what is wanted may be in it.
        """
        try:
            async with asyncio.timeout(LOOKUP_SECONDS), self._database.session() as session:
                settings = await session.get(GuildSettingsRow, guild_id)
                default = settings.default_preset if settings is not None else None
                own = await newest_versions(session, guild_id)
                exact = [
                    version
                    for name in (wanted or "", default or "")
                    for version in await exact_version(session, guild_id, name)
                ]
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            log.exception("the presets of a server could not be read")
            if (wanted or "").strip() and not self._builtin.has(wanted or ""):
                raise RecordsUnavailable from error
            # A server's default is a convenience; it must not cost the 3 s in which Discord wants an answer.
            return self._builtin
        book = msgspec.structs.replace(
            self._builtin,
            presets=[
                *self._builtin.presets,
                *(version.as_preset(version.name) for version in own if not version.deleted),
                *(version.as_preset(version.label) for version in exact),
            ],
        )
        # A default that was deleted since is none.
        return msgspec.structs.replace(book, default=default) if default and book.has(default) else book

    # --- for members ---

    async def live(self, guild_id: int) -> list[ServerPreset]:
        """The newest version of each preset that is not deleted, by name."""
        with told_to_members():
            async with self._database.session() as session:
                return [preset for preset in await newest_versions(session, guild_id) if not preset.deleted]

    async def versions(self, guild_id: int, name: str) -> list[ServerPreset]:
        """All versions of a preset, the newest first; of `Foggy@2` that one alone, also if deleted since.

        Raises:
            NoSuchPreset: the server never had it.
        """
        with told_to_members():
            async with self._database.session() as session:
                found = await exact_version(session, guild_id, name) or await all_versions(
                    session, guild_id, name
                )
        if not found:
            raise NoSuchPreset(preset=name[:60])
        return found

    async def get(self, guild_id: int, name: str) -> ServerPreset:
        """The newest version of a preset.

        Raises:
            NoSuchPreset: there is none of that name, or it was deleted.
        """
        with told_to_members():
            async with self._database.session() as session:
                return _present(await all_versions(session, guild_id, name), name)

    # --- for admins ---

    async def create(self, admin: Admin, name: str, draft: PresetDraft) -> ServerPreset:
        """Add a preset.

        Raises:
            MemberError: who asks may not, or what has to be changed.
        """
        check_may_change(admin)
        name, draft = check_name(name), draft.checked()
        if self._builtin.has(name):
            raise PresetNameTaken(preset=name)
        await self._screen(admin, name, draft)
        made: list[ServerPreset] = []

        async def work(session: AsyncSession, now: datetime) -> Change:
            versions = await all_versions(session, admin.guild_id, name)
            if versions and not versions[0].deleted:
                raise PresetNameTaken(preset=versions[0].name)
            live = [preset for preset in await newest_versions(session, admin.guild_id) if not preset.deleted]
            if len(live) >= MAX_PRESETS:
                raise TooManyPresets(limit=MAX_PRESETS)
            version = versions[0].version + 1 if versions else 1
            preset = _add(session, admin, name, version, draft, now)
            made.append(preset)
            return Change(action="preset.create", target=_target(preset), after=_facts(preset))

        await self._desk.change(admin, work)
        return made[0]

    async def edit(self, admin: Admin, name: str, draft: PresetDraft) -> PresetChange:
        """Add a version to a preset, unless it says the same as the newest one.

        Raises:
            MemberError: who asks may not, or what has to be changed.
        """
        check_may_change(admin)
        draft = draft.checked()
        await self._screen(admin, name, draft)
        made: list[PresetChange] = []

        async def work(session: AsyncSession, now: datetime) -> Change:
            before = after = _present(await all_versions(session, admin.guild_id, name), name)
            if before.draft != draft:
                after = _add(session, admin, before.name, before.version + 1, draft, now)
            made.append(PresetChange(before=before, after=after))
            return Change(
                action="preset.edit", target=_target(before), before=_facts(before), after=_facts(after)
            )

        await self._desk.change(admin, work)
        return made[0]

    async def _screen(self, admin: Admin, name: str, draft: PresetDraft) -> None:
        """Raise `PromptRefused` for texts that could be used nowhere in the server."""
        with told_to_members():
            await self._screening.screen_preset(
                admin.guild_id,
                admin.actor_id,
                prompt=draft.prompt,
                negative=draft.negative,
                others=(name, draft.description),
            )

    async def delete(self, admin: Admin, name: str) -> ServerPreset:
        """Take a preset away; its versions can still be named. Returns the last one.

        Raises:
            MayNotManage | NoSuchPreset: who asks may not, or there is none.
        """
        check_may_change(admin)
        last: list[ServerPreset] = []

        async def work(session: AsyncSession, now: datetime) -> Change:
            before = _present(await all_versions(session, admin.guild_id, name), name)
            _add(session, admin, before.name, before.version + 1, before.draft, now, deleted=True)
            last.append(before)
            return Change(action="preset.delete", target=_target(before), before=_facts(before))

        await self._desk.change(admin, work)
        return last[0]


def _present(versions: Sequence[ServerPreset], name: str) -> ServerPreset:
    if not versions or versions[0].deleted:
        raise NoSuchPreset(preset=name[:60])
    return versions[0]


def _add(
    session: AsyncSession,
    admin: Admin,
    name: str,
    version: int,
    draft: PresetDraft,
    now: datetime,
    *,
    deleted: bool = False,
) -> ServerPreset:
    row = PresetRow(
        guild_id=admin.guild_id,
        key=name.casefold(),
        version=version,
        name=name,
        description=draft.description,
        prompt=draft.prompt,
        negative=draft.negative,
        deleted=deleted,
        actor_id=admin.actor_id,
        created_at=now,
    )
    session.add(row)
    return to_preset(row)


def _target(preset: ServerPreset) -> str:
    return f"preset:{preset.name}"


def _facts(preset: ServerPreset) -> dict[str, object]:
    draft = preset.draft
    return {
        "version": preset.version,
        "description": draft.description,
        "prompt": draft.prompt,
        "negative": draft.negative,
    }
