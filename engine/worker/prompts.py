"""Prompts of any length: CLIP reads 75 tokens at a time, so longer ones are encoded in chunks.

The chunks' embeddings stand side by side for the UNet's cross-attention, as AUTOMATIC1111's web UI has it.
A prompt that fits into one chunk is encoded exactly as StableDiffusionPipeline does.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch

CHUNK = 75
"""Tokens per chunk: CLIP's 77 less the start and the end."""

CACHED = 512
"""Embeddings that are kept: the negative prompts of the presets, and whatever was drawn lately."""

BACK_OFF = 20
"""How far back a chunk may end at a comma, so that a term is not torn apart."""

SPECIAL_TOKENS = ("<|startoftext|>", "<|endoftext|>")


class PromptEncoder:
    """The tokenizer and text encoder of one model."""

    def __init__(self, tokenizer: Any, text_encoder: Any) -> None:
        self._tokenizer = tokenizer
        self._text_encoder = text_encoder
        self._encode = lru_cache(maxsize=CACHED)(self._embed)
        [self._comma] = tokenizer(",", add_special_tokens=False).input_ids

    def encode(self, prompt: str, negative_prompt: str | None) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Embeddings of both, each of shape (chunks * 77, hidden size), in the text encoder's dtype.

        The shorter one is filled with empty chunks.
        """
        texts = [prompt] if negative_prompt is None else [prompt, negative_prompt]
        num_chunks = max(len(self._chunks(text)) for text in texts)
        embeddings = [self._encode(text, num_chunks) for text in texts]
        return embeddings[0], embeddings[1] if negative_prompt is not None else None

    def _embed(self, text: str, num_chunks: int) -> torch.Tensor:
        chunks = self._chunks(text)
        rows = [self._framed(chunk) for chunk in chunks]
        rows += [self._framed([])] * (num_chunks - len(chunks))
        ids = torch.tensor(rows, device=self._text_encoder.device)
        return self._text_encoder(ids)[0].flatten(0, 1)

    def _chunks(self, text: str) -> list[list[int]]:
        # Typed out, these would end a prompt in its middle.
        for token in SPECIAL_TOKENS:
            text = text.replace(token, " ")
        ids = self._tokenizer(text, add_special_tokens=False, verbose=False).input_ids
        return split_chunks(ids, self._comma)

    def _framed(self, ids: list[int]) -> list[int]:
        tokenizer = self._tokenizer
        padding = [tokenizer.pad_token_id] * (CHUNK - len(ids))
        return [tokenizer.bos_token_id, *ids, tokenizer.eos_token_id, *padding]


def split_chunks(ids: Sequence[int], comma: int) -> list[list[int]]:
    """Cut token ids into chunks of at most 75, after a comma where one is near the cut."""
    chunks: list[list[int]] = []
    rest = list(ids)
    while len(rest) > CHUNK:
        cut = CHUNK
        for position in range(CHUNK, CHUNK - BACK_OFF, -1):
            if rest[position - 1] == comma:
                cut = position
                break
        chunks.append(rest[:cut])
        rest = rest[cut:]
    return [*chunks, rest]
