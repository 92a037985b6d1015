"""Pictures that arrived unheard of are not sent again because the server's admins chose another channel."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from .payloads import JSON, guild, text_channel
from .scene import Scene
from .seen import job_states, with_pictures
from .test_delivery_once import arrive_unheard_of, next_start


@pytest.fixture
def guilds() -> list[JSON]:
    return [guild(channels=[text_channel(), text_channel("results")])]


def choose_result_channel(scene: Scene, channel: JSON | None) -> None:
    """As an admin of the server does."""
    row = (int(scene.server.guild["id"]), int(channel["id"]) if channel else None)
    with closing(sqlite3.connect(scene.data_dir / "trinart.db")) as database, database:
        database.execute("delete from guild_settings")
        database.execute(
            "insert into guild_settings (guild_id, result_channel_id, enabled, suspended, timezone,"
            " allowed_channels, exempt_roles, updated_at)"
            " values (?, ?, 1, 0, 'UTC', '[]', '[]', '2026-01-01 00:00:00.000000')",
            row,
        )


@pytest.mark.parametrize("was_elsewhere", [True, False])
async def test_a_message_that_arrived_is_looked_for_where_it_was_sent(
    scene: Scene, was_elsewhere: bool
) -> None:
    asked_in, results = scene.server.guild["channels"]
    choose_result_channel(scene, results if was_elsewhere else None)
    message = await arrive_unheard_of(scene)

    choose_result_channel(scene, None if was_elsewhere else results)
    async with next_start(scene):
        pass

    assert with_pictures(scene.server) == [message]
    assert message["channel_id"] == (results if was_elsewhere else asked_in)["id"]
    assert job_states(scene.data_dir) == ["delivered"]
