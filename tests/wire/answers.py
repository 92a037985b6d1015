"""What a bot does with an interaction's token: the first answer, its edits, and further messages.

These routes need no bot token, because the token in the path is enough, and it is what expires.
"""

from __future__ import annotations

import time

from . import refusals
from .handles import EPHEMERAL, LOADING, Interaction, StoredFile
from .payloads import JSON
from .routing import Call, Reply, RouteTable
from .world import World

CALLBACK_TYPES = {2: {4, 5, 9}, 3: {4, 5, 6, 7, 9}, 4: {8}, 5: {4, 5, 6, 7}}
"""Which first answers each kind of interaction may get."""


class InteractionRoutes:
    """The routes below an interaction's token."""

    def __init__(self, world: World, table: RouteTable, callback_window: float) -> None:
        self.world = world
        self.callback_window = callback_window
        self._add = table.add
        self._add_interaction_routes()

    def _add_interaction_routes(self) -> None:
        self._add(
            "POST", "/interactions/{interaction_id}/{token}/callback", self._callback, needs_token=False
        )
        webhook = "/webhooks/{app}/{token}"
        self._add("POST", webhook, self._followup, needs_token=False)
        for method, handler in (
            ("GET", self._get_answer),
            ("PATCH", self._patch_answer),
            ("DELETE", self._delete_answer),
        ):
            self._add(method, webhook + "/messages/{message}", handler, needs_token=False)

    def _callback(self, call: Call, interaction_id: str, token: str) -> Reply:
        interaction = self.world.interactions.get(token)
        if interaction is None or interaction.id != interaction_id or interaction.expired:
            raise refusals.unknown_interaction()
        if interaction.acknowledged:
            raise refusals.already_acknowledged()
        if call.at - interaction.sent_at > self.callback_window:
            raise refusals.unknown_interaction()
        call.check_size(interaction.payload["attachment_size_limit"])
        kind: int = call.body["type"]
        if kind not in CALLBACK_TYPES[interaction.payload["type"]]:
            raise refusals.invalid_form("type", f"Callback type {kind} does not fit this interaction.")
        self._perform(interaction, kind, call.body.get("data") or {}, call.uploads)
        interaction.callback_type = kind
        interaction.acknowledged_at = time.monotonic()
        if interaction.message is not None:
            self.world.changed(interaction.message)
        if call.query.get("with_response") in ("1", "true"):
            return 200, _callback_result(interaction)
        return 204, None

    def _perform(
        self, interaction: Interaction, kind: int, data: JSON, uploads: dict[int, StoredFile]
    ) -> None:
        """Do what the first answer asks for."""
        flags = data.get("flags", 0)
        if kind in (4, 5):
            reply_kind = 20 if interaction.payload["type"] == 2 else 0
            flags |= LOADING if kind == 5 else 0
            draft = self.world.draft(
                interaction.payload["channel_id"], kind=reply_kind, flags=flags, via=interaction
            )
            if kind == 4:
                self.world.fill(draft, data, uploads, creating=True)
            self.world.messages[draft["id"]] = interaction.message = draft
            interaction.ephemeral = bool(flags & EPHEMERAL)
        elif kind in (6, 7):
            interaction.message = self.world.messages[interaction.payload["message"]["id"]]
            interaction.ephemeral = bool(interaction.message["flags"] & EPHEMERAL)
            if kind == 7:
                self.world.fill(interaction.message, data, uploads)
        elif kind == 8:
            interaction.choices = data.get("choices", [])
        else:
            interaction.modal = data

    def _by_token(self, app: str, token: str) -> Interaction:
        interaction = self.world.interactions.get(token)
        if interaction is None or interaction.expired:
            raise refusals.invalid_webhook_token()
        if app != self.world.app_id or not interaction.acknowledged:
            raise refusals.unknown_webhook()
        return interaction

    def _answer_message(self, app: str, token: str, message: str) -> tuple[Interaction, JSON]:
        """The message that ``@original`` or an id means for this token."""
        interaction = self._by_token(app, token)
        known = {m["id"]: m for m in [*interaction.followups, *filter(None, [interaction.message])]}
        target = interaction.message if message == "@original" else known.get(message)
        if target is None:
            raise refusals.unknown_message()
        return interaction, target

    def _followup(self, call: Call, app: str, token: str) -> Reply:
        """A further message; after a deferral, the first one takes the place of "is thinking…"."""
        interaction = self._by_token(app, token)
        call.check_size(interaction.payload["attachment_size_limit"])
        original = interaction.message
        if original is not None and original["flags"] & LOADING:
            self.world.fill(original, call.body, call.uploads)
            self.world.changed(original)
            return 200, original
        channel: str = interaction.payload["channel_id"]
        draft = self.world.draft(channel, kind=19, flags=call.body.get("flags", 0), via=interaction)
        interaction.followups.append(self.world.post(draft, call.body, call.uploads))
        return 200, draft

    def _get_answer(self, call: Call, app: str, token: str, message: str) -> Reply:
        return 200, self._answer_message(app, token, message)[1]

    def _patch_answer(self, call: Call, app: str, token: str, message: str) -> Reply:
        interaction, target = self._answer_message(app, token, message)
        call.check_size(interaction.payload["attachment_size_limit"])
        self.world.fill(target, call.body, call.uploads)
        self.world.changed(target)
        return 200, target

    def _delete_answer(self, call: Call, app: str, token: str, message: str) -> Reply:
        interaction, target = self._answer_message(app, token, message)
        if target in interaction.followups:
            interaction.followups.remove(target)
        self.world.delete(target)
        return 204, None


def _callback_result(interaction: Interaction) -> JSON:
    """What a callback with ``with_response`` answers."""
    result: JSON = {"id": interaction.id, "type": interaction.payload["type"]}
    made = interaction.message
    if made is not None:
        result["response_message_id"] = made["id"]
        result["response_message_loading"] = bool(made["flags"] & LOADING)
        result["response_message_ephemeral"] = bool(made["flags"] & EPHEMERAL)
    resource: JSON = {"type": interaction.callback_type}
    if interaction.callback_type in (4, 7):
        resource["message"] = made
    return {"interaction": result, "resource": resource}
