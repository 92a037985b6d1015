"""`/preset`: a server's own styles, from the form to a picture that is drawn again years later."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import discord
import pytest
import simcord
from simcord.actors import MemberActor
from sqlalchemy import select

from bot.database.models import AuditRow, PresetRow
from tests.integration.simcord_limits import Place, new_place
from tests.integration.simcord_world import (
    World,
    embed_fields,
    interactions_with,
    is_japanese,
    negative_prompt,
    open_world,
    parameters,
    pictures,
    sent_messages,
)

LOCALES = pytest.mark.parametrize("locale", ["en-US", "ja"])
FOGGY = {"name": "Foggy", "description": "soft and grey", "prompt": "fog, mist", "negative": "sun, blue sky"}


@pytest.fixture(scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """One bot for all servers of this file."""
    async with open_world(tmp_path_factory.mktemp("presets")) as world:
        yield world


@pytest.fixture
async def place(world: World) -> Place:
    return await new_place(world)


@pytest.fixture
async def manager(place: Place) -> MemberActor:
    """Somebody who manages the server."""
    role = place.guild.create_role("managers", permissions=discord.Permissions(manage_guild=True))
    actor = place.guild.add_member(place.world.env.create_user("manager"), roles=[role])
    await place.world.env.settle()
    return actor


async def submit(
    place: Place,
    actor: MemberActor,
    command: str,
    values: dict[str, str],
    locale: str = "en-US",
    **options: Any,
) -> simcord.ResponseMessage:
    """Fill in the form that a command shows; returns its private answer."""
    with interactions_with(locale=locale):
        shown = await actor.slash(place.channel, command, **options)
        assert shown.modal is not None, shown.response and shown.response.content
        result = await actor.submit_modal(shown, values)
    assert result.response is not None
    assert result.response.ephemeral
    return result.response


async def create(place: Place, actor: MemberActor, **changes: str) -> simcord.ResponseMessage:
    return await submit(place, actor, "preset create", FOGGY | changes)


async def edit(place: Place, actor: MemberActor, **changes: str) -> simcord.ResponseMessage:
    texts = {key: value for key, value in (FOGGY | changes).items() if key != "name"}
    return await submit(place, actor, "preset edit", texts, name="foggy")


async def says(place: Place, actor: MemberActor, command: str, **options: str) -> simcord.ResponseMessage:
    result = await actor.slash(place.channel, command, **options)
    assert result.response is not None
    assert result.response.ephemeral
    return result.response


async def audit(place: Place) -> list[AuditRow]:
    async with place.world.database.session() as session:
        rows = await session.scalars(
            select(AuditRow).where(AuditRow.guild_id == place.guild.id).order_by(AuditRow.id)
        )
        return list(rows)


# --- from the form to a picture ---


async def test_a_new_preset_can_be_used_at_once(place: Place, manager: MemberActor) -> None:
    answer = await create(place, manager)
    assert answer.content == "The preset “Foggy” can be used from now on."
    fields = embed_fields(answer)
    assert (fields["Added to the prompt"], fields["Kept out of the picture"]) == (
        "fog, mist",
        "sun, blue sky",
    )
    message = await place.drawn(preset=" FOGGY ", anatomy=False, seed="1")
    [text] = await parameters(message)
    assert text.startswith("1girl, fog, mist\n")
    assert negative_prompt(text) == "sun, blue sky"
    assert text.endswith("Preset: Foggy@1")
    assert embed_fields(message)["Preset"] == "Foggy@1"


async def test_an_old_picture_can_be_made_again(place: Place, manager: MemberActor) -> None:
    """After its preset was changed, and after it was deleted."""
    await create(place, manager)
    old = await pictures(await place.drawn(preset="Foggy", seed="1"))
    await edit(place, manager, prompt="thick fog")
    new = await place.drawn(preset="Foggy", seed="1")
    assert embed_fields(new)["Preset"] == "Foggy@2"
    assert (await parameters(new))[0].startswith("1girl, thick fog\n")
    assert await pictures(new) != old
    assert await pictures(await place.drawn(preset="Foggy@1", seed="1")) == old

    answer = await says(place, manager, "preset delete", name="Foggy")
    assert answer.content == (
        "The preset “Foggy” is deleted. Pictures that were made with it can be made again with `Foggy@2`."
    )
    assert (await place.refused(preset="Foggy")).startswith("There is no preset “foggy”")
    assert await pictures(await place.drawn(preset="foggy@1", seed="1")) == old
    assert await pictures(await place.drawn(preset="Foggy@2", seed="1")) == await pictures(new)
    assert (await place.refused(preset="Foggy@3")).startswith("There is no preset “foggy@3”")

    await create(place, manager, prompt="haze")
    again = await place.drawn(preset="Foggy", seed="1")
    assert embed_fields(again)["Preset"] == "Foggy@4", "the versions of before keep their numbers"


async def test_a_preset_belongs_to_its_server(world: World, place: Place, manager: MemberActor) -> None:
    await create(place, manager)
    other = await new_place(world)
    text = await other.refused(preset="Foggy")
    assert text.startswith("There is no preset “foggy”")
    assert "2022 Artstyle" in text


async def test_members_are_offered_the_servers_own_after_the_others(
    place: Place, manager: MemberActor
) -> None:
    await create(place, manager)
    choices = await place.mika.autocomplete(place.channel, "trinart", "preset", "", prompt="1girl")
    assert [choice["value"] for choice in choices][4:] == ["Foggy"]
    assert choices[-1]["name"] == "Foggy — soft and grey"
    for command in ("preset edit", "preset delete", "preset show"):
        choices = await manager.autocomplete(place.channel, command, "name", "fo")
        assert [choice["value"] for choice in choices] == ["Foggy"]


@pytest.mark.parametrize(
    ("default", "used"), [("foggy", "Foggy@2"), ("Foggy@1", "Foggy@1"), ("gone", "None")]
)
async def test_it_can_be_the_default_of_its_server(
    place: Place, manager: MemberActor, default: str, used: str
) -> None:
    await create(place, manager)
    await edit(place, manager, prompt="thick fog")
    await place.settings(default_preset=default)
    assert embed_fields(await place.drawn())["Preset"] == used


# --- looking ---


@LOCALES
async def test_anybody_may_look(place: Place, manager: MemberActor, locale: str) -> None:
    [embed] = (await place.says("preset list", locale)).embeds
    assert is_japanese(embed.description or "") == (locale == "ja")
    await create(place, manager)
    await edit(place, manager, description="grey")
    [embed] = (await place.says("preset list", locale)).embeds
    assert embed.description == "**Foggy** `@2` — grey"
    message = await place.says("preset show", locale, name="foggy")
    assert message.embeds[0].title == "Foggy@2"
    versions = list(embed_fields(message).values())[-1]
    assert [line.split()[0] for line in versions.splitlines()] == ["`@2`", "`@1`"]
    assert f"<@{manager.id}>" in versions
    message = await place.says("preset show", locale, name="Foggy@1")
    assert message.embeds[0].description == "soft and grey"


@LOCALES
async def test_one_that_is_not_there(place: Place, locale: str) -> None:
    message = await place.says("preset show", locale, name="Sunny")
    assert "Sunny" in message.content
    assert is_japanese(message.content) == (locale == "ja")


# --- changing ---


@LOCALES
@pytest.mark.parametrize("command", ["preset create", "preset edit", "preset delete"])
async def test_who_does_not_manage_the_server_changes_nothing(
    place: Place, manager: MemberActor, command: str, locale: str
) -> None:
    await create(place, manager)
    options = {} if command == "preset create" else {"name": "Foggy"}
    message = await place.says(command, locale, **options)
    assert is_japanese(message.content) == (locale == "ja")
    assert locale == "ja" or message.content == (
        "Only members with the permission Manage Server can change presets."
    )
    assert [row.action for row in await audit(place)] == ["preset.create"]


async def test_a_permission_that_was_lost_while_the_form_was_open(place: Place, manager: MemberActor) -> None:
    shown = await manager.slash(place.channel, "preset create")
    place.world.env.backend.get_guild(place.guild.id).members[manager.id].role_ids.clear()
    result = await manager.submit_modal(shown, FOGGY)
    assert result.response is not None
    assert "Manage Server" in result.response.content
    assert await audit(place) == []


async def test_a_preset_that_was_deleted_while_the_form_was_open(place: Place, manager: MemberActor) -> None:
    await create(place, manager)
    shown = await manager.slash(place.channel, "preset edit", name="foggy")
    await says(place, manager, "preset delete", name="foggy")
    result = await manager.submit_modal(shown, {"prompt": "much thicker fog"})
    assert result.response is not None
    assert "no preset “Foggy” of its own" in result.response.content
    [file] = result.response.attachments
    assert b"much thicker fog" in await file.read()


async def test_an_edit_shows_what_it_changes_and_keeps_the_rest(place: Place, manager: MemberActor) -> None:
    await create(place, manager)
    shown = await manager.slash(place.channel, "preset edit", name="foggy")
    assert shown.modal is not None
    inputs = [label["component"] for label in shown.modal["components"]]
    assert {each["custom_id"]: each["value"] for each in inputs} == {
        key: value for key, value in FOGGY.items() if key != "name"
    }
    answer = await edit(place, manager, prompt="thick fog")
    assert answer.content == "“Foggy” is at version 2 now. The earlier one stays as `Foggy@1`."
    assert embed_fields(answer) == {"Added to the prompt": "**−** fog, mist\n**+** thick fog"}


async def test_an_edit_that_changes_nothing_makes_no_version(place: Place, manager: MemberActor) -> None:
    await create(place, manager)
    assert (await edit(place, manager)).content == "Nothing was changed."
    assert [row.action for row in await audit(place)] == ["preset.create"]


async def test_each_change_is_logged_with_before_and_after(place: Place, manager: MemberActor) -> None:
    await create(place, manager)
    await edit(place, manager, prompt="thick fog")
    await says(place, manager, "preset delete", name="Foggy")
    rows = await audit(place)
    assert [(row.action, row.target, row.actor_id) for row in rows] == [
        (action, "preset:Foggy", manager.id) for action in ("preset.create", "preset.edit", "preset.delete")
    ]
    first = {"version": 1} | {key: value for key, value in FOGGY.items() if key != "name"}
    second = first | {"version": 2, "prompt": "thick fog"}
    assert [(row.before, row.after) for row in rows] == [(None, first), (first, second), (second, None)]


@LOCALES
async def test_the_log_of_the_admins_tells_of_presets(
    place: Place, manager: MemberActor, locale: str
) -> None:
    """In words, with what is different only; and a preset's name is never taken for somebody."""
    await create(place, manager, name="member:1")
    texts = {key: value for key, value in FOGGY.items() if key != "name"} | {"prompt": "thick fog"}
    await submit(place, manager, "preset edit", texts, name="member:1")
    with interactions_with(locale=locale):
        [embed] = (await says(place, manager, "admin log")).embeds
    edited, facts, created, _ = (embed.description or "").splitlines()
    assert is_japanese(edited) == is_japanese(facts) == (locale == "ja")
    assert "· member:1" in edited
    assert "· member:1" in created
    if locale == "en-US":
        assert "**Preset changed**" in edited
        assert facts == "-# version: 1 → 2; prompt: fog, mist → thick fog"


MISTAKES: dict[str, tuple[dict[str, str], str]] = {
    "name in use": ({"name": "FOGGY"}, "There is a preset “Foggy” already"),
    "name of a shipped one": ({"name": "more details"}, "There is a preset “more details” already"),
    "name with a version": ({"name": "Fog@2"}, "1 to 32 characters"),
    "blank name": ({"name": " \u200b"}, "1 to 32 characters"),
    "name that grows": ({"name": "ΐ" * 32}, "1 to 32 characters"),
    "no words": ({"name": "Empty", "prompt": " ", "negative": ""}, "needs words"),
    "invisible words": ({"name": "Evil", "prompt": "fog\u202etsim"}, "invisible control characters"),
}


@LOCALES
@pytest.mark.parametrize(("changes", "says"), MISTAKES.values(), ids=MISTAKES.keys())
async def test_a_mistake_in_the_form_says_what_to_change(
    place: Place, manager: MemberActor, changes: dict[str, str], says: str, locale: str
) -> None:
    await create(place, manager)
    answer = await submit(place, manager, "preset create", FOGGY | changes, locale)
    assert is_japanese(answer.content) == (locale == "ja")
    if locale == "en-US":
        assert says in answer.content
    assert len(await audit(place)) == 1
    [file] = answer.attachments
    text = (await file.read()).decode()
    assert all(typed in text for typed in (FOGGY | changes).values()), "nobody has to type it again"


async def test_a_server_has_room_for_fifty(place: Place, manager: MemberActor) -> None:
    now = discord.utils.utcnow()
    await place.add(
        *(
            PresetRow(
                guild_id=place.guild.id,
                key=f"p{number}",
                version=1,
                name=f"P{number}",
                description="x" * 100,
                prompt="fog",
                negative="",
                deleted=False,
                actor_id=1,
                created_at=now,
            )
            for number in range(50)
        )
    )
    assert "50 presets" in (await create(place, manager)).content
    assert len((await says(place, manager, "preset list")).embeds[0].description or "") <= 4096
    choices = await place.mika.autocomplete(place.channel, "trinart", "preset", "p", prompt="1girl")
    assert len(choices) == 25
    await says(place, manager, "preset delete", name="P7")
    assert "can be used" in (await create(place, manager)).content


async def test_what_presets_say_pings_nobody(place: Place, manager: MemberActor) -> None:
    first = len(place.world.env.http_requests)
    await create(place, manager, name="＠everyone", prompt="<@1> *fog*")
    await says(place, manager, "preset show", name="＠everyone")
    bodies = sent_messages(place.world.env, first)
    assert len(bodies) >= 2
    assert all(body["allowed_mentions"] == {"parse": []} for body in bodies)


async def test_a_preset_is_kept_out_of_private_messages(world: World) -> None:
    with pytest.raises(simcord.SetupError):
        await world.mika.user.slash("preset list")
