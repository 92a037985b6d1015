"""Pictures by number: the same number is the same face, however many processes render them.

They are kept as one array of bytes per size, with a mark for each chunk that is done, so that work that was
stopped at any time goes on where it was.
"""

from __future__ import annotations

import multiprocessing
import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike, NDArray

from tools.demo_model.faces import Face, sample_face
from tools.demo_model.progress import Progress
from tools.demo_model.renderer import render

SIZES = {"square": (128, 128), "portrait": (128, 160), "landscape": (160, 128)}
"""Width and height of the pictures that the model offers."""
CHUNK = 100
"""Pictures that are done or not done together."""


def face_at(size: str, index: int) -> Face:
    """The face of this number, of the pictures of this size."""
    return sample_face(random.Random(f"train/{size}/{index}"))


@dataclass(frozen=True)
class ChunkedArray:
    """An array on disk that is filled by chunks, and knows which are done."""

    path: Path
    shape: tuple[int, ...]
    dtype: DTypeLike

    @property
    def chunks(self) -> int:
        """How many there are."""
        return -(-self.shape[0] // CHUNK)

    def open(self) -> tuple[NDArray, NDArray[np.uint8]]:
        """The array and its marks, both to be written to; they are made if they are not there yet."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        values = _open(self.path, self.shape, self.dtype)
        return values, _open(self.path.with_suffix(".done.npy"), (self.chunks,), np.uint8)

    def read(self) -> NDArray:
        """The array, which must be whole."""
        values, done = self.open()
        if not done.all():
            raise ValueError(f"{self.path} is not finished")
        return values


def _open(path: Path, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray:
    """A file of this shape; one of another shape belongs to other settings and is not touched."""
    if not path.exists():
        unfinished = path.with_suffix(".new")
        np.lib.format.open_memmap(unfinished, "w+", dtype, shape).flush()
        unfinished.replace(path)
    values = np.load(path, mmap_mode="r+")
    if values.shape != shape:
        raise ValueError(f"{path} was made with other settings: use another folder")
    return values


def pictures(work: Path, size: str, count: int) -> ChunkedArray:
    """The pictures of a size [count, height, width, 3], whether they are rendered or not."""
    width, height = SIZES[size]
    return ChunkedArray(work / "pictures" / f"{size}.npy", (count, height, width, 3), np.uint8)


def render_pictures(work: Path, counts: dict[str, int], processes: int) -> None:
    """Render those that are missing, so many of each size."""
    arrays = {size: pictures(work, size, count) for size, count in counts.items()}
    marks = [array.open()[1] for array in arrays.values()]
    if all(done.all() for done in marks):
        return
    # Not forked: this process has torch's threads.
    context = multiprocessing.get_context("spawn")
    processes = min(processes, max(array.chunks for array in arrays.values()))
    workers = [
        context.Process(target=_render_share, args=(arrays, first, processes), daemon=True)
        for first in range(processes)
    ]
    for worker in workers:
        worker.start()
    total = sum(counts.values())
    with Progress("pictures", total=total) as progress:
        while any(worker.is_alive() for worker in workers):
            for worker in workers:
                worker.join(timeout=0.2)
            progress.show(min(total, sum(int(done.sum()) for done in marks) * CHUNK))
    if not all(done.all() for done in marks):
        raise RuntimeError("A process that renders pictures broke: see its message above.")


def _render_share(arrays: dict[str, ChunkedArray], first: int, step: int) -> None:
    """What each process does: every `step`-th chunk of each size."""
    parent = multiprocessing.parent_process()
    for size, array in arrays.items():
        values, done = array.open()
        count, height, width, _ = array.shape
        for chunk in range(first, array.chunks, step):
            if parent is not None and not parent.is_alive():
                return  # it was killed, and cannot stop its children
            if done[chunk]:
                continue
            for index in range(chunk * CHUNK, min(count, (chunk + 1) * CHUNK)):
                values[index] = np.asarray(render(face_at(size, index), width, height))
            done[chunk] = 1
