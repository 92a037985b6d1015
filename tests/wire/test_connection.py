"""A gateway that goes away: nothing that was asked is lost, and nothing that was drawn."""

from __future__ import annotations

import pytest

from .scene import DELIVERY_SECONDS, Scene
from .seen import has_pictures


@pytest.fixture
def callback_window() -> float:
    """The bot may be told only after the RESUME, and when it resumes is up to discord.py's growing pauses."""
    return 60.0


async def test_what_is_asked_while_the_gateway_is_away_is_answered_after_the_resume(scene: Scene) -> None:
    await scene.server.drop_gateway(how="abort")
    interaction = await scene.server.slash("trinart", {"prompt": "a lighthouse"})
    await interaction.wait(has_pictures, DELIVERY_SECONDS)
    assert (scene.server.resumes, scene.server.identifies) == (1, 1)


async def test_a_session_that_discord_ends_is_begun_anew(scene: Scene) -> None:
    await scene.server.drop_gateway(resumable=False, how="invalidate")
    await scene.server.connected(DELIVERY_SECONDS)
    interaction = await scene.server.slash("trinart", {"prompt": "a lighthouse"})
    await interaction.wait(has_pictures, DELIVERY_SECONDS)
    assert (scene.server.resumes, scene.server.identifies) == (0, 2)
