"""`trinart models pull`: TrinArt's own files from the Hugging Face hub, checked, then imported.

huggingface_hub resumes within one call only: since 1.x it throws its partial file away when a call fails. So
the partial file is ours, and its `http_get` fills it.
"""

from __future__ import annotations

import fcntl
import io
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, cast
from urllib.parse import quote

import httpx2
from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url
from huggingface_hub.errors import (
    EntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.file_download import http_get
from huggingface_hub.utils import build_hf_headers

from engine.checkpoints.disk import writing
from engine.checkpoints.errors import CannotNow, CheckpointError
from engine.checkpoints.importing import ImportRequest, Origin, check_target, import_checkpoint
from engine.checkpoints.progress import Advance, Bars
from engine.checkpoints.reading import sha256_of
from engine.checkpoints.staging import check_space, make_folder

DERRIDA = "naclbit/trinart_derrida_characters_v2_stable_diffusion"
CHARACTERS = "naclbit/trinart_characters_19.2m_stable_diffusion_v1"
TRINART2 = "naclbit/trinart_stable_diffusion_v2"

COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class HubFile:
    """A file of the hub. `revision` is a branch or a commit; `sha256` is empty where it is not known here."""

    repo: str
    file: str
    revision: str = "main"
    sha256: str = ""


VAE = HubFile(
    DERRIDA,
    "autoencoder_fix_kl-f8-trinart_characters.ckpt",
    sha256="2453b80bc1716bc3f94496d4e56be891e267051dc43c5144f384b66a73ac8295",
)

KNOWN: dict[str, tuple[HubFile, HubFile | None]] = {
    "derrida": (HubFile(DERRIDA, "derrida_final.ckpt"), VAE),
    "characters-v1": (HubFile(CHARACTERS, "trinart_characters_it4_v1.ckpt"), VAE),
    "trinart2-115k": (HubFile(TRINART2, "trinart2_step115000.ckpt"), None),
}
"""Model and autoencoder. Characters v1 has the same autoencoder as Derrida; TrinArt 2 has its own inside."""


@dataclass(frozen=True)
class Offer:
    """What the hub says of a file: the commit that the branch stands for, and its sha256."""

    wanted: HubFile
    commit: str
    sha256: str
    size: int
    url: str


def pull(
    known: str, request: ImportRequest, downloads: Path, bars: Bars, *, revision: str | None = None
) -> Path:
    """Fetch the files of a known model and import them; `request` says how, its files are filled in here.

    `revision` is a branch, tag or commit of the model's repository.

    Raises:
        CheckpointError: a file is not what it should be.
        CannotNow: the hub cannot be reached; says what to do instead.
    """
    check_target(request)
    wanted = _wanted(known, revision)
    by_hand = _by_hand(known, wanted)
    offers = [_ask(file, by_hand) for file in wanted]
    check_space(downloads, sum(_left_to_fetch(offer, downloads) for offer in offers))
    paths = [_fetch(offer, downloads, by_hand, bars) for offer in offers]
    origins = {
        path: Origin(offer.wanted.repo, offer.commit, offer.sha256)
        for path, offer in zip(paths, offers, strict=True)
    }
    vae = paths[1] if len(paths) > 1 else None
    folder = import_checkpoint(replace(request, model=paths[0], vae=vae, origins=origins), bars)
    for path in paths:
        shutil.rmtree(path.parent)
    return folder


def _wanted(known: str, revision: str | None) -> list[HubFile]:
    """A revision is one of the model's repository: an autoencoder from another one stays at its own."""
    model, vae = KNOWN[known]
    files = [file for file in (model, vae) if file is not None]
    if not revision:
        return files
    return [replace(file, revision=revision) if file.repo == model.repo else file for file in files]


def _ask(wanted: HubFile, by_hand: str) -> Offer:
    with _hub(wanted, by_hand):
        url = hf_hub_url(wanted.repo, wanted.file, revision=wanted.revision)
        metadata = get_hf_file_metadata(url, token=False)
    commit, sha256, size = metadata.commit_hash or "", metadata.etag or "", metadata.size
    if not COMMIT.fullmatch(commit) or not re.fullmatch(r"[0-9a-f]{64}", sha256) or not size:
        raise CheckpointError(f"The hub does not say commit, size and sha256 of {wanted.file}: not fetched.")
    if COMMIT.fullmatch(wanted.revision) and commit != wanted.revision:
        raise CheckpointError(
            f"The hub offers {wanted.file} at commit {commit} when asked for {wanted.revision}: not fetched."
        )
    if wanted.sha256 and sha256 != wanted.sha256:
        raise CheckpointError(
            f"The hub offers {wanted.file} with another checksum ({sha256[:12]}…) than the published one "
            f"({wanted.sha256[:12]}…): not fetched."
        )
    # From here on the commit, not the branch: what is fetched is what was announced.
    return Offer(wanted, commit, sha256, size, hf_hub_url(wanted.repo, wanted.file, revision=commit))


def _places(offer: Offer, downloads: Path) -> tuple[Path, Path]:
    """Where the whole file will be, and where it is while it is fetched."""
    path = downloads / offer.sha256 / offer.wanted.file
    return path, path.with_name(f"{path.name}.incomplete")


def _left_to_fetch(offer: Offer, downloads: Path) -> int:
    """Bytes that the disk still has to take; what an earlier attempt has left is there already."""
    there = next((place.stat().st_size for place in _places(offer, downloads) if place.exists()), 0)
    return offer.size - there if there <= offer.size else offer.size


def _fetch(offer: Offer, downloads: Path, by_hand: str, bars: Bars) -> Path:
    """The file, whole and with the right sha256; what an earlier attempt has left is gone on with."""
    path, partial = _places(offer, downloads)
    with writing(path):
        make_folder(downloads)
        path.parent.mkdir(exist_ok=True)
        if not path.exists():
            with partial.open("ab") as stream:
                _lock(stream, offer)
                done = stream.tell() if stream.tell() <= offer.size else 0
                stream.truncate(done)
                with bars.step(f"fetching {offer.wanted.file}"[:60], offer.size, done) as advance:
                    _download(offer, cast(BinaryIO, _Counted(stream, path, advance)), done, by_hand)
                os.fsync(stream.fileno())
            partial.rename(path)
    with bars.step(f"sha256 of {offer.wanted.file}", offer.size) as advance:
        found = sha256_of(path, advance)
    if found != offer.sha256:
        shutil.rmtree(path.parent)
        raise CannotNow(
            f"{offer.wanted.file} arrived with a wrong checksum ({found[:12]}… and not {offer.sha256[:12]}…) "
            "and was deleted: try again."
        )
    return path


def _lock(stream: io.BufferedWriter, offer: Offer) -> None:
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise CannotNow(f"Another pull is fetching {offer.wanted.file}: wait for it.") from None


class _Counted:
    """A file that tells of what is written to it; only what http_get needs."""

    def __init__(self, stream: io.BufferedWriter, path: Path, advance: Advance) -> None:
        self._stream = stream
        self._path = path
        self._advance = advance
        self.tell, self.seek, self.truncate = stream.tell, stream.seek, stream.truncate

    def write(self, data: bytes) -> int:
        """Write and tell. What the disk refuses is told here: around it, it would pass for the network."""
        self._advance(len(data))
        with writing(self._path):
            return self._stream.write(data)


def _download(offer: Offer, stream: BinaryIO, done: int, by_hand: str) -> None:
    with _hub(offer.wanted, by_hand):
        headers = build_hf_headers(token=False)
        http_get(offer.url, stream, resume_size=done, headers=headers, expected_size=offer.size)


@contextmanager
def _hub(wanted: HubFile, by_hand: str) -> Iterator[None]:
    """What the hub or the network refuses, as one sentence that says what to do."""
    try:
        yield
    except RevisionNotFoundError as error:
        raise CheckpointError(
            f"{wanted.repo} has no revision {wanted.revision}: name a branch, a tag or a whole commit of it."
        ) from error
    except (RepositoryNotFoundError, EntryNotFoundError) as error:
        raise CheckpointError(
            f"The hub has no {wanted.file} in {wanted.repo} at {wanted.revision} (any more)."
        ) from error
    except (httpx2.HTTPError, OfflineModeIsEnabled, OSError) as error:
        raise CannotNow(
            f"{wanted.file} could not be fetched from {constants.ENDPOINT}: pull again to go on where it "
            f"stopped; or, if this machine is offline, {by_hand}"
        ) from error


def _by_hand(known: str, files: list[HubFile]) -> str:
    """How to install the same files without the hub."""
    urls = " and ".join(
        f"https://huggingface.co/{file.repo}/resolve/{quote(file.revision, safe='')}/{file.file}"
        for file in files
    )
    options = "".join(f" --vae {vae.file}" for vae in files[1:])
    return (
        f"get {urls} elsewhere, and here run: trinart models import {files[0].file}{options} --name {known}"
    )
