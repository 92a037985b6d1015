"""What people do in a client: the data of a slash command, of a click, of a modal that was sent.

A client lets nobody send what the bot did not offer, so these builders look everything up in what
the bot registered or showed, and refuse what a person could not have done.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypedDict

from .handles import Interaction, StoredFile
from .payloads import ALL_PERMISSIONS, GROUP_DM, JSON, group_channel, member, snowflake, text_channel
from .refusals import walk_components
from .world import DEFAULT_UPLOAD_LIMIT, World, guess_type

SUB_COMMAND, SUB_COMMAND_GROUP, CHANNEL, ATTACHMENT = 1, 2, 7, 11


class ClickWhere(TypedDict, total=False):
    """Where something is done and with what client; all that is left out has a sensible default."""

    channel: JSON
    """Any channel, thread or DM; by default the guild's first channel, or the DM with the person."""
    guild_id: str | None
    """By default the channel's guild, or else the first one; ``None`` for a DM. An id that the bot's guilds
    lack is a guild that the bot is not in, where a person uses an app of their own."""
    context: int
    """0 guild, 1 DM with the bot, 2 any other private channel; by default what the channel implies."""
    locale: str
    """The language of the person's client."""
    attachment_size_limit: int
    authorizing_integration_owners: dict[str, str]
    permissions: str
    """The person's permissions, as Discord's decimal string."""


class Where(ClickWhere, total=False):
    """The same, with who does it."""

    user: JSON
    """The person; by default the world's one ordinary user."""


@dataclass(frozen=True)
class Place:
    """Where something is done: a channel, and the guild that it belongs to, if any."""

    channel: JSON
    guild_id: str | None
    context: int


def find_place(world: World, where: Where) -> Place:
    """Fill in what ``where`` leaves open about the place."""
    who = where.get("user", world.default_user)
    world.users.setdefault(who["id"], who)
    channel = where.get("channel")
    if "guild_id" in where:
        guild_id = where["guild_id"]
    else:
        guild_id = channel.get("guild_id") if channel else next(iter(world.guilds), None)
    if where.get("context", 0) > 0:
        guild_id = None
    if channel is None and guild_id is not None:
        known = world.guilds.get(guild_id)
        channel = known["channels"][0] if known else text_channel("elsewhere", guild_id=guild_id)
    elif channel is None:
        channel = group_channel(who) if where.get("context") == 2 else world.dm_with(who["id"])
    implied = 0 if guild_id is not None else 2 if channel["type"] == GROUP_DM else 1
    return Place(channel, guild_id, where.get("context", implied))


def begin(world: World, kind: int, data: JSON, where: Where, extra: JSON | None = None) -> Interaction:
    """A complete interaction of that kind, remembered but not yet sent."""
    place = find_place(world, where)
    who = where.get("user", world.default_user)
    about: JSON = {
        "context": place.context,
        "locale": where.get("locale", "en-US"),
        "attachment_size_limit": where.get("attachment_size_limit", DEFAULT_UPLOAD_LIMIT),
        "authorizing_integration_owners": where.get("authorizing_integration_owners")
        or default_owners(world, place, who),
        **(extra or {}),
    }
    if place.guild_id is None:
        about["user"] = who
    else:
        locale = world.guilds.get(place.guild_id, {}).get("preferred_locale", "en-US")
        about |= {"guild_id": place.guild_id, "guild_locale": locale}
        about["guild"] = {"id": place.guild_id, "locale": locale, "features": []}
        about["member"] = member(
            who, **({"permissions": where["permissions"]} if "permissions" in where else {})
        )
    return world.new_interaction(kind, data, who, place.channel, about)


def find_command(world: World, name: str, guild_id: str | None) -> JSON:
    """The registered command of that name; a guild's own comes before the global one."""
    for scope in (guild_id, None):
        for command in world.commands.get(scope, {}).values():
            if command["name"] == name and command.get("type", 1) == 1:
                return command
    raise ValueError(f"the bot has registered no command {name!r}")


def command_data(
    world: World, name: str, values: Mapping[str, Any], guild_id: str | None, focused: str | None = None
) -> JSON:
    """The ``data`` of a slash command. ``name`` may go on into subcommands, as in ``"image new"``."""
    top, *rest = name.split()
    command = find_command(world, top, guild_id)
    data: JSON = {"id": command["id"], "name": top, "type": 1}
    if "guild_id" in command:
        data["guild_id"] = command["guild_id"]
    level, definition = data, command
    for part in rest:
        definition = next(
            o for o in definition["options"] if o["name"] == part and o["type"] <= SUB_COMMAND_GROUP
        )
        inner: JSON = {"name": part, "type": definition["type"]}
        level["options"] = [inner]
        level = inner
    resolved: dict[str, JSON] = {}
    level["options"] = _typed_options(world, definition, values, focused, resolved)
    if resolved:
        data["resolved"] = resolved
    return data


def _typed_options(
    world: World,
    definition: JSON,
    values: Mapping[str, Any],
    focused: str | None,
    resolved: dict[str, JSON],
) -> list[JSON]:
    """The options; what they name by its id is added to ``resolved``, by kind and id."""
    defined: dict[str, JSON] = {o["name"]: o for o in definition.get("options") or []}
    if unknown := values.keys() - defined.keys():
        raise ValueError(f"the command has no option {sorted(unknown)}")
    missing = [n for n, o in defined.items() if o.get("required") and n not in values]
    if missing and focused is None:
        raise ValueError(f"a client would not send the command without {missing}")
    options: list[JSON] = []
    for name, value in values.items():
        option: JSON = {"name": name, "type": defined[name]["type"], "value": value}
        if option["type"] == ATTACHMENT:
            attached = _upload(world, value)
            resolved.setdefault("attachments", {})[attached["id"]] = attached
            option["value"] = attached["id"]
        elif option["type"] == CHANNEL:
            chosen = {**value, "permissions": ALL_PERMISSIONS}
            resolved.setdefault("channels", {})[value["id"]] = chosen
            option["value"] = value["id"]
        if name == focused:
            option["focused"] = True
        options.append(option)
    return options


def _upload(world: World, file: StoredFile) -> JSON:
    """A file that a person attaches to a command, with the address where the bot can fetch it."""
    attachment_id = snowflake()
    world.files[attachment_id] = file
    url = f"{world.files_url}/0/{attachment_id}/{file.filename}"
    kind = guess_type(file.filename, file.content_type)
    described: JSON = {
        "id": attachment_id,
        "filename": file.filename,
        "size": len(file.data),
        "content_type": kind,
    }
    return {**described, "url": url, "proxy_url": url, "ephemeral": True}


def component_data(message: JSON, custom_id: str, values: list[str] | None) -> JSON:
    """The ``data`` of a click on a button, or of a choice in a select menu when ``values`` is given."""
    shown = {c["custom_id"]: c for c in walk_components(message["components"]) if "custom_id" in c}
    if custom_id not in shown:
        raise ValueError(f"the message shows no {custom_id!r}, only {sorted(shown)}")
    component = shown[custom_id]
    if component.get("disabled"):
        raise ValueError(f"{custom_id!r} is disabled: nobody can use it")
    data: JSON = {"custom_id": custom_id, "component_type": component["type"], "id": component.get("id", 1)}
    return data if values is None else {**data, "values": values}


def modal_data(modal: JSON, values: Mapping[str, str]) -> JSON:
    """The ``data`` of a modal that a person filled in; ``values`` maps each input's custom id."""

    def filled(component: JSON) -> JSON:
        kept: JSON = {k: v for k, v in component.items() if k in ("type", "id", "custom_id")}
        if component["type"] == 4:
            kept["value"] = values.get(component["custom_id"], component.get("value") or "")
        if "components" in component:
            kept["components"] = [filled(c) for c in component["components"]]
        if "component" in component:
            kept["component"] = filled(component["component"])
        return kept

    return {"custom_id": modal["custom_id"], "components": [filled(c) for c in modal["components"]]}


def default_owners(world: World, place: Place, who: JSON) -> dict[str, str]:
    """Who installed the app, as far as this interaction shows: the guild ("0"), or the user ("1")."""
    if place.guild_id is not None and place.guild_id in world.guilds:
        return {"0": place.guild_id}
    if place.context == 1:
        return {"0": "0"}
    return {"1": who["id"]}
