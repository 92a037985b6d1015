"""Words for what records keep as codes: names of facts, levels, reasons, and what became of things."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bot.i18n import N_, Translate
from bot.safety.levels import Level

FACTS = {
    "enabled": N_("bot switched on"),
    "suspended": N_("switched off by the host"),
    "rate": N_("requests of a member"),
    "concurrent_jobs": N_("requests at a time"),
    "exempt_roles": N_("exempt roles"),
    "allowed_channels": N_("channels for pictures"),
    "default_preset": N_("preset if none is named"),
    "language": N_("language"),
    "result_channel_id": N_("channel for results"),
    "timezone": N_("time zone"),
    "quotas": N_("quotas"),
    "moderation_channel_id": N_("channel of the moderators"),
    "reports_to_hide": N_("reports that hide a picture"),
    "everybody_reads": N_("everybody can read it"),
    "appeal": N_("appeal"),
    "decision": N_("decision"),
    "reasons": N_("reasons"),
    "picture": N_("picture"),
    "message": N_("message"),
    "strikes": N_("strikes"),
    "until": N_("until"),
    "reason": N_("reason"),
    "grants": N_("grants"),
    "pictures": N_("pictures"),
    "used": N_("used"),
    "taking": N_("taking requests"),
    "servers": N_("servers"),
    "text": N_("text"),
    "version": N_("version"),
    "description": N_("description"),
    "prompt": N_("prompt"),
    "negative": N_("negative"),
    "level": N_("level"),
    "block_list": N_("refused words"),
    "allow_list": N_("harmless words"),
}
"""Names of the facts in the log; what is not here is shown by its key."""

LEVEL_NAMES: Mapping[Level, str] = {
    "strict": N_("strict"),
    "default": N_("default"),
    "age-restricted": N_("age-restricted"),
}

REASONS = {
    "sexual_minor": N_("sexual content together with minors"),
    "sexual": N_("sexual content"),
    "minor": N_("minors"),
    "real_person_sexual": N_("sexual content about real people"),
    "server_list": N_("a word that this server does not allow"),
    "host_list": N_("a word that the host does not allow"),
    "too_long": N_("too long to be checked"),
    "strict_prompt": N_("a prompt that is held to the strictest rules"),
    "prompt": N_("a prompt that is not allowed in this place any more"),
    "blocked_hash": N_("a picture that the host has blocked"),
    "report": N_("reported by members"),
}
"""Why something was decided, by code; what is not here is shown by its code."""

APPEAL_STATES = {
    "open": N_("open"),
    "upheld": N_("upheld"),
    "overturned": N_("overturned"),
    "blocked": N_("upheld, and the member is blocked"),
}
"""What became of an appeal, for those who decide."""

PICTURE_STATES = {
    "reported": N_("reported"),
    "hidden": N_("hidden"),
    "restored": N_("shown again"),
    "removed": N_("removed"),
}
"""What became of a reported picture."""

LANGUAGES = {"en": "English", "ja": "日本語"}
"""Each by its own name."""

VALUES: Mapping[str, Mapping[str, str]] = {
    "level": {**LEVEL_NAMES},
    "appeal": APPEAL_STATES,
    "picture": PICTURE_STATES,
    "reasons": REASONS,
    "language": LANGUAGES,
}
"""What the values of a fact are called."""


def reasons_text(reasons: Sequence[str], t: Translate) -> str:
    """Reasons in words."""
    return ", ".join(t(REASONS[reason]) if reason in REASONS else reason for reason in reasons) or "—"
