"""What the host allows holds over everything that servers say, for one person wherever they ask."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.integration.simcord_limits import COST_TOLD, check, new_place, next_reset, told
from tests.integration.simcord_world import is_japanese, open_world

LOCALES = pytest.mark.parametrize("locale", ["en-US", "ja"])


@LOCALES
async def test_the_cap_of_a_person_is_over_all_servers(tmp_path: Path, locale: str) -> None:
    async with open_world(tmp_path, member_cap="0.005/day") as world:
        here, there = await new_place(world), await new_place(world)
        await there.settings(exempt_roles=[there.role.id])
        await there.quota("member", None, subject_id=there.mika.id)
        await here.drawn()
        when = told(next_reset())
        await check(
            there,
            locale,
            "host_user_quota_used_up",
            f"This costs {COST_TOLD} pictures, and you have 0.002 of the 0.01 left today that the host of "
            f"this bot gives each person, over all servers. Try again {when}. Nothing was charged.",
            when,
        )
        message = await world.answer_to(await here.mika.user.slash("trinart", prompt="1girl"))
        assert "over all servers" in message.content, "in private messages, too"


@LOCALES
async def test_the_cap_of_a_server_is_for_all_its_members(tmp_path: Path, locale: str) -> None:
    async with open_world(tmp_path, server_cap="0.005/24h") as world:
        place, other = await new_place(world), await new_place(world)
        await place.settings(exempt_roles=[place.role.id])
        await place.drawn()
        row = await world.last_job()
        text = await place.refused(locale)
        assert is_japanese(text) == (locale == "ja")
        assert "0.002" in text
        [when] = re.findall(r"<t:(\d+):R>", text)
        assert 0 <= int(when) - 24 * 3600 - row.created_at.timestamp() <= 2, "a day after the picture"
        if locale == "en-US":
            assert "that the host of this bot gives each server" in text
        await other.drawn()


@LOCALES
async def test_the_hosts_rate_and_number_of_jobs(tmp_path: Path, locale: str) -> None:
    async with open_world(tmp_path, rate="1/h", concurrent_jobs=1) as world:
        here, there = await new_place(world), await new_place(world)
        await here.drawn()
        text = await there.refused(locale)
        assert is_japanese(text) == (locale == "ja")
        assert "3600" in text
        assert ":R>" in text
