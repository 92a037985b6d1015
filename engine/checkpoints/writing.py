"""Writes safetensors files tensor by tensor: little memory, a progress per tensor, the sha256 in one pass."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, cast

import torch

from engine.checkpoints.accounting import Part, check_numbers
from engine.checkpoints.progress import Advance
from engine.installed import Dtype

TORCH_DTYPES: dict[Dtype, torch.dtype] = {"fp16": torch.float16, "fp32": torch.float32}
NAMES_IN_FILE: dict[Dtype, str] = {"fp16": "F16", "fp32": "F32"}


def write_part(path: Path, part: Part, dtype: Dtype, metadata: dict[str, str], advance: Advance) -> str:
    """Write a component's weights into a safetensors file; its sha256.

    Raises:
        CheckpointError: a weight is not a finite number in this data type.
    """
    digest = hashlib.sha256()
    with path.open("xb") as stream:

        def write(data: bytes | memoryview) -> None:
            stream.write(data)
            digest.update(data)

        write(_header(part, dtype, metadata))
        for key in sorted(part.component.shapes):
            write(_bytes_of(part, key, dtype))
            advance(torch.Size(part.component.shapes[key]).numel() * TORCH_DTYPES[dtype].itemsize)
    return digest.hexdigest()


def _header(part: Part, dtype: Dtype, metadata: dict[str, str]) -> bytes:
    entries: dict[str, object] = {"__metadata__": {"format": "pt"} | metadata}
    end = 0
    for key, shape in sorted(part.component.shapes.items()):
        start, end = end, end + torch.Size(shape).numel() * TORCH_DTYPES[dtype].itemsize
        entries[key] = {"dtype": NAMES_IN_FILE[dtype], "shape": shape, "data_offsets": [start, end]}
    header = json.dumps(entries, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)  # so that the numbers are aligned in memory
    return len(header).to_bytes(8, "little") + header


def _bytes_of(part: Part, key: str, dtype: Dtype) -> memoryview:
    tensor = part.load(key)
    converted = tensor.to(TORCH_DTYPES[dtype]).contiguous()
    check_numbers(tensor, converted, lambda: part.names[key], part.source.name)
    return memoryview(cast(Any, converted.numpy())).cast("B")
