"""How the UNet is called: in which number of rows, compiled or not, and how many rows fit."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from diffusers.models.attention_processor import Attention

log = logging.getLogger(__name__)

ROW_BUCKETS = (2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128)
"""Numbers of rows that CUDA graphs are recorded for; a call of another number is filled up to the next."""

CHUNK_TOKENS = 77
"""Tokens of a prompt that is not long, with CLIP's start and end."""

MEMORY_SHARE = 0.8
"""Of what is free on the device after loading; the rest is for the autoencoder and for fragmentation."""


class _Inputs(NamedTuple):
    """The arguments of `UNetCaller`."""

    latents: torch.Tensor
    timesteps: torch.Tensor
    embeddings: torch.Tensor
    mask: torch.Tensor | None

    def filled_up(self, missing: int) -> _Inputs:
        """With row 0 repeated at the end: its results are thrown away, but they must be numbers."""
        return _Inputs(
            _fill(self.latents, missing),
            _fill(self.timesteps, missing),
            _fill(self.embeddings, missing),
            _fill(self.mask, missing) if self.mask is not None else None,
        )


class UNetCaller:
    """A UNet that is called with rows of latents, whatever they belong to."""

    def __init__(self, unet: Any, *, buckets: Sequence[int] = ()) -> None:
        self.buckets = buckets
        """Numbers of rows, ascending, to which calls are filled up."""
        self._unet = unet
        self._heads = _heads_of(unet)
        self._call = self._forward
        self._is_compiled = False
        self._parameter = next(unet.parameters())

    def __call__(
        self,
        latents: torch.Tensor,
        timesteps: torch.Tensor,
        embeddings: torch.Tensor,
        mask: torch.Tensor | None,
    ) -> torch.Tensor:
        """The predicted noise, float32.

        Args:
            latents: shape (rows, 4, h, w), any float dtype.
            timesteps: shape (rows,).
            embeddings: shape (rows, tokens, hidden).
            mask: shape (rows, tokens), true for tokens that count; None if all do.
        """
        rows = len(latents)
        inputs = _Inputs(latents.to(self._parameter.dtype), timesteps, embeddings, mask)
        missing = next((bucket for bucket in self.buckets if bucket >= rows), rows) - rows
        if missing:
            inputs = inputs.filled_up(missing)
        output = self._predict(inputs)
        # Compiled code writes its next result into the same memory: this copy is needed there.
        return output[:rows].to(torch.float32, copy=True)

    def compile(self, **options: Any) -> None:
        """Compile for any number of rows; a compiler that fails is given up for the plain UNet.

        Each size of picture is compiled on its own: code for any size is slower than code for one.
        """
        torch._dynamo.config.automatic_dynamic_shapes = False
        self._call = torch.compile(self._forward, fullgraph=True, **options)
        self._is_compiled = True

    @torch.inference_mode()
    def warm_up(self, latent_shapes: Sequence[Sequence[int]]) -> None:
        """Call once for each size: what is compiled for it is compiled now, while nobody waits."""
        for shape in latent_shapes:
            self(*self.zeros(2, shape), None)

    def zeros(
        self, rows: int, latent_shape: Sequence[int]
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Latents, timesteps and embeddings of a prompt of one chunk, on the UNet's device."""
        like = {"device": self._parameter.device, "dtype": self._parameter.dtype}
        latents = torch.zeros(rows, *latent_shape, **like)
        embeddings = torch.zeros(rows, CHUNK_TOKENS, self._unet.config.cross_attention_dim, **like)
        return latents, torch.zeros(rows, device=like["device"]), embeddings

    def _predict(self, inputs: _Inputs) -> torch.Tensor:
        if self._is_compiled:
            try:
                return self._predict_compiled(inputs)
            except torch.OutOfMemoryError:
                raise
            except Exception:
                log.exception("the compiled UNet failed; going on without compilation")
                self._is_compiled = False
        return self._forward(*inputs)

    def _predict_compiled(self, inputs: _Inputs) -> torch.Tensor:
        if inputs.mask is None:
            # Always with one: else a call of prompts of different lengths would be another compilation.
            shape, device = inputs.embeddings.shape[:2], inputs.embeddings.device
            inputs = inputs._replace(mask=torch.ones(shape, dtype=torch.bool, device=device))
        for tensor in inputs:
            torch._dynamo.mark_dynamic(tensor, 0)
        for tensor in (inputs.embeddings, inputs.mask):
            torch._dynamo.mark_dynamic(tensor, 1)
        torch.compiler.cudagraph_mark_step_begin()
        return self._call(*inputs)

    def _forward(
        self,
        latents: torch.Tensor,
        timesteps: torch.Tensor,
        embeddings: torch.Tensor,
        mask: torch.Tensor | None,
    ) -> torch.Tensor:
        if mask is not None:
            # diffusers would repeat it for the heads itself, in a way that ties compiled code to one number
            # of rows in some versions of torch.
            mask = mask[:, None].expand(-1, self._heads, -1).flatten(0, 1)
        return self._unet(latents, timesteps, embeddings, encoder_attention_mask=mask, return_dict=False)[0]


def _heads_of(unet: Any) -> int:
    """The number of attention heads, which is the same in all blocks of an SD v1 UNet."""
    [heads] = {module.heads for module in unet.modules() if isinstance(module, Attention)}
    return heads


def prepare_for_cuda(pipe: Any, caller: UNetCaller, *, is_compiled: bool) -> None:
    """Lay out the weights for tensor cores, fuse the attention projections, and compile if wanted."""
    pipe.unet.to(memory_format=torch.channels_last)
    pipe.vae.to(memory_format=torch.channels_last)
    pipe.unet.fuse_qkv_projections()
    if is_compiled:
        caller.compile(mode="reduce-overhead")


@torch.inference_mode()
def probe_max_rows(caller: UNetCaller, latent_shape: Sequence[int]) -> int:
    """How many rows fit on the current CUDA device, from the memory that calls of 2 and of 8 rows take.

    Args:
        latent_shape: (4, h, w) of the largest picture on offer.
    """
    few, many = 2, 8
    small, large = (_peak_bytes(caller, rows, latent_shape) for rows in (few, many))
    per_row = max(1, (large - small) // (many - few))
    torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info()
    return max(few, int((free * MEMORY_SHARE - small) / per_row) + few)


def _peak_bytes(caller: UNetCaller, rows: int, latent_shape: Sequence[int]) -> int:
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    caller(*caller.zeros(rows, latent_shape), None)
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - before


def _fill(rows: torch.Tensor, missing: int) -> torch.Tensor:
    return torch.cat([rows, rows[:1].expand(missing, *rows.shape[1:])])
