"""A CSV file in which nothing is a formula and everything can be read back."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.database.models import LedgerEntryRow
from bot.ledger_csv import FORMULA_STARTS, HEADINGS, CsvFile, cell, csv_line, entry_cells

TEXTS = st.text(alphabet=st.characters(exclude_categories=("Cs",)))
DANGEROUS = st.builds(str.__add__, st.sampled_from([*FORMULA_STARTS, " =", "\u3000@", "\n="]), TEXTS)
WHEN = datetime(2026, 6, 1, 12, tzinfo=UTC)


@given(TEXTS | DANGEROUS)
def test_no_text_begins_like_a_formula(text: str) -> None:
    made = str(cell(text))
    assert not made.lstrip().startswith(FORMULA_STARTS)
    assert not made.startswith(FORMULA_STARTS)
    assert made in (text, f"'{text}"), "and nothing of it is lost"


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "＝1＋1"])
def test_what_would_be_a_formula_is_text(text: str) -> None:
    assert cell(text) == f"'{text}"


@pytest.mark.parametrize("text", ["", "thanks", "1", "a=b", "'=1"])
def test_harmless_text_stays_as_it_is(text: str) -> None:
    assert cell(text) == text


@given(st.integers() | st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_stay_numbers(number: float) -> None:
    assert cell(number) == number
    [[written]] = csv.reader(io.StringIO(csv_line([number])))
    assert type(number)(written) == number


@given(st.lists(TEXTS | DANGEROUS, min_size=2))
def test_every_cell_comes_back(texts: list[str]) -> None:
    [row] = csv.reader(io.StringIO(csv_line(texts), newline=""))
    assert row == [cell(text) for text in texts]


def entry(reason: str, amount: int = -940) -> LedgerEntryRow:
    return LedgerEntryRow(
        kind="reserve",
        amount=amount,
        job_id=None,
        guild_id=1,
        channel_id=0,
        user_id=2**63 - 1,
        grant_id=0,
        actor_id=0,
        reason=reason,
        created_at=WHEN,
        effective_at=WHEN,
    )


@given(TEXTS | DANGEROUS)
def test_an_entry_as_a_row(reason: str) -> None:
    line = csv_line(entry_cells(entry(reason)))
    [row] = csv.reader(io.StringIO(line, newline=""))
    found = dict(zip(HEADINGS, row, strict=True))
    assert found["pictures"] == "-0.94"
    assert found["member"] == str(2**63 - 1)
    assert (found["by"], found["channel"]) == ("bot", "")
    assert found["reason"] == cell(reason)


@given(st.integers(min_value=70, max_value=3000), st.lists(TEXTS, max_size=30))
def test_a_file_grows_by_whole_rows_up_to_its_limit(limit: int, reasons: list[str]) -> None:
    file = CsvFile(limit)
    added = [file.add(entry(reason)) for reason in reasons]
    assert file.rows == sum(added)
    assert len(file.data) <= max(limit, len("\ufeff".encode() + csv_line(HEADINGS).encode()))
    assert file.data.startswith(b"\xef\xbb\xbf")
    rows = list(csv.reader(io.StringIO(file.data.decode("utf-8-sig"), newline="")))
    assert len(rows) == 1 + file.rows
