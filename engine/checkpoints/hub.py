"""`trinart models pull`: TrinArt's own files from the Hugging Face hub, checked, then imported."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

from engine.checkpoints.fetching import HubFile, fetched
from engine.checkpoints.importing import ImportRequest, check_target, import_checkpoint
from engine.checkpoints.progress import Bars

DERRIDA = "naclbit/trinart_derrida_characters_v2_stable_diffusion"
CHARACTERS = "naclbit/trinart_characters_19.2m_stable_diffusion_v1"
TRINART2 = "naclbit/trinart_stable_diffusion_v2"

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
    with fetched(wanted, downloads, _by_hand(known, wanted), bars) as origins:
        model, *others = origins
        vae = others[0] if others else None
        return import_checkpoint(replace(request, model=model, vae=vae, origins=origins), bars)


def _wanted(known: str, revision: str | None) -> list[HubFile]:
    """A revision is one of the model's repository: an autoencoder from another one stays at its own."""
    model, vae = KNOWN[known]
    files = [file for file in (model, vae) if file is not None]
    if not revision:
        return files
    return [replace(file, revision=revision) if file.repo == model.repo else file for file in files]


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
