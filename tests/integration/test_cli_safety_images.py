"""`trinart safety scan` and `evaluate` as a host uses them, with the real classifiers."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from engine.safety.classifiers import DEFAULT_MODELS, model_hash
from engine.safety.self_test import canary, clean_anchors
from tests.fixtures.command_line import trinart


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two labels. The abstract canary stands for what should be found."""
    folder = tmp_path_factory.mktemp("pictures")
    (folder / "explicit").mkdir()
    (folder / "fine").mkdir()
    canary().save(folder / "explicit" / "canary.png")
    canary().save(folder / "explicit" / "again.jpg", quality=80)
    for number, anchor in enumerate(clean_anchors()):
        anchor.save(folder / "fine" / f"{number}.webp")
    (folder / "fine" / "broken.png").write_bytes(b"no picture")
    (folder / "fine" / "notes.txt").write_bytes(b"not looked at")
    return folder


def test_scan_prints_one_json_object_for_each_file(pictures: Path, tmp_path: Path) -> None:
    names = ["explicit/canary.png", "fine/0.webp", "fine/broken.png", "nowhere.png", "fine"]
    result = trinart("safety", "scan", *(str(pictures / name) for name in names), cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["file"] for line in found] == [str(pictures / name) for name in names]
    assert [line["decision"] for line in found] == ["refuse", "allow", "refuse", "refuse", "refuse"]
    for line in found[:2]:
        assert line["model"] == model_hash(DEFAULT_MODELS)
        assert 0 <= line["scores"]["sexual"] <= 1
        assert (len(line["pdq"]), len(line["phash"])) == (64, 16)
    assert [line["error"] for line in found[2:]] == [
        "the file is not one of PNG, JPEG, WEBP",
        "the file cannot be read: No such file or directory",
        "the file cannot be read: Is a directory",
    ]


def test_scan_takes_names_that_look_like_options(pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "--threads").write_bytes((pictures / "fine/0.webp").read_bytes())
    result = trinart("safety", "scan", "--", "--threads", cwd=tmp_path)
    assert json.loads(result.stdout)["decision"] == "allow"


def test_scan_uses_the_block_list(pictures: Path, tmp_path: Path) -> None:
    file = str(pictures / "fine/1.webp")
    known = json.loads(trinart("safety", "scan", file, cwd=tmp_path).stdout)
    (tmp_path / "blocked").write_text(f"phash:{known['phash']} case 3\n", encoding="utf-8")
    result = trinart("safety", "scan", file, cwd=tmp_path, TRINART_BLOCK_LIST=str(tmp_path / "blocked"))
    found = json.loads(result.stdout)
    assert (found["blocked"], found["decision"]) == ("case 3", "refuse")


def test_a_check_that_does_not_work_is_one_sentence(pictures: Path, tmp_path: Path) -> None:
    file = str(pictures / "fine/1.webp")
    result = trinart("safety", "scan", file, cwd=tmp_path, TRINART_BLOCK_LIST="nowhere")
    assert result.returncode == 1
    assert result.stdout == ""
    assert "Nothing can be checked: the block list nowhere cannot be read: No such file" in result.stderr


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def read_json(path: Path) -> list[dict[str, str]]:
    return [
        {name: "" if value is None else str(value) for name, value in row.items()}
        for row in json.loads(path.read_bytes())
    ]


@pytest.mark.parametrize(("name", "read"), [("scores.csv", read_csv), ("scores.json", read_json)])
def test_evaluate_writes_scores_and_labels(
    pictures: Path, tmp_path: Path, name: str, read: Callable[[Path], list[dict[str, str]]]
) -> None:
    out = tmp_path / name
    arguments = ("evaluate", str(pictures), "--positive", "explicit", "--out", str(out))
    result = trinart("safety", *arguments, cwd=tmp_path, COLUMNS="100")
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("5 pictures, 2 of them to be found, 1 could not be checked.\n")
    row = ["0.5", "1.000", "(2/2)", "1.000", "(2/2)", "0.000", "(0/2)"]
    assert row in [line.split() for line in result.stdout.splitlines()]
    rows = read(out)
    assert [row["label"] for row in rows] == ["explicit"] * 2 + ["fine"] * 3
    assert [row["score"] == "" for row in rows].count(True) == 1
    content = out.read_text(encoding="utf-8")
    assert "canary" not in content, "a picture's name says something about it"
    assert os.sep not in content


def test_evaluate_wants_a_folder_with_the_labels(pictures: Path, tmp_path: Path) -> None:
    for folder, label in ((pictures, "missing"), (pictures / "nowhere", "explicit")):
        result = trinart("safety", "evaluate", str(folder), "--positive", label, cwd=tmp_path)
        assert result.returncode == 2
        assert result.stderr.count("\n") == 1


def test_folders_below_a_label_count_and_nothing_is_divided_by_zero(tmp_path: Path) -> None:
    """Pictures of other folders below a label count, too; without any, there is nothing to divide by."""
    (tmp_path / "set" / "explicit" / "deeper").mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(tmp_path / "set" / "explicit" / "deeper" / "a.PNG")
    result = trinart("safety", "evaluate", "set", "--positive", "explicit", cwd=tmp_path, COLUMNS="100")
    assert result.stdout.splitlines()[-1].split() == ["0.9", "–", "0.000", "(0/1)", "–"]
