"""While the engine starts: members are asked to come back, in private, and nothing is queued."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.integration.simcord_world import STUCK_WORKER, World, is_japanese, open_world, refusal


@pytest.fixture(scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """A bot whose engine is still starting: its worker never gets ready."""
    async with open_world(
        tmp_path_factory.mktemp("starting"), worker_module=STUCK_WORKER, wait_for_engine=False
    ) as world:
        yield world


@pytest.mark.parametrize("locale", ["en-US", "ja"])
async def test_members_are_asked_to_come_back(world: World, locale: str) -> None:
    text = await refusal(world, "1girl", locale)
    assert is_japanese(text) == (locale == "ja")
    assert "30秒" in text if locale == "ja" else "try again in half a minute" in text
    assert text.endswith(">>> 1girl")


async def test_typing_still_works(world: World) -> None:
    """The sizes are the model's, so there are none to suggest yet; the presets are known."""
    suggest = world.mika.autocomplete
    assert await suggest(world.channel, "trinart", "size", "") == []
    assert len(await suggest(world.channel, "trinart", "preset", "")) == 4


async def test_what_a_member_may_draw_is_told(world: World) -> None:
    """What the model's usual settings cost is not known yet: a picture counts as one."""
    result = await world.mika.slash(world.channel, "quota")
    assert result.response is not None
    assert "usual settings costs 1." in (result.response.embeds[0].description or "")
