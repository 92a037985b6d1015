"""What a bot does with its own token: who it is, its commands, its channels and their messages."""

from __future__ import annotations

from . import refusals
from .handles import EPHEMERAL
from .payloads import JSON, snowflake
from .routing import Call, Reply, RouteTable
from .world import DEFAULT_UPLOAD_LIMIT, World


class BotRoutes:
    """The routes that a bot calls with its own token."""

    def __init__(self, world: World, table: RouteTable, gateway_url: str) -> None:
        self.world = world
        self.gateway_url = gateway_url
        self._add = table.add
        self._add_bot_routes()
        self._add_command_routes("/applications/{app}/commands")
        self._add_command_routes("/applications/{app}/guilds/{guild}/commands")

    def _add_bot_routes(self) -> None:
        world = self.world
        limit = {"total": 1000, "remaining": 999, "reset_after": 0, "max_concurrency": 1}
        self._add("GET", "/users/@me", lambda call: (200, world.bot))
        self._add("GET", "/users/{user}", self._get_user)
        self._add("GET", "/oauth2/applications/@me", lambda call: (200, world.application))
        self._add("GET", "/applications/@me", lambda call: (200, world.application))
        self._add("GET", "/gateway", lambda call: (200, {"url": self.gateway_url}), needs_token=False)
        gateway_bot = {"url": self.gateway_url, "shards": 1, "session_start_limit": limit}
        self._add("GET", "/gateway/bot", lambda call: (200, gateway_bot))
        self._add(
            "POST", "/users/@me/channels", lambda call: (200, world.dm_with(str(call.body["recipient_id"])))
        )
        self._add("GET", "/channels/{channel}", lambda call, channel: (200, self._channel(channel)))
        self._add(
            "POST", "/channels/{channel}/typing", lambda call, channel: (204, self._channel(channel) and None)
        )
        self._add("GET", "/channels/{channel}/messages", self._list_messages)
        self._add("POST", "/channels/{channel}/messages", self._post_message)
        self._add("GET", "/channels/{channel}/messages/{message}", self._get_message)
        self._add("PATCH", "/channels/{channel}/messages/{message}", self._patch_message)
        self._add("DELETE", "/channels/{channel}/messages/{message}", self._delete_message)

    def _add_command_routes(self, base: str) -> None:
        self._add("GET", base, self._list_commands)
        self._add("PUT", base, self._replace_commands)
        self._add("POST", base, self._upsert_command)
        self._add("GET", base + "/{command}", self._get_command)
        self._add("PATCH", base + "/{command}", self._patch_command)
        self._add("DELETE", base + "/{command}", self._delete_command)

    def _get_user(self, call: Call, user: str) -> Reply:
        if user not in self.world.users:
            raise refusals.DiscordError(404, 10013, "Unknown User")
        return 200, self.world.users[user]

    # Application commands

    def _list_commands(self, call: Call, app: str, guild: str | None = None) -> Reply:
        return 200, list(self.world.commands.get(guild, {}).values())

    def _replace_commands(self, call: Call, app: str, guild: str | None = None) -> Reply:
        if guild is not None and guild not in self.world.guilds:
            raise refusals.missing_access()
        for command in call.body:
            refusals.check_command(command)
        before = {_command_key(c): c for c in self.world.commands.get(guild, {}).values()}
        stored = [self._stored_command(c, guild, before.get(_command_key(c))) for c in call.body]
        self.world.commands[guild] = {c["id"]: c for c in stored}
        return 200, stored

    def _upsert_command(self, call: Call, app: str, guild: str | None = None) -> Reply:
        refusals.check_command(call.body)
        present = self.world.commands.setdefault(guild, {})
        same = next((c for c in present.values() if _command_key(c) == _command_key(call.body)), None)
        stored = self._stored_command(call.body, guild, same)
        present[stored["id"]] = stored
        return 200 if same else 201, stored

    def _get_command(self, call: Call, app: str, command: str, guild: str | None = None) -> Reply:
        return 200, self._command(command, guild)

    def _patch_command(self, call: Call, app: str, command: str, guild: str | None = None) -> Reply:
        changed = {**self._command(command, guild), **call.body, "version": snowflake()}
        refusals.check_command(changed)
        self.world.commands[guild][command] = changed
        return 200, changed

    def _delete_command(self, call: Call, app: str, command: str, guild: str | None = None) -> Reply:
        self._command(command, guild)
        del self.world.commands[guild][command]
        return 204, None

    def _command(self, command: str, guild: str | None) -> JSON:
        try:
            return self.world.commands[guild][command]
        except KeyError:
            raise refusals.DiscordError(404, 10063, "Unknown application command") from None

    def _stored_command(self, command: JSON, guild: str | None, same: JSON | None) -> JSON:
        """A command with the fields that Discord adds; one that is registered again keeps its id."""
        added: JSON = {"id": same["id"] if same else snowflake(), "application_id": self.world.app_id}
        if guild is not None:
            added["guild_id"] = guild
        defaults: JSON = {"type": 1, "description": "", "default_member_permissions": None, "nsfw": False}
        return {**defaults, **command, **added, "version": snowflake()}

    # Channels and their messages

    def _channel(self, channel: str) -> JSON:
        if channel in self.world.channels:
            return self.world.channels[channel]
        if any(i.payload["channel_id"] == channel for i in self.world.interactions.values()):
            raise refusals.missing_access()
        raise refusals.unknown_channel()

    def _message(self, channel: str, message: str) -> JSON:
        """A message as the bot's own token sees it: no ephemeral ones, those live in interactions."""
        self._channel(channel)
        found = self.world.messages.get(message)
        if found is None or found["channel_id"] != channel or found["flags"] & EPHEMERAL:
            raise refusals.unknown_message()
        return found

    def _list_messages(self, call: Call, channel: str) -> Reply:
        self._channel(channel)
        seen = [
            m
            for m in self.world.messages.values()
            if m["channel_id"] == channel and not m["flags"] & EPHEMERAL
        ]
        limit = int(call.query.get("limit", 50))
        if "after" in call.query:
            # The oldest of those after it, and still the newest first.
            later = [m for m in seen if int(m["id"]) > int(call.query["after"])]
            return 200, later[:limit][::-1]
        if "before" in call.query:
            seen = [m for m in seen if int(m["id"]) < int(call.query["before"])]
        return 200, seen[::-1][:limit]

    def _post_message(self, call: Call, channel: str) -> Reply:
        self._channel(channel)
        call.check_size(DEFAULT_UPLOAD_LIMIT)
        nonce = call.body.get("nonce")
        if nonce is not None and call.body.get("enforce_nonce"):
            for made in self.world.messages.values():
                if made["channel_id"] == channel and made.get("nonce") == nonce:
                    return 200, made  # sent before, within the minutes that Discord remembers
        reference = call.body.get("message_reference")
        draft = self.world.draft(channel, kind=19 if reference else 0, flags=call.body.get("flags", 0))
        if reference:
            draft["message_reference"] = {"channel_id": channel, **reference}
            draft["referenced_message"] = self.world.messages.get(str(reference["message_id"]))
        if nonce is not None:
            draft["nonce"] = nonce
        return 200, self.world.post(draft, call.body, call.uploads)

    def _get_message(self, call: Call, channel: str, message: str) -> Reply:
        return 200, self._message(channel, message)

    def _patch_message(self, call: Call, channel: str, message: str) -> Reply:
        target = self._message(channel, message)
        call.check_size(DEFAULT_UPLOAD_LIMIT)
        self.world.fill(target, call.body, call.uploads)
        self.world.changed(target)
        return 200, target

    def _delete_message(self, call: Call, channel: str, message: str) -> Reply:
        self.world.delete(self._message(channel, message))
        return 204, None


def _command_key(command: JSON) -> tuple[str, int]:
    """What makes two registrations the same command."""
    return command["name"], command.get("type", 1)
