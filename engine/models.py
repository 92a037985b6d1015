"""Model folders in diffusers layout: where they are and whether they are whole. No torch; any process.

A folder may hold `trinart_model.json` with the sizes it offers; without one it is taken for a Stable
Diffusion v1 model at its usual sizes.
"""

from __future__ import annotations

import json
from pathlib import Path

import msgspec

from engine.protocol import ModelCard

DEMO_FOLDER = Path(__file__).parent / "demo_model"
CARD_NAME = "trinart_model.json"

SD1_SIZES = {
    "square": (512, 512),
    "portrait": (512, 768),
    "landscape": (768, 512),
    "tall": (448, 832),
    "wide": (832, 448),
}
"""What members may ask of an SD v1 model: at most 1.5 times its training area, in multiples of 64."""

COMPONENTS = {
    "unet": ("config.json", "diffusion_pytorch_model*.safetensors"),
    "vae": ("config.json", "diffusion_pytorch_model*.safetensors"),
    "text_encoder": ("config.json", "model*.safetensors"),
    "tokenizer": ("tokenizer_config.json",),
    "scheduler": ("scheduler_config.json",),
}


class ModelError(Exception):
    """A model that cannot be used; the message is one sentence for the operator."""


def find_model(name: str, models_dir: Path) -> Path:
    """The folder of `demo`, of an installed model in `models_dir`, or of a path given as it is."""
    if name == "demo":
        return DEMO_FOLDER
    if "/" in name or name.startswith("."):
        return Path(name).expanduser()
    return models_dir / name


def read_model(folder: Path) -> ModelCard:
    """Check that every component is there and readable; return what the model offers.

    Raises:
        ModelError: the folder or a file in it is missing or broken.
    """
    if not folder.is_dir():
        raise ModelError(f"There is no model folder at {folder}: set TRINART_MODEL to demo or to a folder.")
    _read_json(folder / "model_index.json")
    for component, patterns in COMPONENTS.items():
        for pattern in patterns:
            files = sorted((folder / component).glob(pattern))
            if not files or any(not file.is_file() or file.stat().st_size == 0 for file in files):
                raise ModelError(f"The model folder {folder} has no {component}/{pattern}: install it again.")
            if pattern.endswith(".json"):
                _read_json(files[0])
    return _read_card(folder)


def _read_card(folder: Path) -> ModelCard:
    path = folder / CARD_NAME
    if not path.exists():
        return ModelCard(name=folder.name, sizes=SD1_SIZES)
    try:
        card = msgspec.json.decode(path.read_bytes(), type=ModelCard)
    except (OSError, UnicodeDecodeError, msgspec.DecodeError) as error:
        raise ModelError(f"{path} cannot be read: {error}.") from error
    if not card.sizes or any(side <= 0 or side % 8 for size in card.sizes.values() for side in size):
        raise ModelError(f"{path} offers no size, or one that is no multiple of 8.")
    if card.view_scale < 1 or card.default_steps < 1:
        raise ModelError(f"{path} has a view_scale or default_steps below 1.")
    return card


def _read_json(path: Path) -> None:
    try:
        json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"The model file {path} cannot be read: {error}.") from error
