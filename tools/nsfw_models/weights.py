"""The weights of a dumped tfjs model: as they are stored, and as floats."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Weight:
    """One tensor, stored as bytes `q` that mean `q * scale + minimum`."""

    stored: npt.NDArray[np.uint8]
    scale: float
    minimum: float

    @property
    def floats(self) -> Floats:
        """As tfjs computes with them."""
        return self.stored.astype(np.float32) * np.float32(self.scale) + np.float32(self.minimum)

    @property
    def zero_point(self) -> int | None:
        """The byte that means 0, if one does: ONNX can only store weights with such a byte as bytes."""
        point = -self.minimum / self.scale
        nearest = round(point)
        return nearest if 0 <= nearest <= 255 and math.isclose(point, nearest, abs_tol=1e-3) else None

    def transposed(self, *axes: int) -> Weight:
        """With its axes in another order."""
        return Weight(
            stored=np.ascontiguousarray(self.stored.transpose(axes)), scale=self.scale, minimum=self.minimum
        )


def read_dump(folder: Path) -> tuple[dict[str, Any], dict[str, Weight]]:
    """The topology and the weights that `dump_models.cjs` wrote.

    Raises:
        ValueError: the weights are not those of the manifest.
    """
    model = json.loads((folder / "model.json").read_bytes())
    raw = np.frombuffer((folder / "weights.bin").read_bytes(), np.uint8)
    weights: dict[str, Weight] = {}
    start = 0
    for spec in (spec for group in model["weightsManifest"] for spec in group["weights"]):
        quantization = spec["quantization"]
        if quantization["dtype"] != "uint8":
            raise ValueError(f"{spec['name']} is stored as {quantization['dtype']}")
        count = math.prod(spec["shape"])
        stored = raw[start : start + count].reshape(spec["shape"])
        weights[spec["name"]] = Weight(
            stored=stored, scale=quantization["scale"], minimum=quantization["min"]
        )
        start += count
    if start != len(raw):
        raise ValueError(f"{folder}: {len(raw) - start} bytes are no weights")
    return model["modelTopology"], weights
