"""What admins read: rules, settings, what a member has left. Pure functions of values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, cast

from bot.admin_members import Allowance, Left
from bot.admin_reports import Overview
from bot.admin_rules import NO_RULE, UNLIMITED
from bot.errors import amount_text, pictures
from bot.i18n import N_, Translate
from bot.limits import Block
from bot.quotas import Quota, Rate, Scope
from cogs.codes import FACTS, VALUES, reasons_text
from cogs.render import plain

MAX_LINES = 25
"""Of one kind in an answer; the rest is counted."""

WINDOW_NAMES = {
    "day": N_("a day, from midnight"),
    "week": N_("a week, from Monday"),
    "month": N_("a month, from the 1st"),
    "24h": N_("any 24 hours"),
    "168h": N_("any 7 days"),
    "720h": N_("any 30 days"),
    UNLIMITED: N_("unlimited"),
    NO_RULE: N_("no rule: remove it"),
}

SCOPES: dict[Scope, str] = {
    "member": N_("Member"),
    "channel": N_("This channel, everybody together"),
    "server": N_("This server, everybody together"),
    "host_member": N_("By the host, over all servers"),
    "host_server": N_("By the host, for this server"),
}


def quota_text(quota: Quota, t: Translate) -> str:
    """`30 pictures (a day, from midnight)`."""
    if quota.amount is None:
        return t("unlimited")
    hours = quota.window.removesuffix("h")
    window = (
        t(WINDOW_NAMES[quota.window]) if quota.window in WINDOW_NAMES else t("any {hours} h", hours=hours)
    )
    return t("{amount} ({window})", amount=amount_text(quota.amount, t), window=window)


def rate_text(rate: Rate | None, t: Translate) -> str:
    """`5 in 60 s`."""
    return t("{count} in {seconds} s", count=rate.count, seconds=rate.seconds) if rate else t("no limit")


def subject_text(target: str, t: Translate) -> str:
    """A mention of whom a rule is for, which calls nobody."""
    scope, _, subject = target.partition(":")
    match scope:
        case "member":
            return f"<@{subject}>"
        case "role":
            return f"<@&{subject}>"
        case "channel":
            return f"<#{subject}>"
        case "preset":
            return plain(subject)
        case "default":
            return t("each member")
        case "server":
            return t("the server as a whole")
        case _:
            return plain(target)


# --- rules ---


def rules_text(overview: Overview, t: Translate) -> str:
    """All limits of a server."""
    rules, host = overview.rules, overview.host
    default = rules.quotas.get(("default", 0))
    server = rules.quotas.get(("server", 0))
    own = _line(t("each member"), quota_text(default or host.default_quota, t))
    lines = [
        _title(t("Quotas")),
        own if default else own + " " + t("(set by the host)"),
        _line(t("the server as a whole"), quota_text(server, t) if server else t("no rule")),
        *quota_lines(overview, ("role", "channel", "member"), t),
        "",
        limits_text(overview, t),
        "",
        _title(t("By the host, over all servers")),
        _line(t("each member"), quota_text(host.member_cap, t)),
        _line(t("the server as a whole"), quota_text(host.server_cap, t)),
        _line(t("requests of a member"), rate_text(host.rate, t)),
        _line(t("requests at a time"), host.concurrent_jobs or t("no limit")),
    ]
    if overview.blocks:
        blocked = _cut(_block_line(user_id, block, t) for user_id, block in overview.blocks.items())
        lines += ["", _title(t("Blocked")), *blocked]
    return "\n".join(lines)


def _title(text: str) -> str:
    return f"**{text}**"


def _line(label: str, value: object) -> str:
    return f"{label}: {value}"


def quota_lines(overview: Overview, scopes: Sequence[str], t: Translate) -> list[str]:
    """The quotas of these kinds, one a line."""
    lines: list[str] = []
    for scope in scopes:
        found = {subject: quota for (kind, subject), quota in overview.rules.quotas.items() if kind == scope}
        lines += _cut(
            f"{subject_text(f'{scope}:{subject}', t)}: {quota_text(found[subject], t)}"
            for subject in sorted(found)
        )
    return lines


def limits_text(overview: Overview, t: Translate) -> str:
    """How fast and by whom pictures can be asked for."""
    rules = overview.rules
    state = t("switched off by the host") if rules.suspended else value_text("enabled", rules.enabled, t)
    return "\n".join(
        [
            _title(t("Limits")),
            _line(t("bot switched on"), state),
            _line(t("requests of a member"), rate_text(rules.rate, t)),
            _line(t("requests at a time"), rules.concurrent_jobs or t("no limit")),
            _line(t("exempt roles"), value_text("exempt_roles", sorted(rules.exempt_roles), t)),
        ]
    )


def settings_text(overview: Overview, t: Translate) -> str:
    """Where the bot draws and how it speaks."""
    facts = {
        "allowed_channels": sorted(overview.rules.allowed_channels) or t("all"),
        "default_preset": overview.default_preset or t("the bot's own"),
        "language": overview.language or t("each member's own"),
        "result_channel_id": overview.result_channel_id or t("where they were asked for"),
        "timezone": overview.rules.timezone,
    }
    lines = [_line(t(FACTS[name]), value_text(name, value, t)) for name, value in facts.items()]
    return "\n".join([_title(t("Settings")), *lines])


def _block_line(user_id: int, block: Block, t: Translate) -> str:
    return _line(f"<@{user_id}>", _block_text(block, t))


def _block_text(block: Block, t: Translate) -> str:
    return f"{plain(block.reason)} ({_until(block.until, t)})"


def _until(time: datetime | None, t: Translate) -> str:
    return t("until {time}", time=stamp(time)) if time else t("until it is lifted")


def stamp(time: datetime, style: str = "f") -> str:
    """A time that Discord shows in each reader's own zone."""
    return f"<t:{int(time.timestamp())}:{style}>"


def _cut(lines: Iterable[str]) -> list[str]:
    lines = list(lines)
    return lines[:MAX_LINES] + ([f"… +{len(lines) - MAX_LINES}"] if len(lines) > MAX_LINES else [])


# --- one member ---


def allowance_text(user_id: int, allowance: Allowance, t: Translate) -> str:
    """What a member has left, limit by limit."""
    lines = [f"**<@{user_id}>**"]
    if allowance.block is not None:
        lines.append(_line(t("Blocked"), _block_text(allowance.block, t)))
    if allowance.exempt:
        lines.append(t("Exempt from this server's quota of members."))
    elif not any(left.limit.scope == "member" for left in allowance.limits):
        lines.append(t("No quota of their own: unlimited."))
    lines += [_left_line(left, t) for left in allowance.limits]
    for grant in allowance.grants:
        lines.append(
            t(
                "Granted: {amount} left, {until}",
                amount=amount_text(grant.left, t),
                until=_until(grant.expires_at, t) if grant.expires_at else t("for good"),
            )
        )
    lines.append(t("Waiting or being drawn: {count}", count=allowance.live))
    return "\n".join(lines)


def _left_line(left: Left, t: Translate) -> str:
    quota = left.limit.quota
    more = stamp(left.resets_at, "R") if left.resets_at else t("as time passes")
    return t(
        "{scope}: {left} left of {quota}; more {when}",
        scope=t(SCOPES[left.limit.scope]),
        left=pictures(left.left),
        quota=quota_text(quota, t),
        when=more,
    )


# --- values ---


def value_text(name: str, value: Any, t: Translate) -> str:
    """A fact of the rules or the log, by its name."""
    match name, value:
        case "quota", None:
            return t("no rule")
        case _, None | [] | "":
            return "—"
        case _, bool():
            return t("yes") if value else t("no")
        case _, list():
            return _listed(name, cast("list[Any]", value), t)
        case (("result_channel_id" | "moderation_channel_id"), int()):
            return f"<#{value}>"
        case (("quota" | "rate" | "until"), str()):
            return _parsed(name, value, t)
        case _, str() if value in VALUES.get(name, ()):
            return t(VALUES[name][value])
        case _, float():
            return f"{value:g}"
        case _:
            return plain(str(value))


def _listed(name: str, items: list[Any], t: Translate) -> str:
    """Roles and channels as mentions, reasons and anything else as words."""
    if name == "reasons":
        return reasons_text(items, t)
    if name == "quotas":
        return " ".join(subject_text(str(item), t) for item in items[:MAX_LINES])
    mark = {"exempt_roles": "@&", "allowed_channels": "#"}.get(name)
    if mark is None:
        return ", ".join(plain(str(item)) for item in items)
    return " ".join(f"<{mark}{item}>" for item in items[:MAX_LINES])


def _parsed(name: str, text: str, t: Translate) -> str:
    """What is kept as text for machines; as it stands if it is none."""
    try:
        match name:
            case "quota":
                return quota_text(Quota.parse(text), t)
            case "rate":
                return rate_text(Rate.parse(text), t)
            case _:
                return stamp(datetime.fromisoformat(text))
    except ValueError:
        return plain(text)
