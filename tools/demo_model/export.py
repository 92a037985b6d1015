"""Makes the model folder that ships: `python -m tools.demo_model.export`; or a CompVis checkpoint of it."""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import StableDiffusionPipeline
from transformers.models.clip.modeling_clip import CLIPTextModel

from engine.models import CARD_NAME, DEMO_FOLDER
from tools.demo_model.architecture import make_scheduler
from tools.demo_model.compvis import write_compvis
from tools.demo_model.dataset import SIZES
from tools.demo_model.tokenizer import make_tokenizer

VIEW_SCALE = 4
DEFAULT_STEPS = 20
DEFAULT_CFG = 6.0


def export_model(autoencoder: Any, denoiser: Path, folder: Path) -> None:
    """Write the trained parts in half precision and diffusers layout, in the place of what is there.

    Args:
        autoencoder: with its scaling factor; it is changed to half precision.
        denoiser: the folder of the UNet and the text encoder.
    """
    pipe = StableDiffusionPipeline(
        vae=autoencoder.half().cpu(),
        unet=UNet2DConditionModel.from_pretrained(denoiser / "unet", local_files_only=True).half(),
        text_encoder=CLIPTextModel.from_pretrained(denoiser / "text_encoder", local_files_only=True).half(),
        tokenizer=make_tokenizer(),
        scheduler=make_scheduler(),
        safety_checker=None,  # pyright: ignore[reportArgumentType]
        feature_extractor=None,  # pyright: ignore[reportArgumentType]
        requires_safety_checker=False,
    )
    unfinished = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(unfinished, ignore_errors=True)
    pipe.save_pretrained(unfinished, safe_serialization=True)
    card = {
        "name": "demo",
        "sizes": SIZES,
        "view_scale": VIEW_SCALE,
        "default_steps": DEFAULT_STEPS,
        "default_cfg": DEFAULT_CFG,
    }
    for part in ("unet", "vae"):
        _forget_path(unfinished / part / "config.json")
    (unfinished / CARD_NAME).write_text(f"{json.dumps(card, indent=2)}\n", encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    unfinished.rename(folder)


def _forget_path(file: Path) -> None:
    """Where on this machine a part was, is nobody's business."""
    config = json.loads(file.read_text(encoding="utf-8"))
    config.pop("_name_or_path", None)
    file.write_text(f"{json.dumps(config, indent=2)}\n", encoding="utf-8")


def main() -> None:
    """Write a CompVis checkpoint of an exported folder."""
    parser = argparse.ArgumentParser(prog="python -m tools.demo_model.export", description=__doc__)
    parser.add_argument("--model", type=Path, default=DEMO_FOLDER, help="the exported folder")
    parser.add_argument("--compvis", type=Path, required=True, help="where the checkpoint is written")
    arguments = parser.parse_args()
    write_compvis(arguments.model, arguments.compvis)


if __name__ == "__main__":
    main()
