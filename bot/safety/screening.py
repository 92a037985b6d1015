"""Step 3 of a request's life, screen: what is asked for is read before it costs anything.

Everything that would reach the model or a picture's file is read, whichever way the request came in. Where
the server's own lists cannot be looked up, nothing is accepted.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from bot.database.models import GuildSettingsRow, RefusalRow
from bot.database.session import Database
from bot.jobs import utc_now
from bot.quotas import Asker
from bot.safety.decisions import DecisionLog
from bot.safety.levels import Level, lowest
from bot.safety.noted import Noted, hash_of_texts, is_overturned, note_decision
from bot.safety.places import HOST_PLACE, Place, ServerSafety, effective_level, unknown_place
from bot.safety.refusals import REFUSED, PromptRefused
from bot.safety.rules import ServerLists
from bot.safety.screen import PromptScreen
from bot.safety.servers import load_safety
from bot.safety.verdicts import PromptVerdict
from engine.protocol import GenerationRequest

log = logging.getLogger(__name__)

PlaceOf = Callable[[int, int], Place]
"""A place by the ids of server and channel, as far as it is known without asking Discord."""


@dataclass(frozen=True, kw_only=True)
class Screened:
    """A request that may be drawn: how much may be shown where it was asked for, and what was found in it."""

    level: Level
    verdict: PromptVerdict


class Screening:
    """Reads requests and presets for those who accept them."""

    def __init__(
        self, database: Database, prompts: PromptScreen, decisions: DecisionLog, *, cap: Level
    ) -> None:
        self.place_of: PlaceOf = unknown_place
        """What the Discord client knows; without one no place is known."""
        self.cap: Level = cap
        self._database = database
        self._prompts = prompts
        self._decisions = decisions
        self._notes: set[asyncio.Task[None]] = set()

    async def screen(self, request: GenerationRequest, asker: Asker | None) -> Screened:
        """Decide whether a request may be drawn; `asker` is None for the host's command line.

        Raises:
            PromptRefused: it may not.
            SQLAlchemyError | OSError: what the server's admins chose is not known.
        """
        texts = (request.prompt, request.negative_prompt, *request.labels.values())
        async with self._database.session() as session:
            server = await load_safety(session, asker.guild_id if asker is not None else 0)
            level = await self._level(session, server, asker)
            verdict = self.read(request, level, server)
            if verdict.decision == "refuse" and await _is_overturned(session, asker, verdict, texts):
                # The moderators of the server allow the words, not whatever picture comes of them.
                verdict = replace(verdict, decision="strict")
        if verdict.decision == "refuse":
            raise self._refused(asker, verdict, level, texts)
        return Screened(level=level, verdict=verdict)

    def read(self, request: GenerationRequest, level: Level, server: ServerSafety) -> PromptVerdict:
        """What the prompt check says of a request at a level."""
        return self._prompts.check(
            request.prompt,
            negative=request.negative_prompt,
            others=tuple(request.labels.values()),
            level=level,
            server=lists_of(server),
        )

    async def screen_preset(
        self, guild_id: int, user_id: int, *, prompt: str, negative: str, others: tuple[str, ...]
    ) -> None:
        """Refuse the texts of a server's preset that could be used nowhere in it.

        Raises:
            PromptRefused: they are refused.
            SQLAlchemyError | OSError: what the server's admins chose is not known.
        """
        async with self._database.session() as session:
            server = await load_safety(session, guild_id)
        level = lowest(self.cap, server.level)
        verdict = self._prompts.check(
            prompt, negative=negative, others=others, level=level, server=lists_of(server)
        )
        if verdict.decision == "refuse":
            asker = Asker(user_id=user_id, guild_id=guild_id, channel_id=0)
            raise self._refused(asker, verdict, level, (prompt, negative, *others))

    async def settled(self) -> None:
        """Wait until all refusals are recorded."""
        await asyncio.gather(*self._notes)

    async def _level(self, session: AsyncSession, server: ServerSafety, asker: Asker | None) -> Level:
        """How much may be shown where the request was made, and where its pictures are to be posted."""
        if asker is None:
            return effective_level(self.cap, server, HOST_PLACE)
        level = effective_level(self.cap, server, self.place_of(asker.guild_id, asker.channel_id))
        settings = await session.get(GuildSettingsRow, asker.guild_id) if asker.guild_id else None
        if settings is not None and settings.result_channel_id is not None:
            results = self.place_of(asker.guild_id, settings.result_channel_id)
            if results.is_known:  # else nothing can be posted there
                level = lowest(level, effective_level(self.cap, server, results))
        return level

    def _refused(
        self, asker: Asker | None, verdict: PromptVerdict, level: Level, texts: Sequence[str]
    ) -> PromptRefused:
        """The answer, which does not wait for its record: Discord waits for three seconds only."""
        row = self._decisions.of_prompt(asker, verdict, level)
        code = verdict.reasons[0] if verdict.reasons else "prompt"

        async def record(session: AsyncSession) -> None:
            session.add(row)
            if asker is not None:
                session.add(
                    RefusalRow(
                        created_at=utc_now(), guild_id=asker.guild_id, user_id=asker.user_id, code=code
                    )
                )
                await note_decision(session, _noted(row.id, asker, verdict, texts), utc_now())

        async def write() -> None:
            try:
                await self._database.write(record)
            except (SQLAlchemyError, OSError):
                log.exception("a refusal could not be recorded")

        task = asyncio.create_task(write())
        self._notes.add(task)
        task.add_done_callback(self._notes.discard)
        return REFUSED.get(code, PromptRefused)(code=code, decision_id=row.id)


async def _is_overturned(
    session: AsyncSession, asker: Asker | None, verdict: PromptVerdict, texts: Sequence[str]
) -> bool:
    return asker is not None and await is_overturned(
        session,
        user_id=asker.user_id,
        guild_id=asker.guild_id,
        prompt_hash=hash_of_texts(*texts),
        reasons=verdict.reasons,
        now=utc_now(),
    )


def _noted(decision_id: str, asker: Asker, verdict: PromptVerdict, texts: Sequence[str]) -> Noted:
    """The refusal as the member can appeal it."""
    return Noted(
        decision_id=decision_id,
        kind="prompt",
        guild_id=asker.guild_id,
        channel_id=asker.channel_id,
        user_id=asker.user_id,
        reasons=verdict.reasons,
        # All that was read: the reason may be in any of them.
        prompt="\n".join(filter(None, texts)),
        prompt_hash=hash_of_texts(*texts),
    )


def lists_of(server: ServerSafety) -> ServerLists:
    """The server's own lists, as the prompt check takes them."""
    return ServerLists(block=server.block, allow=server.allow)
