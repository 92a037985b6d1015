"""Presets of servers: named styles that a server's own admins write, with every version they ever had.

Part of step 2 of a request's life. A version is never changed: an edit adds the next one, and so does a
deletion, so that a picture drawn with `Foggy@1` can be drawn again for ever.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from bot.audit import Admin
from bot.database.models import PresetRow
from bot.errors import ControlCharacters, MemberError, TextTooLong
from bot.i18n import N_
from bot.presets import Preset, check_text

MAX_NAME, MAX_KEY, MAX_DESCRIPTION = 32, 64, 100
MAX_PRESETS = 50
"""Presets that a server may have at a time."""


class MayNotManage(MemberError):
    message = N_("Only members with the permission Manage Server can change presets.")


class InvalidPresetName(MemberError):
    message = N_("A preset's name has 1 to {limit} characters, and neither @ nor ` among them.")


class PresetNameTaken(MemberError):
    message = N_("There is a preset “{preset}” already. Choose another name, or change that one.")


class NoSuchPreset(MemberError):
    message = N_("This server has no preset “{preset}” of its own. /preset list shows those it has.")


class TooManyPresets(MemberError):
    message = N_("This server has {limit} presets of its own, as many as are possible. Delete one first.")


class PresetWithoutWords(MemberError):
    message = N_("A preset needs words to add to the prompt, or words to keep out of the picture.")


@dataclass(frozen=True, kw_only=True)
class PresetDraft:
    """What somebody wrote."""

    description: str
    prompt: str
    negative: str

    def checked(self) -> PresetDraft:
        """With spaces tidied up.

        Raises:
            MemberError: a text cannot be used.
        """
        if len(self.description) > MAX_DESCRIPTION:
            raise TextTooLong(option=N_("description"), length=len(self.description), limit=MAX_DESCRIPTION)
        draft = PresetDraft(
            description=check_text("description", self.description),
            prompt=check_text("prompt", self.prompt),
            negative=check_text("negative", self.negative),
        )
        if not draft.prompt and not draft.negative:
            raise PresetWithoutWords
        return draft


@dataclass(frozen=True, kw_only=True)
class ServerPreset:
    """One version of a server's preset."""

    name: str
    version: int
    draft: PresetDraft
    deleted: bool
    author_id: int
    """0 if the author's data was deleted."""
    created_at: datetime

    @property
    def label(self) -> str:
        """The name that means exactly this version."""
        return f"{self.name}@{self.version}"

    def as_preset(self, name: str) -> Preset:
        """The version under a name of the presets' book; pictures say which version it was."""
        return Preset(
            name=name,
            label=self.label,
            description={"en": self.draft.description},
            prompt=self.draft.prompt,
            negative=self.draft.negative,
        )


@dataclass(frozen=True, kw_only=True)
class PresetChange:
    """An edit: the same version twice if nothing was changed."""

    before: ServerPreset
    after: ServerPreset


def check_may_change(admin: Admin) -> None:
    """Raise `MayNotManage` for those who may only look at presets: everybody has the command."""
    if not admin.may_manage:
        raise MayNotManage


def check_name(name: str) -> str:
    """With spaces tidied up.

    Raises:
        InvalidPresetName: no preset can be called that.
    """
    try:
        name = check_text("name", name)
    except (ControlCharacters, TextTooLong):
        name = ""
    # A letter can become several when its case is folded.
    if not 1 <= len(name) <= MAX_NAME or len(name.casefold()) > MAX_KEY or set("@`") & set(name):
        raise InvalidPresetName(limit=MAX_NAME)
    return name


async def newest_versions(session: AsyncSession, guild_id: int) -> list[ServerPreset]:
    """The newest version of each preset of a server, by name; also those that say that it was deleted."""
    newest = (
        select(PresetRow.key, func.max(PresetRow.version).label("version"))
        .where(PresetRow.guild_id == guild_id)
        .group_by(PresetRow.key)
        .subquery()
    )
    rows = await session.scalars(
        select(PresetRow)
        .join(newest, (PresetRow.key == newest.c.key) & (PresetRow.version == newest.c.version))
        .where(PresetRow.guild_id == guild_id)
        .order_by(PresetRow.key)
    )
    return [to_preset(row) for row in rows]


async def all_versions(session: AsyncSession, guild_id: int, name: str) -> list[ServerPreset]:
    """The versions of one preset, the newest first."""
    rows = await session.scalars(
        select(PresetRow)
        .where(PresetRow.guild_id == guild_id, PresetRow.key == _key(name))
        .order_by(PresetRow.version.desc())
    )
    return [to_preset(row) for row in rows]


async def exact_version(session: AsyncSession, guild_id: int, name: str) -> list[ServerPreset]:
    """What `Foggy@2` means, though the preset may be deleted since; nothing for any other name."""
    match = re.fullmatch(r"(.+)@([0-9]{1,9})", _key(name), re.ASCII | re.DOTALL)
    if match is None:
        return []
    rows = await session.scalars(
        select(PresetRow).where(
            PresetRow.guild_id == guild_id,
            PresetRow.key == match[1].strip(),
            PresetRow.version == int(match[2]),
            PresetRow.deleted.is_(False),
        )
    )
    return [to_preset(row) for row in rows]


def _key(name: str) -> str:
    # PostgreSQL takes no NUL in a text, and no name has one.
    return " ".join(name.replace("\0", "").split()).casefold()


def to_preset(row: PresetRow) -> ServerPreset:
    """A row as the rest of the bot knows it."""
    return ServerPreset(
        name=row.name,
        version=row.version,
        draft=PresetDraft(description=row.description, prompt=row.prompt, negative=row.negative),
        deleted=row.deleted,
        author_id=row.actor_id,
        created_at=row.created_at,
    )
