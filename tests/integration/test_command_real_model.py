"""The whole way with the demo model: torch draws what a member asked for in Discord."""

from __future__ import annotations

import hashlib
import io
from collections.abc import AsyncIterator

import pytest
from PIL import Image

from engine.models import DEMO_FOLDER, read_model
from tests.integration.simcord_world import (
    World,
    embed_fields,
    open_world,
    parameters,
    pictures,
    progress_edits,
    read_png,
)

CARD = read_model(DEMO_FOLDER)


@pytest.fixture(scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """One engine with torch for all tests of this file: it takes seconds to start."""
    async with open_world(
        tmp_path_factory.mktemp("real"), model="demo", worker_module="engine.worker"
    ) as world:
        yield world


def shades(png: bytes) -> int:
    """How many different colours a picture has."""
    with Image.open(io.BytesIO(png)) as picture:
        return len(picture.convert("RGB").getcolors(maxcolors=2**24) or [])


async def test_a_command_becomes_a_picture_of_the_demo_model(world: World) -> None:
    first = len(world.env.http_requests)
    message = await world.draw(prompt="1girl, blue hair, smile", preset="2022 Artstyle", seed="7")
    [png] = await pictures(message)
    text, size = read_png(png)
    width, height = next(iter(CARD.sizes.values()))
    assert size == (width * CARD.view_scale, height * CARD.view_scale)
    assert shades(png) > 1000, "not a blank picture"

    weights = next((DEMO_FOLDER / "unet").glob("*.safetensors"))
    model_hash = hashlib.sha256(weights.read_bytes()).hexdigest()[:10]
    assert f"Seed: 7, Size: {width}x{height}, Model hash: {model_hash}, Model: demo" in text
    assert embed_fields(message)["Model"] == f"demo `{model_hash}`"
    assert embed_fields(message)["Steps"] == str(CARD.default_steps)
    assert "enlarged" in embed_fields(message)["Size"]
    assert progress_edits(world.env, first)

    row = await world.last_job()
    assert (row.state, row.interaction_token) == ("delivered", None)
    assert row.model is not None
    assert row.model["hash"] == model_hash
    assert world.picture_files() == []


async def test_the_same_seed_gives_the_same_file(world: World) -> None:
    once = await pictures(await world.draw(prompt="1girl", seed="11", steps=6))
    again = await pictures(await world.draw(prompt="1girl", seed="11", steps=6))
    other = await pictures(await world.draw(prompt="1girl", seed="12", steps=6))
    assert once == again
    assert once != other


async def test_four_pictures_have_four_seeds_in_a_row(world: World) -> None:
    message = await world.draw(prompt="1girl", seed="50", steps=6, images=4)
    files = await pictures(message)
    assert len(set(files)) == 4, "four different pictures"
    for seed, text in zip(range(50, 54), await parameters(message), strict=True):
        assert f"Seed: {seed}, " in text


async def test_a_preset_changes_the_picture(world: World) -> None:
    """The negative prompt reaches the model, not only the embed."""
    plain = await pictures(await world.draw(prompt="1girl", seed="3", steps=6, cfg=7))
    styled = await pictures(await world.draw(prompt="1girl", seed="3", steps=6, cfg=7, preset="More Details"))
    assert plain != styled
