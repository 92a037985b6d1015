"""`python -m tools.nsfw_models NODE_FOLDER`: writes the ONNX files and the recorded scores anew.

NODE_FOLDER is where `npm install` was run with the `package.json` beside this file; the README says how.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tools.nsfw_models.graph import Graph
from tools.nsfw_models.keras_layers import add_layers
from tools.nsfw_models.pictures import COUNT, digest, picture
from tools.nsfw_models.tensorflow_nodes import add_nodes
from tools.nsfw_models.weights import read_dump

ROOT = Path(__file__).parents[2]
MODELS = ROOT / "engine" / "safety" / "models"
SCORES = ROOT / "tests" / "fixtures" / "nsfwjs_scores.json"
DIGITS = 6

DUMPED = {
    "mobilenet_v2": "8e7dddbb16acacc1bf1601b1b8a761e730ff934b7f2d7771312b2f000e5f5f13",
    "mobilenet_v2_mid": "fee38f0bcbad1a223b8301c014bbf78984365aef5ab08fc3289ed4229ab67f0e",
}
"""The sha256 of each model's `weights.bin` in nsfwjs 4.4.0."""


def convert(dump: Path, out: Path) -> Iterator[str]:
    """Write one ONNX file for each dumped model; a line about each.

    Raises:
        ValueError: the dump is of another version.
    """
    for name, expected in DUMPED.items():
        found = hashlib.sha256((dump / name / "weights.bin").read_bytes()).hexdigest()
        if found != expected:
            raise ValueError(f"the weights of {name} have the sha256 {found}, not {expected}")
        topology, weights = read_dump(dump / name)
        graph = Graph()
        (add_nodes if "node" in topology else add_layers)(topology, weights, graph)
        model = graph.serialized(name)
        (out / f"{name}.onnx").write_bytes(model)
        yield f"{name}.onnx  {len(model)} bytes  sha256 {hashlib.sha256(model).hexdigest()}"


def record_scores(node_folder: Path, dump: Path, out: Path) -> None:
    """Let tfjs score the abstract pictures."""
    pictures = [picture(number) for number in range(COUNT)]
    raw = dump / "pictures.raw"
    raw.write_bytes(b"".join(each.tobytes() for each in pictures))
    lines = _node(node_folder, "record_scores.cjs", str(dump), str(raw)).splitlines()
    found = {line["model"]: line["scores"] for line in map(json.loads, lines)}
    rows = [
        {"sha256": digest(pixels)}
        | {name: [round(score, DIGITS) for score in scores[number]] for name, scores in found.items()}
        for number, pixels in enumerate(pictures)
    ]
    text = ",\n".join(json.dumps(row) for row in rows)
    out.write_text(f"[\n{text}\n]\n", encoding="utf-8")


def _node(node_folder: Path, script: str, *arguments: str) -> str:
    command = ["node", str(Path(__file__).with_name(script)), *arguments]
    return subprocess.run(command, cwd=node_folder, check=True, stdout=subprocess.PIPE, text=True).stdout


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("node_folder", type=Path)
    parser.add_argument("--models", type=Path, default=MODELS)
    parser.add_argument("--scores", type=Path, default=SCORES)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        _node(args.node_folder, "dump_models.cjs", folder)
        for line in convert(Path(folder), args.models):
            sys.stdout.write(f"{line}\n")
        record_scores(args.node_folder, Path(folder), args.scores)


if __name__ == "__main__":
    main()
