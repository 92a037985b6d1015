"""A bot that cannot draw: members hear why, in private, and nothing is queued."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from engine.protocol import EngineUnavailable
from tests.integration.simcord_world import is_japanese, make_model, open_world, refusal

LOCALES = pytest.mark.parametrize("locale", ["en-US", "ja"])


def no_folder(folder: Path) -> Path:
    return folder


def empty_folder(folder: Path) -> Path:
    folder.mkdir()
    return folder


def empty_weights(folder: Path) -> Path:
    """As an interrupted download leaves them."""
    weights = next((make_model(folder) / "unet").glob("*.safetensors"))
    weights.unlink()
    weights.touch()
    return folder


def unreadable_card(folder: Path) -> Path:
    (make_model(folder) / "trinart_model.json").write_text("{", encoding="utf-8")
    return folder


@LOCALES
@pytest.mark.parametrize("broken", [no_folder, empty_folder, empty_weights, unreadable_card])
async def test_without_a_usable_model_members_hear_who_can_repair_it(
    tmp_path: Path, broken: Callable[[Path], Path], locale: str
) -> None:
    """The bot is up and says so; the reason itself is for the operator alone."""
    folder = broken(tmp_path / "model")
    async with open_world(tmp_path, model=folder) as world:
        assert isinstance(world.service.engine.status, EngineUnavailable)
        assert str(folder) in world.service.engine.status.reason

        text = await refusal(world, "1girl", locale)
        assert is_japanese(text) == (locale == "ja")
        assert "運営者" in text if locale == "ja" else "The host of this bot has to repair it" in text
        assert str(tmp_path) not in text
        assert text.endswith(">>> 1girl")


@LOCALES
async def test_a_bot_that_is_being_stopped_takes_nothing_new(tmp_path: Path, locale: str) -> None:
    async with open_world(tmp_path) as world:
        await world.service.runs.drain(grace=0)
        text = await refusal(world, "1girl", locale)
        assert is_japanese(text) == (locale == "ja")
        assert text.endswith(">>> 1girl")
