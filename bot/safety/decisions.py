"""The record of what was decided: each refused prompt, and each decision on a picture before it is sent.

Rows name neither the prompt nor the member: users are an HMAC with a key that only the host has. Their own
transaction, or that of what they go with, has to succeed before anything happens because of them.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import secrets
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

from bot.database.safety import SafetyDecisionRow
from bot.errors import OperatorError
from bot.jobs import Job, StoredImage, utc_now
from bot.quotas import Asker
from bot.safety.levels import Level
from bot.safety.places import Place
from bot.safety.policy import Judgement, Policy
from bot.safety.verdicts import PromptVerdict

log = logging.getLogger(__name__)

KEY_BYTES = 32


class UserKeys:
    """Stands in for users' ids in the record: without the key nobody can tell whose a decision is."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    @classmethod
    def load(cls, file: Path) -> UserKeys:
        """The key in a file, which is made at the first start, for its owner alone.

        Raises:
            OperatorError: it can be neither read nor made.
        """
        try:
            with suppress(FileExistsError):
                _make_key(file)
            key = file.read_bytes()
        except OSError as error:
            raise OperatorError(f"The key file {file} cannot be used: {error.strerror}.") from error
        if len(key) != KEY_BYTES:
            raise OperatorError(
                f"The key file {file} is damaged: restore it from a backup, or remove it. Without the old "
                "key nobody can tell any more whose the earlier safety decisions are."
            )
        return cls(key)

    def key_of(self, user_id: int | None) -> str:
        """What stands for a user; empty for the command line."""
        if user_id is None:
            return ""
        return hmac.new(self._key, str(user_id).encode(), hashlib.sha256).hexdigest()


def _make_key(file: Path) -> None:
    """Whole or not at all, and never over an old one."""
    if file.exists():
        raise FileExistsError
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = file.with_name(f"{file.name}.{uuid.uuid4().hex}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as opened:
            opened.write(secrets.token_bytes(KEY_BYTES))
            opened.flush()
            os.fsync(opened.fileno())
        # A link, not a rename: of two processes that start at once the first makes the key for both.
        os.link(draft, file)
    finally:
        draft.unlink(missing_ok=True)


class DecisionLog:
    """Makes the rows; whoever decides adds them to a transaction."""

    def __init__(
        self, keys: UserKeys, policy: Policy, *, kept_for: timedelta, clock: Callable[[], datetime] = utc_now
    ) -> None:
        self._keys = keys
        self._policy = policy
        self._kept_for = kept_for
        self._clock = clock

    def user_key(self, user_id: int) -> str:
        """What stands for a user in the rows."""
        return self._keys.key_of(user_id)

    def of_prompt(self, asker: Asker | None, verdict: PromptVerdict, level: Level) -> SafetyDecisionRow:
        """A prompt that was refused."""
        return self._row(
            kind="prompt",
            user_id=asker.user_id if asker is not None else None,
            guild_id=asker.guild_id if asker is not None else 0,
            channel_id=asker.channel_id if asker is not None else 0,
            policy_version=verdict.policy_version,
            level=level,
            decision=verdict.decision,
            reasons=list(verdict.reasons),
        )

    def of_picture(
        self, job: Job, position: int, image: StoredImage, judgement: Judgement, place: Place | None
    ) -> SafetyDecisionRow:
        """What was decided on a picture, for a place, or before there was one for where it was asked for."""
        verdict = image.verdict
        origin = Place(guild_id=job.origin.guild_id or 0, channel_id=job.origin.channel_id or 0)
        place = place or origin
        return self._row(
            kind="picture",
            job_id=job.id,
            position=position,
            user_id=job.origin.user_id,
            guild_id=place.guild_id,
            channel_id=place.channel_id,
            policy_version=self._policy.version,
            level=judgement.level,
            decision=judgement.decision,
            reasons=[*judgement.reasons, *job.prompt_reasons],
            model=verdict.model if verdict is not None else "",
            scores=dict(verdict.scores) if verdict is not None else {},
            pdq=verdict.pdq if verdict is not None else "",
            sha256=image.sha256,
        )

    def _row(self, *, user_id: int | None, **values: object) -> SafetyDecisionRow:
        now = self._clock()
        empty: Mapping[str, object] = {"model": "", "scores": {}, "pdq": "", "sha256": ""}
        return SafetyDecisionRow(
            id=uuid.uuid4().hex,
            created_at=now,
            kept_until=now + self._kept_for,
            user_key=self._keys.key_of(user_id),
            **{**empty, **values},
        )
