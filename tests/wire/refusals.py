"""What Discord refuses, and the numbered errors it answers with.

A bot that only ever meets a forgiving server finds these limits in production. The numbers are
those of Discord's published documentation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from .payloads import JSON

MAX_CONTENT = 2000
MAX_ATTACHMENTS = 10
MAX_ALT_TEXT = 1024
MAX_EMBEDS = 10
MAX_EMBED_TOTAL = 6000
EMBED_TEXT_LIMITS = {"title": 256, "description": 4096}
COMPONENT_TEXT_LIMITS = {"custom_id": 100, "label": 80, "placeholder": 150}


class DiscordError(Exception):
    """An answer other than success: an HTTP status with Discord's own error code and text."""

    def __init__(self, status: int, code: int, message: str, errors: JSON | None = None) -> None:
        super().__init__(f"{status} (code {code}): {message}")
        self.status = status
        self.body: JSON = {"message": message, "code": code}
        if errors is not None:
            self.body["errors"] = errors


def unauthorized() -> DiscordError:
    return DiscordError(401, 0, "401: Unauthorized")


def unknown_interaction() -> DiscordError:
    """Also what a callback that came later than three seconds gets."""
    return DiscordError(404, 10062, "Unknown interaction")


def already_acknowledged() -> DiscordError:
    return DiscordError(400, 40060, "Interaction has already been acknowledged.")


def invalid_webhook_token() -> DiscordError:
    """What the interaction's token gets once its fifteen minutes are over."""
    return DiscordError(401, 50027, "Invalid Webhook Token")


def unknown_webhook() -> DiscordError:
    return DiscordError(404, 10015, "Unknown Webhook")


def unknown_message() -> DiscordError:
    return DiscordError(404, 10008, "Unknown Message")


def unknown_channel() -> DiscordError:
    return DiscordError(404, 10003, "Unknown Channel")


def missing_access() -> DiscordError:
    """The bot is not in that channel's guild, as after a user installed it for themselves only."""
    return DiscordError(403, 50001, "Missing Access")


def too_large() -> DiscordError:
    return DiscordError(413, 40005, "Request entity too large")


def invalid_form(path: str, text: str, code: str = "BASE_TYPE_MAX_LENGTH") -> DiscordError:
    """A field that breaks a rule. ``path`` is dotted, and becomes the nested object Discord sends."""
    errors: JSON = {"_errors": [{"code": code, "message": text}]}
    for part in reversed(path.split(".")):
        errors = {part: errors}
    return DiscordError(400, 50035, "Invalid Form Body", errors)


def check_message(body: JSON, attachments: int, *, creating: bool) -> None:
    """Refuse a message that breaks a limit; ``attachments`` counts what it will have in the end."""
    content = body.get("content") or ""
    embeds = body.get("embeds") or []
    _check_length(content, MAX_CONTENT, "content")
    if attachments > MAX_ATTACHMENTS:
        raise invalid_form("attachments", f"Must be {MAX_ATTACHMENTS} or fewer.")
    for index, attachment in enumerate(body.get("attachments") or []):
        _check_length(attachment.get("description") or "", MAX_ALT_TEXT, f"attachments.{index}.description")
    _check_embeds(embeds)
    _check_components(body.get("components") or [])
    filled = (
        content or embeds or attachments or any(body.get(k) for k in ("components", "sticker_ids", "poll"))
    )
    if creating and not filled:
        raise DiscordError(400, 50006, "Cannot send an empty message")


def walk_components(components: Iterable[JSON]) -> Iterator[JSON]:
    """Every component of a message or a modal, however deep it is nested."""
    for component in components:
        yield component
        yield from walk_components(component.get("components") or [])
        for key in ("component", "accessory"):
            if key in component:
                yield from walk_components([component[key]])


def _check_length(text: str, limit: int, path: str) -> None:
    if len(text) > limit:
        raise invalid_form(path, f"Must be {limit} or fewer in length.")


def _check_embeds(embeds: list[JSON]) -> None:
    if len(embeds) > MAX_EMBEDS:
        raise invalid_form("embeds", f"Must be {MAX_EMBEDS} or fewer in length.")
    total = 0
    for index, embed in enumerate(embeds):
        for path, text, limit in _embed_texts(embed):
            _check_length(text, limit, f"embeds.{index}.{path}")
            total += len(text)
        if len(embed.get("fields") or []) > 25:
            raise invalid_form(f"embeds.{index}.fields", "Must be 25 or fewer in length.")
    if total > MAX_EMBED_TOTAL:
        raise invalid_form(
            "embeds", f"Embed size exceeds maximum size of {MAX_EMBED_TOTAL}", "MAX_EMBED_SIZE_EXCEEDED"
        )


def _embed_texts(embed: JSON) -> Iterator[tuple[str, str, int]]:
    """Each text of an embed with its path and its limit."""
    for key, limit in EMBED_TEXT_LIMITS.items():
        yield key, embed.get(key) or "", limit
    yield "footer.text", (embed.get("footer") or {}).get("text") or "", 2048
    yield "author.name", (embed.get("author") or {}).get("name") or "", 256
    for index, field in enumerate(embed.get("fields") or []):
        yield f"fields.{index}.name", field.get("name") or "", 256
        yield f"fields.{index}.value", field.get("value") or "", 1024


def _check_components(components: list[JSON]) -> None:
    seen: set[str] = set()
    for component in walk_components(components):
        for key, limit in COMPONENT_TEXT_LIMITS.items():
            value: Any = component.get(key)
            if isinstance(value, str):
                _check_length(value, limit, f"components.{key}")
        custom_id = component.get("custom_id")
        if custom_id is not None and custom_id in seen:
            raise invalid_form(
                "components.custom_id", "Component custom id cannot be duplicated", "DUPLICATED"
            )
        if custom_id is not None:
            seen.add(custom_id)


def check_command(command: JSON) -> None:
    """Refuse an application command that Discord would not register."""
    slash = command.get("type", 1) == 1
    _check_named(command, "", described=slash, slash=slash)
    _check_options(command.get("options") or [], "options")


def _check_named(entry: JSON, path: str, *, described: bool, slash: bool = True) -> None:
    """Names and descriptions, in the default language and in each translation of them."""
    for key in ("name", "description") if described else ("name",):
        limit = 32 if key == "name" else 100
        texts = {"": entry.get(key) or "", **(entry.get(f"{key}_localizations") or {})}
        for locale, text in texts.items():
            where = f"{path}{key}_localizations.{locale}" if locale else f"{path}{key}"
            if not 1 <= len(text) <= limit:
                raise invalid_form(where, f"Must be between 1 and {limit} in length.", "BASE_TYPE_BAD_LENGTH")
            if (
                slash
                and key == "name"
                and (text != text.lower() or not text.replace("-", "_").isidentifier())
            ):
                raise invalid_form(where, "Command name is invalid", "APPLICATION_COMMAND_INVALID_NAME")


def _check_options(options: list[JSON], path: str) -> None:
    if len(options) > 25:
        raise invalid_form(path, "Must be 25 or fewer in length.")
    optional_seen = False
    for index, option in enumerate(options):
        here = f"{path}.{index}."
        _check_named(option, here, described=True)
        _check_options(option.get("options") or [], f"{here}options")
        if option.get("required") and optional_seen:
            raise invalid_form(
                here + "required", "Required options must be placed before non-required options"
            )
        optional_seen = optional_seen or not option.get("required")
        choices = option.get("choices") or []
        if len(choices) > 25 or any(len(str(c["name"])) > 100 or len(str(c["value"])) > 100 for c in choices):
            raise invalid_form(here + "choices", "At most 25 choices, of 100 characters each.")
