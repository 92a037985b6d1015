"""Files of the Hugging Face hub: fetched, checked, gone on with where a download was stopped.

huggingface_hub resumes within one call only: since 1.x it throws its partial file away when a call fails. So
the partial file is ours, and its `http_get` fills it.
"""

from __future__ import annotations

import fcntl
import io
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

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

from engine.checkpoints.checksums import git_blob, sha256_of
from engine.checkpoints.disk import writing
from engine.checkpoints.errors import CannotNow, CheckpointError
from engine.checkpoints.progress import Advance, Bars
from engine.checkpoints.recording import Origin
from engine.checkpoints.staging import check_space, make_folder

COMMIT = re.compile(r"[0-9a-f]{40}")
GIT_BLOB = COMMIT
SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class HubFile:
    """A file of the hub. `revision` is a branch or a commit; `sha256` is empty where it is not known here.

    Of files that are `small`, text, the hub may know git's own checksum only.
    """

    repo: str
    file: str
    revision: str = "main"
    sha256: str = ""
    small: bool = False

    @property
    def name(self) -> str:
        """Without the folder."""
        return self.file.rpartition("/")[2]


@dataclass(frozen=True)
class Offer:
    """What the hub says of a file: the commit that the branch stands for, and its checksum."""

    wanted: HubFile
    commit: str
    checksum: str
    """The sha256, or the 40 digits of the git blob."""
    size: int
    url: str


@contextmanager
def fetched(
    wanted: Sequence[HubFile], downloads: Path, by_hand: str, bars: Bars
) -> Iterator[dict[Path, Origin]]:
    """The files, in this order, and where each is from; they are deleted if the block succeeds.

    `by_hand` is a half sentence: what to do on a machine without a network.

    Raises:
        CheckpointError: a file is not what it should be.
        CannotNow: the hub cannot be reached, or the disk is full.
    """
    offers = [_ask(file, by_hand) for file in wanted]
    check_space(downloads, sum(_left_to_fetch(offer, downloads) for offer in offers))
    origins = dict(_fetch(offer, downloads, by_hand, bars) for offer in offers)
    yield origins
    for path in origins:
        shutil.rmtree(path.parent)


def _ask(wanted: HubFile, by_hand: str) -> Offer:
    with _hub(wanted, by_hand):
        url = hf_hub_url(wanted.repo, wanted.file, revision=wanted.revision)
        metadata = get_hf_file_metadata(url, token=False)
    commit, checksum, size = metadata.commit_hash or "", metadata.etag or "", metadata.size
    known_checksum = SHA256.fullmatch(checksum) or (wanted.small and GIT_BLOB.fullmatch(checksum))
    if not COMMIT.fullmatch(commit) or not known_checksum or not size:
        raise CheckpointError(f"The hub does not say commit, size and sha256 of {wanted.file}: not fetched.")
    if COMMIT.fullmatch(wanted.revision) and commit != wanted.revision:
        raise CheckpointError(
            f"The hub offers {wanted.file} at commit {commit} when asked for {wanted.revision}: not fetched."
        )
    if wanted.sha256 and checksum != wanted.sha256:
        raise CheckpointError(
            f"The hub offers {wanted.file} with another checksum ({checksum[:12]}…) than the published one "
            f"({wanted.sha256[:12]}…): not fetched."
        )
    # From here on the commit, not the branch: what is fetched is what was announced.
    return Offer(wanted, commit, checksum, size, hf_hub_url(wanted.repo, wanted.file, revision=commit))


def _places(offer: Offer, downloads: Path) -> tuple[Path, Path]:
    """Where the whole file will be, and where it is while it is fetched."""
    path = downloads / offer.checksum / offer.wanted.name
    return path, path.with_name(f"{path.name}.incomplete")


def _left_to_fetch(offer: Offer, downloads: Path) -> int:
    """Bytes that the disk still has to take; what an earlier attempt has left is there already."""
    there = next((place.stat().st_size for place in _places(offer, downloads) if place.exists()), 0)
    return offer.size - there if there <= offer.size else offer.size


def _fetch(offer: Offer, downloads: Path, by_hand: str, bars: Bars) -> tuple[Path, Origin]:
    """The file, whole and with the right checksum; what an earlier attempt has left is gone on with."""
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
    with bars.step(f"sha256 of {offer.wanted.file}"[:60], offer.size) as advance:
        sha256 = sha256_of(path, advance)
    found = sha256 if SHA256.fullmatch(offer.checksum) else git_blob(path.read_bytes())
    if found != offer.checksum:
        shutil.rmtree(path.parent)
        raise CannotNow(
            f"{offer.wanted.file} arrived with a wrong checksum ({found[:12]}… and not "
            f"{offer.checksum[:12]}…) and was deleted: try again."
        )
    return path, Origin(offer.wanted.repo, offer.commit, sha256)


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
