"""The state of the loopback Discord: channels, messages, files, commands and interactions.

Nothing in this module knows of sockets. The HTTP side and the gateway change this state, and each
change wakes whoever waits for one, so that no test ever has to sleep.
"""

from __future__ import annotations

import copy
import mimetypes
import secrets
from typing import Any

from . import refusals
from .handles import EPHEMERAL, LOADING, Interaction, Pulse, StoredFile
from .payloads import ALL_PERMISSIONS, JSON, application, dm_channel, message, now_iso, snowflake, user

DEFAULT_UPLOAD_LIMIT = 10 * 1024 * 1024


class World:
    """Everything that a Discord remembers for one bot."""

    def __init__(self, token: str, guilds: list[JSON]) -> None:
        self.token = token
        self.app_id = snowflake()
        self.bot = user("loopback-bot", bot=True, user_id=self.app_id)
        self.application = application(self.app_id, user("owner"))
        self.guilds: dict[str, JSON] = {g["id"]: g for g in guilds}
        self.channels: dict[str, JSON] = {c["id"]: c for g in guilds for c in g["channels"] + g["threads"]}
        self.messages: dict[str, JSON] = {}
        self.files: dict[str, StoredFile] = {}
        self.commands: dict[str | None, dict[str, JSON]] = {}
        self.interactions: dict[str, Interaction] = {}
        self.default_user = user()
        self.users: dict[str, JSON] = {u["id"]: u for u in (self.bot, self.default_user)}
        self.pulse = Pulse()
        self.files_url = ""

    def dm_with(self, user_id: str) -> JSON:
        """The bot's private channel with a user, made on first use."""
        for channel in self.channels.values():
            if channel["type"] == 1 and channel["recipients"][0]["id"] == user_id:
                return channel
        channel = dm_channel(self.users[user_id])
        self.channels[channel["id"]] = channel
        return channel

    def new_interaction(self, kind: int, data: JSON, who: JSON, channel: JSON, extra: JSON) -> Interaction:
        """Build and remember an interaction; ``extra`` holds what depends on where it was started."""
        self.users.setdefault(who["id"], who)
        payload: JSON = {
            "id": snowflake(),
            "application_id": self.app_id,
            "type": kind,
            "token": secrets.token_urlsafe(32),
            "version": 1,
            "data": data,
            "channel_id": channel["id"],
            "channel": {**channel, "permissions": ALL_PERMISSIONS},
            "app_permissions": ALL_PERMISSIONS,
            "entitlements": [],
            "entitlement_sku_ids": [],
            "attachment_size_limit": DEFAULT_UPLOAD_LIMIT,
            **extra,
        }
        interaction = Interaction(payload, self.pulse)
        self.interactions[interaction.token] = interaction
        return interaction

    def post(self, draft: JSON, body: JSON, uploads: dict[int, StoredFile]) -> JSON:
        """Fill a message in and publish it."""
        self.fill(draft, body, uploads, creating=True)
        self.messages[draft["id"]] = draft
        return draft

    def fill(
        self, target: JSON, body: JSON, uploads: dict[int, StoredFile], *, creating: bool = False
    ) -> None:
        """Change the fields of a message that ``body`` names; nothing changes if Discord would refuse."""
        kept, added = self._attachment_plan(target, body, uploads)
        refusals.check_message(body, len(kept) + len(added), creating=creating)
        target["attachments"] = kept + [self._store(target, *entry) for entry in added]
        for key in ("content", "embeds", "components"):
            if key in body:
                target[key] = copy.deepcopy(body[key]) or ("" if key == "content" else [])
        self._resolve_embed_images(target)
        self._find_mentions(target, body.get("allowed_mentions"))
        target["flags"] &= ~LOADING
        if not creating:
            asked = body.get("flags", target["flags"])
            target["flags"] = target["flags"] & EPHEMERAL | asked & ~(EPHEMERAL | LOADING)
            target["edited_timestamp"] = now_iso()

    def changed(self, target: JSON, *, deleted: bool = False) -> None:
        """Note a message's new state with each interaction that it answers, and wake the waiters."""
        for interaction in self.interactions.values():
            if interaction.message is target:
                interaction.record(deleted=deleted)
        self.pulse.fire()

    def delete(self, target: JSON) -> None:
        """Take a message away."""
        self.messages.pop(target["id"], None)
        self.changed(target, deleted=True)
        for interaction in self.interactions.values():
            if interaction.message is target:
                interaction.message = None

    def draft(
        self, channel_id: str, *, kind: int = 0, flags: int = 0, via: Interaction | None = None
    ) -> JSON:
        """An empty message by the bot, marked as an interaction's when it is one."""
        made = message(channel_id, self.bot, kind=kind, flags=flags)
        if via is not None:
            owners = via.payload.get("authorizing_integration_owners", {})
            made["webhook_id"] = made["application_id"] = self.app_id
            made["interaction_metadata"] = {
                "id": via.id,
                "type": via.payload["type"],
                "user": via.user,
                "authorizing_integration_owners": owners,
            }
        return made

    @staticmethod
    def _attachment_plan(
        target: JSON, body: JSON, uploads: dict[int, StoredFile]
    ) -> tuple[list[JSON], list[tuple[StoredFile, JSON]]]:
        """Which attachments stay and which are new: naming attachments drops those left unnamed."""
        listed: list[JSON] | None = body.get("attachments")
        if listed is None:
            return list(target["attachments"]), [(upload, {}) for upload in uploads.values()]
        existing = {a["id"]: a for a in target["attachments"]}
        kept = [existing[str(entry["id"])] for entry in listed if str(entry["id"]) in existing]
        described = {str(entry["id"]): entry for entry in listed}
        return kept, [(upload, described.get(str(index), {})) for index, upload in uploads.items()]

    def _store(self, target: JSON, upload: StoredFile, entry: JSON) -> JSON:
        """Keep an uploaded file and describe it the way a message's attachment is."""
        attachment_id = snowflake()
        filename = entry.get("filename") or upload.filename
        kept = StoredFile(filename, entry.get("description"), upload.content_type, upload.data)
        self.files[attachment_id] = kept
        url = f"{self.files_url}/{target['channel_id']}/{attachment_id}/{filename}"
        attachment: dict[str, Any] = {"id": attachment_id, "filename": filename, "size": len(kept.data)}
        attachment |= {
            "url": url,
            "proxy_url": url,
            "content_type": guess_type(filename, upload.content_type),
        }
        if kept.description is not None:
            attachment["description"] = kept.description
        if target["flags"] & EPHEMERAL:
            attachment["ephemeral"] = True
        return attachment

    @staticmethod
    def _resolve_embed_images(target: JSON) -> None:
        """Turn ``attachment://name`` into the file's address, as the real one does on arrival."""
        urls = {f"attachment://{a['filename']}": a["url"] for a in target["attachments"]}
        for embed in target["embeds"]:
            for slot in ("image", "thumbnail"):
                image = embed.get(slot)
                if image and image.get("url") in urls:
                    image["url"] = urls[image["url"]]

    def _find_mentions(self, target: JSON, allowed: JSON | None) -> None:
        """Work out whom the text pings: everyone it names, less what ``allowed_mentions`` forbids."""
        content: str = target["content"]
        parse = ["everyone", "users"] if allowed is None else allowed.get("parse", [])
        listed = [] if allowed is None else [str(u) for u in allowed.get("users", [])]
        everyone = "@everyone" in content or "@here" in content
        target["mention_everyone"] = everyone and "everyone" in parse
        named = [u for i, u in self.users.items() if f"<@{i}>" in content or f"<@!{i}>" in content]
        target["mentions"] = [u for u in named if "users" in parse or u["id"] in listed]


def guess_type(filename: str, fallback: str) -> str:
    """A media type from a file's name, which is what Discord shows rather than what was declared."""
    return mimetypes.guess_type(filename, strict=False)[0] or fallback
