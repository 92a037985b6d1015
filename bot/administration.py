"""What admins and the host can do, put together; each part is the only home of its rules."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime

from sqlalchemy.exc import SQLAlchemyError

from bot.admin_members import MemberChanges
from bot.admin_reports import Reports
from bot.admin_rules import RuleChanges
from bot.admin_safety import SafetyChanges
from bot.audit import Desk
from bot.database.models import GuildSettingsRow
from bot.database.session import Database
from bot.host import HostChanges
from bot.jobs import utc_now
from bot.presets import PresetBook
from bot.quotas import HostRules
from bot.safety.host_appeals import HostAppeals
from bot.safety.levels import Level
from bot.safety.moderation import Moderation
from bot.safety.strike_book import StrikeBook

log = logging.getLogger(__name__)


class Administration:
    """The service behind `/admin` and `/host`."""

    def __init__(
        self,
        database: Database,
        host_rules: HostRules,
        presets: PresetBook,
        clock: Callable[[], datetime] = utc_now,
        *,
        kept_days: int,
        cap: Level = "default",
    ) -> None:
        desk = Desk(database, clock)
        self.log = desk.log
        self.rules = RuleChanges(desk, presets)
        self.members = MemberChanges(desk, host_rules)
        self.reports = Reports(desk, host_rules, kept_days=kept_days)
        self.safety = SafetyChanges(desk, cap)
        self.host = HostChanges(desk)
        self.moderation = Moderation(database, desk)
        self.strikes = StrikeBook(desk)
        self.host_appeals = HostAppeals(desk, clock)
        self._database = database

    async def language(self, guild_id: int | None) -> str | None:
        """The language that a server's admins chose for answers that everybody reads; None for none."""
        if guild_id is None:
            return None
        try:
            async with asyncio.timeout(1), self._database.session() as session:
                settings = await session.get(GuildSettingsRow, guild_id)
                return settings.language if settings is not None else None
        except (SQLAlchemyError, OSError, TimeoutError):
            # It must not cost a member the picture; theirs is a good language too.
            log.exception("the language of a server could not be read")
            return None
