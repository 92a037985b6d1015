"""`trinart db copy`: everything in one database into another, of either kind. All of it or nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import JSON, BindParameter, Column, Connection, Table, bindparam, func, insert, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.database.models import Base
from bot.database.session import Database, current_revision, head_revision, reason_of
from bot.errors import OperatorError

BATCH_ROWS = 1000
"""How many rows are in memory at a time."""


@dataclass(frozen=True, kw_only=True)
class CopyProgress:
    """How far the copy of one table is, in rows."""

    table: str
    copied: int
    total: int


ShowCopy = Callable[[CopyProgress], None]


async def copy_database(source_url: str, target_url: str, show: ShowCopy) -> dict[str, int]:
    """Copy every row of the bot's tables; returns how many there are in each.

    The source is seen as it is at the beginning: what a bot writes to it meanwhile is not copied.

    Raises:
        OperatorError: the source is not at the newest revision, the target is not empty, or one of them
            cannot be used. Nothing was copied then.
    """
    async with (
        Database.connect(source_url, upgrade=False, named="The source") as source,
        source.snapshot() as reading,
    ):
        await _check_source(source, reading)
        async with Database.connect(target_url) as target, target.exclusive() as writing:
            await _check_empty(target, writing)
            try:
                return await _copy_tables(reading, writing, show)
            except (OSError, DBAPIError) as error:
                reason = reason_of(error)
                raise OperatorError(f"Nothing was copied to {target.name}: {reason}.", exit_code=1) from error


async def _check_source(source: Database, reading: AsyncConnection) -> None:
    revision = await reading.run_sync(current_revision)
    if revision != head_revision():
        raise OperatorError(
            f"The source {source.name} is at revision {revision or 'base'}, and the newest is "
            f"{head_revision()}: run trinart db upgrade with TRINART_DATABASE_URL naming the source first."
        )


async def _check_empty(target: Database, writing: AsyncConnection) -> None:
    for table in Base.metadata.sorted_tables:
        if await writing.scalar(select(1).select_from(table).limit(1)) is not None:
            raise OperatorError(
                f"The target {target.name} is not empty: nothing was copied, because there are rows in "
                f"{table.name} already."
            )


async def _copy_tables(reading: AsyncConnection, writing: AsyncConnection, show: ShowCopy) -> dict[str, int]:
    counts: dict[str, int] = {}
    for table in Base.metadata.sorted_tables:
        counts[table.name] = await _copy_table(table, reading, writing, show)
    await writing.run_sync(_move_sequences)
    return counts


async def _copy_table(
    table: Table, reading: AsyncConnection, writing: AsyncConnection, show: ShowCopy
) -> int:
    # Computed columns compute themselves again.
    columns = [column for column in table.columns if column.computed is None]
    values = {column.name: _value(column) for column in columns}
    keys = [value.key for value in values.values()]
    total = await reading.scalar(select(func.count()).select_from(table)) or 0
    copied = 0
    # In the order of the keys: a row that refers to an older one of its own table comes after it.
    rows = select(*columns).order_by(*table.primary_key.columns).execution_options(yield_per=BATCH_ROWS)
    async with reading.stream(rows) as result:
        async for batch in result.partitions():
            parameters = [dict(zip(keys, row, strict=True)) for row in batch]
            await writing.execute(insert(table).values(values), parameters)
            copied += len(batch)
            show(CopyProgress(table=table.name, copied=copied, total=total))
    return copied


def _value(column: Column[Any]) -> BindParameter[Any]:
    """A value of this column, under a name that the statement leaves free."""
    # JSON reads NULL as None, and would write that None as the JSON value `null`.
    keeps_null = isinstance(column.type, JSON) and column.nullable
    return bindparam(f"new_{column.name}", type_=JSON(none_as_null=True) if keeps_null else column.type)


def _move_sequences(connection: Connection) -> None:
    """Let PostgreSQL count on after the largest key; SQLite does so by itself."""
    if connection.dialect.name != "postgresql":
        return
    for table in Base.metadata.sorted_tables:
        if (column := table.autoincrement_column) is not None:
            name = connection.dialect.identifier_preparer.format_table(table)
            sequence = func.pg_get_serial_sequence(name, column.name)
            # Of an empty table the largest key is NULL, and nothing is set.
            largest = select(func.max(column)).scalar_subquery()
            connection.execute(select(func.setval(sequence, largest)))
