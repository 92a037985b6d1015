"""`trinart models pull` against a hub on 127.0.0.1: dropped connections, wrong bytes, no network."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import socket
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from huggingface_hub import constants

from engine.checkpoints import hub as pulling
from engine.checkpoints import staging
from engine.checkpoints.errors import CannotNow, CheckpointError
from engine.checkpoints.hub import KNOWN, pull
from engine.checkpoints.importing import ImportRequest
from engine.checkpoints.progress import Bars
from engine.installed import read_record
from engine.models import DEMO_FOLDER
from tests.fixtures.checkpoints import compvis_model, compvis_vae, save, training_extras
from tests.fixtures.command_line import trinart
from tests.fixtures.loopback_hub import COMMIT, LoopbackHub, loopback_hub

TRINART2 = "naclbit/trinart_stable_diffusion_v2/trinart2_step115000.ckpt"
DERRIDA = "naclbit/trinart_derrida_characters_v2_stable_diffusion/"
CHUNK = constants.DOWNLOAD_CHUNK_SIZE
"""huggingface_hub writes whole chunks of 10 MiB: that much survives a cut."""


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A small TrinArt, of more than two chunks."""
    path = tmp_path_factory.mktemp("hub") / "model.ckpt"
    return save(path, {"state_dict": compvis_model() | training_extras()}).read_bytes()


@pytest.fixture
async def hub(checkpoint: bytes, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[LoopbackHub]:
    async with loopback_hub({TRINART2: checkpoint, f"{DERRIDA}derrida_final.ckpt": checkpoint}) as hub:
        ask(monkeypatch, hub.url)
        yield hub


def ask(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """In this process huggingface_hub has read HF_ENDPOINT long ago."""
    monkeypatch.setattr(constants, "ENDPOINT", url)
    template = url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)


async def pull_here(tmp_path: Path, known: str = "trinart2-115k", **fields: Any) -> Path:
    revision = fields.pop("revision", None)
    fields = {"name": known, "dtype": "fp32", "config_dir": DEMO_FOLDER} | fields
    request = ImportRequest(model=Path(known), vae=None, models_dir=tmp_path / "models", **fields)
    folders = tmp_path / "downloads", Bars()
    return await asyncio.to_thread(pull, known, request, *folders, revision=revision)


def downloads(tmp_path: Path) -> dict[str, int]:
    folder = tmp_path / "downloads"
    return {path.name: path.stat().st_size for path in folder.rglob("*") if path.is_file()}


async def test_a_model_is_fetched_through_hf_endpoint_although_the_connection_drops(
    tmp_path: Path, hub: LoopbackHub, checkpoint: bytes
) -> None:
    """The child process as the command line starts it."""
    hub.cut_after = CHUNK + 5
    command = ["-m", "engine.checkpoints", "pull", "trinart2-115k", "--name", "mine", "--dtype", "fp16"]
    command += ["--models-dir", "models", "--downloads", "downloads", "--config-dir", str(DEMO_FOLDER)]
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, *command),
        cwd=tmp_path,
        env=os.environ | {"HF_ENDPOINT": hub.url},
        stdout=asyncio.subprocess.PIPE,
    )
    stdout, _ = await child.communicate()
    assert child.returncode == 0
    assert b"TRINART_MODEL=mine" in stdout
    assert f"trinart2_step115000.ckpt: commit {COMMIT} of naclbit/trinart_stable".encode() in stdout
    assert hub.ranges == ["", f"bytes={CHUNK}-"]
    record = read_record(tmp_path / "models" / "mine")
    assert record is not None
    (source,) = record.sources
    assert (source.repo, source.commit) == ("naclbit/trinart_stable_diffusion_v2", COMMIT)
    assert (source.sha256, source.size) == (hashlib.sha256(checkpoint).hexdigest(), len(checkpoint))
    assert downloads(tmp_path) == {}


async def test_a_later_pull_goes_on_where_an_earlier_one_failed(tmp_path: Path, hub: LoopbackHub) -> None:
    hub.cut_after, hub.broken_after_cut = 2 * CHUNK + 5, True
    with pytest.raises(CannotNow, match="pull again to go on where it stopped"):
        await pull_here(tmp_path)
    assert downloads(tmp_path) == {"trinart2_step115000.ckpt.incomplete": 2 * CHUNK}
    assert not (tmp_path / "models").exists()
    hub.broken_after_cut = False
    folder = await pull_here(tmp_path)
    assert hub.ranges[-1] == f"bytes={2 * CHUNK}-"
    assert read_record(folder) is not None
    assert downloads(tmp_path) == {}


async def test_what_was_fetched_already_needs_no_room_a_second_time(
    tmp_path: Path, hub: LoopbackHub, checkpoint: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def free(needed: int) -> None:
        usage = shutil._ntuple_diskusage(10**12, 0, needed + staging.MARGIN)
        monkeypatch.setattr(staging.shutil, "disk_usage", lambda _path: usage)

    free(len(checkpoint) - 1)
    with pytest.raises(CannotNow, match=r"are needed at .*downloads"):
        await pull_here(tmp_path)
    assert hub.ranges == []
    free(len(checkpoint))
    hub.cut_after, hub.broken_after_cut = CHUNK, True
    with pytest.raises(CannotNow, match="pull again"):
        await pull_here(tmp_path)
    hub.broken_after_cut = False
    free(len(checkpoint) - CHUNK - 1)
    with pytest.raises(CannotNow, match=r"are needed at .*downloads"):
        await pull_here(tmp_path)
    free(len(checkpoint) - CHUNK)
    await pull_here(tmp_path)
    assert hub.ranges[-1] == f"bytes={CHUNK}-"


async def test_a_file_that_was_fetched_whole_needs_no_room(
    tmp_path: Path, hub: LoopbackHub, checkpoint: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "downloads" / hashlib.sha256(checkpoint).hexdigest()
    folder.mkdir(parents=True)
    (folder / "trinart2_step115000.ckpt").write_bytes(checkpoint)
    enough_for_the_import = staging.MARGIN + len(checkpoint) // 2 + CHUNK // 2
    usage = shutil._ntuple_diskusage(10**12, 0, enough_for_the_import)
    assert usage.free < staging.MARGIN + len(checkpoint)
    monkeypatch.setattr(staging.shutil, "disk_usage", lambda _path: usage)
    await pull_here(tmp_path)
    assert hub.ranges == []


async def test_a_disk_that_takes_no_more_is_not_told_as_the_network(tmp_path: Path, hub: LoopbackHub) -> None:
    command = [sys.executable, "-m", "engine.checkpoints", "pull", "trinart2-115k", "--name", "mine"]
    command += ["--models-dir", "models", "--downloads", "downloads"]
    child = await asyncio.create_subprocess_exec(
        *("bash", "-c", 'ulimit -f 4096; exec "$@"', "bash", *command),
        cwd=tmp_path,
        env=os.environ | {"HF_ENDPOINT": hub.url},
        stderr=asyncio.subprocess.PIPE,
    )
    _, stderr = await child.communicate()
    assert child.returncode == 1
    assert b"trinart2_step115000.ckpt could not be written (File too large): raise the limit" in stderr


async def test_the_branch_is_asked_once_and_the_commit_is_fetched(tmp_path: Path, hub: LoopbackHub) -> None:
    await pull_here(tmp_path)
    prefix = "/naclbit/trinart_stable_diffusion_v2/resolve"
    file = "trinart2_step115000.ckpt"
    assert hub.paths == [f"HEAD {prefix}/main/{file}", f"GET {prefix}/{COMMIT}/{file}"]


@pytest.mark.parametrize("revision", ["diffusers-115k", COMMIT])
async def test_a_revision_can_be_named(tmp_path: Path, hub: LoopbackHub, revision: str) -> None:
    record = read_record(await pull_here(tmp_path, revision=revision))
    prefix = "/naclbit/trinart_stable_diffusion_v2/resolve"
    file = "trinart2_step115000.ckpt"
    assert hub.paths == [f"HEAD {prefix}/{revision}/{file}", f"GET {prefix}/{COMMIT}/{file}"]
    assert record is not None
    assert record.sources[0].commit == COMMIT


async def test_a_revision_is_the_models_and_not_of_another_repositorys_vae(
    tmp_path: Path, hub: LoopbackHub
) -> None:
    model, vae = KNOWN["characters-v1"]
    assert vae is not None
    hub.files |= {f"{model.repo}/{model.file}": b"x", f"{vae.repo}/{vae.file}": b"y"}
    with pytest.raises(CheckpointError, match="another checksum"):
        await pull_here(tmp_path, "characters-v1", revision="older")
    assert hub.paths == [
        f"HEAD /{model.repo}/resolve/older/{model.file}",
        f"HEAD /{vae.repo}/resolve/main/{vae.file}",
    ]


async def test_the_command_line_names_a_revision(tmp_path: Path, hub: LoopbackHub) -> None:
    command = ["models", "pull", "trinart2-115k", "--revision", "-older"]
    ended = await asyncio.to_thread(trinart, *command, cwd=tmp_path, HF_ENDPOINT=hub.url)
    assert ended.returncode == 2, "the demo model's weights are none of Stable Diffusion's"
    assert hub.paths[0] == f"HEAD /{TRINART2.replace('/trinart2_', '/resolve/-older/trinart2_')}"


async def test_a_commit_is_that_commit_or_nothing(tmp_path: Path, hub: LoopbackHub) -> None:
    with pytest.raises(CheckpointError, match=f"at commit {COMMIT} when asked for {'f' * 40}: not fetched"):
        await pull_here(tmp_path, revision="f" * 40)
    assert hub.ranges == []


async def test_a_revision_that_is_not_there_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def lost(_request: web.Request) -> web.Response:
        return web.Response(status=404, headers={"X-Error-Code": "RevisionNotFound"})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", lost)
    async with TestServer(app) as server:
        ask(monkeypatch, str(server.make_url("")).rstrip("/"))
        with pytest.raises(CheckpointError, match=r"_v2 has no revision gone: name a branch, a tag") as told:
            await pull_here(tmp_path, revision="gone")
    assert told.value.exit_code == 2


async def test_wrong_bytes_are_deleted_and_never_opened(
    tmp_path: Path, hub: LoopbackHub, checkpoint: bytes
) -> None:
    hub.swapped = bytes(len(checkpoint))
    with pytest.raises(CannotNow, match=r"trinart2_step115000\.ckpt arrived with a wrong checksum") as told:
        await pull_here(tmp_path)
    assert told.value.exit_code == 1
    assert downloads(tmp_path) == {}
    assert not (tmp_path / "models").exists()


async def test_a_vae_other_than_the_published_one_is_not_even_fetched(
    tmp_path: Path, hub: LoopbackHub
) -> None:
    hub.files[f"{DERRIDA}autoencoder_fix_kl-f8-trinart_characters.ckpt"] = b"something else"
    for known in ("derrida", "characters-v1"):
        hub.files[f"{KNOWN[known][0].repo}/{KNOWN[known][0].file}"] = b"x"
        with pytest.raises(CheckpointError, match=r"another checksum .* than the published one"):
            await pull_here(tmp_path, known)
    assert hub.ranges == []


async def test_derrida_is_fetched_with_its_vae(
    tmp_path: Path, hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, vae = KNOWN["derrida"]
    assert vae is not None
    content = save(tmp_path / "v.ckpt", {"state_dict": compvis_vae(0.1)}).read_bytes()
    hub.files[f"{DERRIDA}{vae.file}"] = content
    small = replace(vae, sha256=hashlib.sha256(content).hexdigest())
    monkeypatch.setitem(pulling.KNOWN, "derrida", (model, small))
    record = read_record(await pull_here(tmp_path, "derrida"))
    assert record is not None
    assert [(source.role, source.file) for source in record.sources] == [
        ("model", "derrida_final.ckpt"),
        ("vae", "autoencoder_fix_kl-f8-trinart_characters.ckpt"),
    ]


async def test_offline_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as nobody:  # bound, and not listening: refused at once
        nobody.bind(("127.0.0.1", 0))
        ask(monkeypatch, f"http://127.0.0.1:{nobody.getsockname()[1]}")
        with pytest.raises(CannotNow) as told:
            await pull_here(tmp_path, "derrida")
    assert told.value.exit_code == 1
    sentence = str(told.value)
    assert "\n" not in sentence
    assert "could not be fetched from http://127.0.0.1" in sentence
    assert f"https://huggingface.co/{DERRIDA}resolve/main/derrida_final.ckpt" in sentence
    command = "trinart models import derrida_final.ckpt --vae autoencoder_fix_kl-f8-trinart_characters.ckpt"
    assert sentence.endswith(f"{command} --name derrida")


async def test_a_file_that_the_hub_lost_is_told(tmp_path: Path, hub: LoopbackHub) -> None:
    hub.files.clear()
    with pytest.raises(CheckpointError, match=r"The hub has no trinart2_step115000\.ckpt"):
        await pull_here(tmp_path)


async def test_a_taken_name_is_told_before_anything_is_fetched(tmp_path: Path, hub: LoopbackHub) -> None:
    await pull_here(tmp_path)
    hub.paths.clear()
    came_from = f"from commit {COMMIT[:12]} of naclbit/trinart_stable_diffusion_v2"
    with pytest.raises(CheckpointError, match=f"There is a model trinart2-115k already, {came_from}: choose"):
        await pull_here(tmp_path)
    (tmp_path / "models" / "trinart2-115k" / "trinart_import.json").unlink()
    with pytest.raises(CheckpointError, match="There is a model trinart2-115k already: choose"):
        await pull_here(tmp_path)
    assert hub.paths == []
