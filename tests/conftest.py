"""For every test: the processes that it starts find the tests' own modules, and hear Ctrl-C.

For those that ask: a database of each kind, empty or with its tables.
"""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.fixtures.databases import make_tables
from tests.fixtures.postgres import PostgresServer, running_server

os.environ["PYTHONPATH"] = str(Path(__file__).parents[1])

# A shell starts what runs in its background deaf to Ctrl-C, and children inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A server of this test process's own, started for the first test that needs it."""
    with running_server() as server:
        yield server


@pytest.fixture
async def postgres_url(postgres_server: PostgresServer) -> AsyncIterator[str]:
    """An empty PostgreSQL database."""
    async with postgres_server.new_database() as url:
        yield url


@pytest.fixture
async def postgres_tables(postgres_server: PostgresServer) -> AsyncIterator[str]:
    """A PostgreSQL database with all tables."""
    async with postgres_server.new_database(with_tables=True) as url:
        yield url


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """An SQLite database that is not there yet, nor its folder."""
    return f"sqlite+aiosqlite:///{tmp_path / 'data' / 'trinart.db'}"


@pytest.fixture
async def sqlite_tables(sqlite_url: str, tmp_path: Path) -> str:
    """An SQLite database with all tables."""
    await make_tables(tmp_path / "data" / "trinart.db")
    return sqlite_url


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest) -> str:
    """Run the test once with each kind of database, which has all tables."""
    return request.getfixturevalue(f"{request.param}_tables")


@pytest.fixture(params=["sqlite", "postgres"])
def empty_database_url(request: pytest.FixtureRequest) -> str:
    """Run the test once with each kind of database, which has nothing in it."""
    return request.getfixturevalue(f"{request.param}_url")
