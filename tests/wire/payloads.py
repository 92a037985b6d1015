"""Builders for the JSON objects that Discord sends: users, channels, guilds, messages.

Every builder returns a plain ``dict``, because that is what travels on the wire. They hold the
fields that Discord documents as always present, so that a client that trusts the documentation
finds what it expects.
"""

from __future__ import annotations

import itertools
import time
from datetime import UTC, datetime
from typing import Any, TypeAlias

JSON: TypeAlias = dict[str, Any]

DISCORD_EPOCH_MS = 1_420_070_400_000
ALL_PERMISSIONS = str((1 << 50) - 1)
MEMBER_PERMISSIONS = str(1 << 10 | 1 << 11 | 1 << 14 | 1 << 15 | 1 << 16 | 1 << 31)
"""View channel, send messages, embed links, attach files, read history, use application commands."""

TEXT, DM, GROUP_DM, PUBLIC_THREAD = 0, 1, 3, 11

_counter = itertools.count()


def snowflake() -> str:
    """A new id that carries the present time, as Discord's do: clients read the age from the id."""
    milliseconds = int(time.time() * 1000) - DISCORD_EPOCH_MS
    return str(milliseconds << 22 | next(_counter) & 0x3FFFFF)


def now_iso() -> str:
    """The present time the way Discord writes it."""
    return datetime.now(UTC).isoformat()


def user(name: str = "mira", *, bot: bool = False, user_id: str | None = None) -> JSON:
    """A user account."""
    return {
        "id": user_id or snowflake(),
        "username": name,
        "discriminator": "0",
        "global_name": name.title(),
        "avatar": None,
        "bot": bot,
        "public_flags": 0,
    }


def member(of: JSON, *, permissions: str = MEMBER_PERMISSIONS) -> JSON:
    """A user's membership of a guild, with the permissions that interactions carry."""
    return {
        "user": of,
        "nick": None,
        "avatar": None,
        "roles": [],
        "joined_at": "2024-01-01T00:00:00+00:00",
        "premium_since": None,
        "deaf": False,
        "mute": False,
        "pending": False,
        "flags": 0,
        "communication_disabled_until": None,
        "permissions": permissions,
    }


def text_channel(name: str = "general", *, guild_id: str | None = None, nsfw: bool = False) -> JSON:
    """A guild's text channel; ``guild`` fills the guild id in when it is given the channel."""
    return {
        "id": snowflake(),
        "type": TEXT,
        "guild_id": guild_id,
        "name": name,
        "position": 0,
        "topic": None,
        "nsfw": nsfw,
        "parent_id": None,
        "last_message_id": None,
        "rate_limit_per_user": 0,
        "permission_overwrites": [],
        "flags": 0,
    }


def thread(parent: JSON, name: str = "a-thread") -> JSON:
    """A public thread under a text channel."""
    return {
        "id": snowflake(),
        "type": PUBLIC_THREAD,
        "guild_id": parent["guild_id"],
        "parent_id": parent["id"],
        "owner_id": snowflake(),
        "name": name,
        "last_message_id": None,
        "rate_limit_per_user": 0,
        "message_count": 1,
        "member_count": 1,
        "total_message_sent": 1,
        "flags": 0,
        "thread_metadata": {
            "archived": False,
            "auto_archive_duration": 1440,
            "archive_timestamp": now_iso(),
            "create_timestamp": now_iso(),
            "locked": False,
        },
    }


def dm_channel(recipient: JSON) -> JSON:
    """The private channel between the bot and one user."""
    return {"id": snowflake(), "type": DM, "last_message_id": None, "flags": 0, "recipients": [recipient]}


def group_channel(*recipients: JSON) -> JSON:
    """A private group that the bot is no part of: what interaction context 2 is about."""
    return {
        "id": snowflake(),
        "type": GROUP_DM,
        "name": None,
        "icon": None,
        "owner_id": recipients[0]["id"],
        "last_message_id": None,
        "flags": 0,
        "recipients": list(recipients),
    }


def guild(
    name: str = "Workshop",
    *,
    locale: str = "en-US",
    channels: list[JSON] | None = None,
    guild_id: str | None = None,
) -> JSON:
    """A guild as GUILD_CREATE sends it, less the members, which the gateway adds."""
    guild_id = guild_id or snowflake()
    channels = channels if channels is not None else [text_channel()]
    for channel in channels:
        channel["guild_id"] = guild_id
    everyone: JSON = {
        "id": guild_id,
        "name": "@everyone",
        "color": 0,
        "hoist": False,
        "position": 0,
        "permissions": MEMBER_PERMISSIONS,
        "managed": False,
        "mentionable": False,
        "flags": 0,
    }
    return {
        "id": guild_id,
        "name": name,
        "icon": None,
        "owner_id": snowflake(),
        "roles": [everyone],
        "emojis": [],
        "stickers": [],
        "features": [],
        "preferred_locale": locale,
        "premium_tier": 0,
        "member_count": 2,
        "channels": channels,
        "threads": [],
    }


def application(app_id: str, owner: JSON) -> JSON:
    """What GET /oauth2/applications/@me answers."""
    return {
        "id": app_id,
        "name": "Loopback",
        "icon": None,
        "description": "",
        "summary": "",
        "verify_key": "0" * 64,
        "bot_public": True,
        "bot_require_code_grant": False,
        "owner": owner,
        "team": None,
        "flags": 0,
        "integration_types_config": {"0": {}, "1": {}},
    }


def message(channel_id: str, author: JSON, *, kind: int = 0, flags: int = 0) -> JSON:
    """An empty message by ``author``; what it says is filled in by the one that stores it."""
    return {
        "id": snowflake(),
        "type": kind,
        "channel_id": channel_id,
        "author": author,
        "content": "",
        "timestamp": now_iso(),
        "edited_timestamp": None,
        "tts": False,
        "mention_everyone": False,
        "mentions": [],
        "mention_roles": [],
        "attachments": [],
        "embeds": [],
        "components": [],
        "pinned": False,
        "flags": flags,
    }
