"""Buttons that an earlier bot sent work: all that they know is in their ids and in the database."""

from __future__ import annotations

from pathlib import Path

from tests.integration.simcord_admins import told
from tests.integration.simcord_moderators import open_court
from tests.integration.simcord_world import buttons, open_world, pictures


async def test_buttons_of_before_a_restart(tmp_path: Path, database_url: str) -> None:
    """Accept, Report, Show again, Appeal and Uphold, each pressed in the next bot."""
    async with open_world(tmp_path, terms="required", database_url=database_url) as world:
        terms = (await world.ask(prompt="1girl, blue hair")).response
        assert terms is not None
    async with open_world(tmp_path, terms="required", database_url=database_url, after=world) as world:
        jobs = len(await world.jobs())
        await world.mika.click(terms, label="Accept")
        assert "Please send your command again." in terms.content
        assert "1girl, blue hair" in terms.content
        assert len(await world.jobs()) == jobs, "the command itself was in memory only"
        court = await open_court(world)
        await court.open_queue()
        picture = await world.draw(prompt="1girl")
        before = await pictures(picture)
        await court.note(world.mika, "report", kind="report")
        refusal = (await world.ask(prompt="1girl")).response
        assert refusal is not None
    async with open_world(tmp_path, terms="required", database_url=database_url, after=world) as world:
        await court.judge.click(picture, label="Report")
        assert picture.attachments == []
        reported = court.posted()
        assert "have your appeal" in told(await world.mika.click(refusal, label="Appeal"))
        appeal = court.posted()
    async with open_world(tmp_path, terms="required", database_url=database_url, after=world) as world:
        await court.judge.click(reported, label="Show again")
        assert await pictures(picture) == before
        await court.judge.click(appeal, label="Uphold")
        assert "upheld" in court.direct_messages(world.mika)[-1]
        assert "upheld" in str((await court.decisions_of(world.mika)).embeds[0].description)


async def test_a_private_server_can_do_without_terms(tmp_path: Path) -> None:
    async with open_world(tmp_path, terms="off") as world:
        assert (await world.draw(prompt="1girl")).attachments
        result = await world.mika.slash(world.channel, "terms")
        assert result.response is not None
        assert buttons(result.response) == []
        assert result.response.embeds
