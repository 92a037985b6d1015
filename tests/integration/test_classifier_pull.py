"""`trinart models pull safety-…` against a hub on 127.0.0.1, and what becomes of it."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bot import cli_models, doctor
from bot.settings import Settings
from engine.checkpoints.classifiers import pull_classifier
from engine.checkpoints.errors import CannotNow, CheckpointError
from engine.checkpoints.progress import Bars
from engine.installed import read_record
from engine.safety.classifiers import DEFAULT_MODELS, ModelFile, model_hash
from engine.safety_models import published, read_installed
from tests.fixtures.added_classifier import GREEN, LABELS, NAME, green_is_explicit, install, labels_file
from tests.fixtures.command_line import trinart
from tests.fixtures.loopback_hub import COMMIT, LoopbackHub, loopback_hub
from tests.integration.test_checkpoint_pull import ask, downloads

MODEL = published()[NAME]
FILE, META = f"{MODEL.repo}/{MODEL.file}", f"{MODEL.repo}/{MODEL.labels_file}"
OTHER_ORDER = ("r15", "r18", "safe")


@pytest.fixture
async def hub(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[LoopbackHub]:
    """One that has the published classifier; its labels are a small file, as they are there."""
    async with loopback_hub({FILE: green_is_explicit(), META: labels_file()}) as hub:
        hub.small.add(META)
        hub.commit = MODEL.revision
        ask(monkeypatch, hub.url)
        yield hub


async def pull_here(tmp_path: Path, **fields: Any) -> Path:
    folders = tmp_path / "data" / "models", tmp_path / "downloads"
    fields = {"revision": None, "replace": False} | fields
    return await asyncio.to_thread(pull_classifier, NAME, *folders, Bars(), **fields)


async def test_it_is_written_down_what_was_fetched(tmp_path: Path, hub: LoopbackHub) -> None:
    hub.files[META] = labels_file(OTHER_ORDER)
    hub.files[FILE] = green_is_explicit(OTHER_ORDER)
    folder = await pull_here(tmp_path)
    record = read_record(folder)
    assert record is not None
    assert record.labels == list(OTHER_ORDER)
    assert record.notice.endswith("MIT.")
    assert [(each.file, each.repo, each.commit) for each in record.sources] == [
        (MODEL.file, MODEL.repo, MODEL.revision),
        (MODEL.labels_file, MODEL.repo, MODEL.revision),
    ]
    contents = [hub.files[FILE], hub.files[META]]
    assert [each.sha256 for each in record.sources] == [hashlib.sha256(each).hexdigest() for each in contents]
    assert [(folder / name).read_bytes() for name in record.files] == contents
    assert ModelFile.added(read_installed(folder)).read(folder) == contents[0]
    assert downloads(tmp_path) == {}


async def test_the_pinned_commit_is_fetched_and_no_other(tmp_path: Path, hub: LoopbackHub) -> None:
    hub.commit = COMMIT
    with pytest.raises(CheckpointError, match=f"at commit {COMMIT} when asked for {MODEL.revision}"):
        await pull_here(tmp_path)
    assert hub.ranges == []
    folder = await pull_here(tmp_path, revision="main")
    assert read_installed(folder).record.sources[0].commit == COMMIT


@pytest.mark.parametrize("swapped", [green_is_explicit(offset=-13), labels_file(OTHER_ORDER)])
async def test_wrong_bytes_are_not_installed(tmp_path: Path, hub: LoopbackHub, swapped: bytes) -> None:
    """Of either file: the hub announces one checksum and sends something else of the same length."""
    wrong = FILE if len(swapped) == len(hub.files[FILE]) else META
    assert len(swapped) == len(hub.files[wrong])
    original = hub.files[wrong]
    hub.swapped_files[wrong] = swapped
    with pytest.raises(CannotNow, match="arrived with a wrong checksum"):
        await pull_here(tmp_path)
    assert not (tmp_path / "data").exists()
    hub.swapped_files.clear()
    assert hub.files[wrong] == original
    await pull_here(tmp_path)


async def test_a_weaker_checksum_is_not_enough_for_the_model(tmp_path: Path, hub: LoopbackHub) -> None:
    hub.small.add(FILE)
    with pytest.raises(CheckpointError, match="does not say commit, size and sha256 of mobilenetv3"):
        await pull_here(tmp_path)


@pytest.mark.parametrize(
    ("meta", "complaint"),
    [
        (labels_file(("sfw", "nsfw")), "classes are sfw, nsfw, and not safe, r15, r18: not installed"),
        (labels_file((*LABELS, "safe")), "classes are safe, r15, r18, safe, and not"),
        (b"[1, 2]", r"meta\.json of deepghs/anime_rating cannot be read"),
    ],
)
async def test_unknown_classes_are_not_installed(
    tmp_path: Path, hub: LoopbackHub, meta: bytes, complaint: str
) -> None:
    hub.files[META] = meta
    with pytest.raises(CheckpointError, match=complaint):
        await pull_here(tmp_path)
    assert not (tmp_path / "data").exists()


async def test_a_second_pull_has_to_be_wanted(tmp_path: Path, hub: LoopbackHub) -> None:
    await pull_here(tmp_path)
    came_from = f"from commit {MODEL.revision[:12]} of deepghs/anime_rating"
    with pytest.raises(CheckpointError, match=f"{NAME} is installed already, {came_from}: add --replace"):
        await pull_here(tmp_path)
    hub.files[FILE] = green_is_explicit(offset=-13)
    folder = await pull_here(tmp_path, replace=True)
    assert read_installed(folder).sha256 == hashlib.sha256(hub.files[FILE]).hexdigest()


async def test_offline_it_says_what_to_do(tmp_path: Path, hub: LoopbackHub) -> None:
    hub.cut_after, hub.broken_after_cut = 10, True
    with pytest.raises(CannotNow, match=rf"offline, copy the folder .*{NAME} from a machine"):
        await pull_here(tmp_path)


async def test_a_host_pulls_uses_and_removes_it(tmp_path: Path, hub: LoopbackHub) -> None:
    """The commands as they are run, one after the other."""

    async def run(*arguments: str, **env: str) -> tuple[int, str, str]:
        ended = await asyncio.to_thread(
            trinart, *arguments, cwd=tmp_path, HF_ENDPOINT=hub.url, COLUMNS="100", **env
        )
        return ended.returncode, ended.stdout, ended.stderr

    code, told, problem = await run("models", "pull", NAME)
    assert code == 0, problem
    assert f"TRINART_SAFETY_MODELS={NAME}" in told
    sha256 = hashlib.sha256(hub.files[FILE]).hexdigest()
    assert f"{MODEL.file}: commit {MODEL.revision} of deepghs/anime_rating, sha256 {sha256}" in told
    used = {"TRINART_SAFETY_MODELS": NAME}
    _, told, _ = await run("models", "list", **used)
    assert f"{NAME} (in use)\n" in told
    assert f"    checks  {MODEL.about}\n" in told
    code, _, problem = await run("models", "remove", NAME, "--yes", **used)
    assert (code, problem) == (2, f"{NAME} is named by TRINART_SAFETY_MODELS: take it out first.\n")

    (tmp_path / "set" / "explicit").mkdir(parents=True)
    GREEN.save(tmp_path / "set" / "explicit" / "green.png")
    found = json.loads((await run("safety", "scan", "set/explicit/green.png", **used))[1])
    assert found["decision"] == "refuse"
    assert found["scores"][f"{NAME}.r18"] == pytest.approx(1, abs=1e-3)
    default, added = (
        model_hash(DEFAULT_MODELS),
        ModelFile.added(read_installed(tmp_path / "data/models" / NAME)),
    )
    assert found["model"] == model_hash([*DEFAULT_MODELS, added]) != default
    _, told, _ = await run("safety", "evaluate", "set", "--positive", "explicit", **used)
    assert told.splitlines()[-1].split() == ["0.9", "1.000", "(1/1)", "1.000", "(1/1)", "–"]

    (tmp_path / "data/models" / NAME / "model.onnx").write_bytes(green_is_explicit(offset=-1000))
    code, told, _ = await run("models", "verify", NAME)
    assert (code, "model.onnx: was changed or damaged\n" in told) == (2, True)
    code, told, problem = await run("safety", "scan", "set/explicit/green.png", **used)
    assert (code, told) == (1, "")
    assert "Nothing can be checked: the image check's model" in problem
    assert (await run("models", "remove", NAME, "--yes"))[0] == 0
    [(label, problem)] = cli_models._describe(tmp_path / "data/models" / NAME)
    assert (label, "is not installed at" in problem) == ("problem", True)


async def test_mistakes_are_told_before_anything_is_fetched(tmp_path: Path) -> None:
    renamed = await asyncio.to_thread(trinart, "models", "pull", NAME, "--name", "mine", cwd=tmp_path)
    assert renamed.stderr == f"{NAME} is a classifier of the image check and keeps its name.\n"
    imported = await asyncio.to_thread(
        trinart, "models", "import", "x.ckpt", "--name", "safety-mine", cwd=tmp_path
    )
    assert "Names that begin with safety- are for classifiers of the image check" in imported.stderr


async def test_doctor_names_it(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, safety_models=NAME)

    async def finding() -> doctor.Finding:
        return await doctor._classifiers(settings)

    missing = await finding()
    assert (missing.ok, "is not installed at" in missing.text) == (False, True)
    folder = install(settings.models_dir, green_is_explicit())
    fine = await finding()
    sha256 = hashlib.sha256(green_is_explicit()).hexdigest()
    assert fine.text == f"the default classifiers, {NAME} (sha256 {sha256[:10]}, pulled 2026-11-23)"
    assert fine.ok
    (folder / "model.onnx").write_bytes(b"something else")
    changed = await finding()
    assert not changed.ok
    assert "is not the file that was pulled on 2026-11-23; run trinart models pull" in changed.text
    (folder / "model.onnx").unlink()
    assert "cannot be read: No such file or directory; pull" in (await finding()).text
    assert (await doctor._classifiers(Settings(data_dir=tmp_path))).text == "the default classifiers"
