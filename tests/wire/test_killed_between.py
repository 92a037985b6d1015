"""kill -9 between two steps of a job, at points where the test holds the process: by a request that gets no
answer, by the database's lock, or by an engine that stands still.

Whatever the point, the next start finishes the job once, charges it once, and leaves one message.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psutil

from .bot_process import gate, running_bot, until_it_can_draw
from .handles import Interaction
from .scene import DELIVERY_SECONDS, Scene, assert_next_start_delivers, kill
from .seen import deliveries, has_pictures, job_states, shows_progress, with_pictures

EDIT, SEND = ("PATCH", "/webhooks/*"), ("POST", "/channels/*/messages")


async def until(scene: Scene, condition: Callable[[], bool]) -> None:
    """Return once something is true that Discord hears nothing of; answers to a question are the clock."""
    while not condition():
        await one_answer(scene)


async def one_answer(scene: Scene) -> None:
    """Let the bot answer something: whatever came before has reached it then."""
    typed = await scene.server.autocomplete("trinart", {"prompt": "", "size": ""}, "size")
    await typed.wait(lambda i: i.choices is not None, DELIVERY_SECONDS)


@contextmanager
def locked_database(data_dir: Path) -> Iterator[None]:
    """While the block runs nobody else writes; reading goes on."""
    with closing(sqlite3.connect(data_dir / "trinart.db", isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield


def ledger(data_dir: Path) -> list[str]:
    """The kinds of the one job's entries, in order; fails if they take anything but its cost."""
    with closing(sqlite3.connect(data_dir / "trinart.db")) as database:
        [(job_id, cost)] = database.execute("SELECT id, cost FROM jobs").fetchall()
        entries = database.execute("SELECT kind, amount, job_id FROM ledger_entries ORDER BY id").fetchall()
    assert {entry[2] for entry in entries} == {job_id}
    assert sum(entry[1] for entry in entries) == -cost
    return [entry[0] for entry in entries]


def files(data_dir: Path) -> list[Path]:
    """Whole pictures that wait on disk."""
    return list((data_dir / "pictures").glob("*.png"))


async def assert_finished_once(scene: Scene, interaction: Interaction) -> None:
    """By the next start, in the message that showed the progress."""
    await assert_next_start_delivers(scene, interaction)
    assert ledger(scene.data_dir) == ["reserve", "settle"]
    assert files(scene.data_dir) == []


async def assert_settled_and_not_sent_again(scene: Scene) -> None:
    """By the next start: what has arrived is not sent a second time, and is paid for."""
    async with running_bot(scene.server, scene.data_dir) as successor:
        await until_it_can_draw(scene.server, successor)
        successor.terminate()
        assert await successor.exit_code() == 0
    assert len(with_pictures(scene.server)) == 1
    assert job_states(scene.data_dir) == ["delivered"]
    assert ledger(scene.data_dir) == ["reserve", "settle"]
    assert files(scene.data_dir) == []


async def test_before_the_engine_hears_of_it(scene: Scene) -> None:
    [engine] = psutil.Process(scene.bot.pid).children()
    engine.suspend()
    interaction = await scene.server.slash("trinart", {"prompt": "a lighthouse"})
    await until(scene, lambda: bool(job_states(scene.data_dir)))
    await kill(scene)
    assert job_states(scene.data_dir) == ["queued"]
    assert ledger(scene.data_dir) == ["reserve"]
    await assert_finished_once(scene, interaction)


async def test_when_the_picture_is_on_disk_and_in_no_row(scene: Scene) -> None:
    interaction = await scene.server.slash("trinart", {"prompt": "a slow lighthouse"})
    await interaction.wait(shows_progress, DELIVERY_SECONDS)
    await until(scene, lambda: job_states(scene.data_dir) == ["running"])
    with locked_database(scene.data_dir):
        gate(scene.data_dir).touch()
        await until(scene, lambda: bool(files(scene.data_dir)))
        await kill(scene)
    assert job_states(scene.data_dir) == ["running"]
    assert deliveries(scene.server) == []
    await assert_finished_once(scene, interaction)


async def test_when_the_picture_is_kept_and_nothing_was_sent(scene: Scene) -> None:
    """The pictures wait for the last edit of the progress, which must not come after them."""
    held = scene.server.hold_next(*EDIT)
    interaction = await scene.server.slash("trinart", {"prompt": "a lighthouse"})
    await held.arrived(DELIVERY_SECONDS)
    await until(scene, lambda: job_states(scene.data_dir) == ["succeeded"])
    await kill(scene)
    held.lose()
    assert files(scene.data_dir) != []
    assert deliveries(scene.server) == []
    assert ledger(scene.data_dir) == ["reserve"]
    await assert_finished_once(scene, interaction)


async def test_when_the_answer_is_confirmed_and_not_settled(scene: Scene) -> None:
    held = scene.server.hold_next(*EDIT, uploads_only=True)
    interaction = await scene.server.slash("trinart", {"prompt": "a lighthouse"})
    await held.arrived(DELIVERY_SECONDS)
    with locked_database(scene.data_dir):
        held.release()
        await interaction.wait(has_pictures, DELIVERY_SECONDS)
        await one_answer(scene)
        await kill(scene)
    assert job_states(scene.data_dir) == ["succeeded"]
    assert ledger(scene.data_dir) == ["reserve"]
    interaction.expire()  # else it would be put there once more, by an edit that changes nothing
    await assert_settled_and_not_sent_again(scene)
    assert with_pictures(scene.server) == [interaction.message]


async def test_when_a_message_is_confirmed_and_not_settled(scene: Scene) -> None:
    interaction = await scene.server.slash("trinart", {"prompt": "a slow lighthouse"})
    await interaction.wait(shows_progress, DELIVERY_SECONDS)
    interaction.expire()
    held = scene.server.hold_next(*SEND, uploads_only=True)
    gate(scene.data_dir).touch()
    await held.arrived(DELIVERY_SECONDS)
    with locked_database(scene.data_dir):
        held.release()
        await scene.server.world.pulse.until(
            lambda: bool(with_pictures(scene.server)), DELIVERY_SECONDS, "the message"
        )
        await one_answer(scene)
        await kill(scene)
    assert job_states(scene.data_dir) == ["succeeded"]
    for message in with_pictures(scene.server):
        message.pop("nonce")  # Discord forgets it after some minutes
    await assert_settled_and_not_sent_again(scene)
