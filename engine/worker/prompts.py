"""Prompts of any length: CLIP reads 75 tokens at a time, so longer ones are encoded in chunks.

The chunks' embeddings stand side by side for the UNet's cross-attention, as AUTOMATIC1111's web UI has it.
A prompt that fits into one chunk is encoded exactly as StableDiffusionPipeline does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

CHUNK = 75
"""Tokens per chunk: CLIP's 77 less the start and the end."""

BACK_OFF = 20
"""How far back a chunk may end at a comma, so that a term is not torn apart."""

SPECIAL_TOKENS = ("<|startoftext|>", "<|endoftext|>")


class PromptEncoder:
    """The tokenizer and text encoder of one model."""

    def __init__(self, tokenizer: Any, text_encoder: Any) -> None:
        self._tokenizer = tokenizer
        self._text_encoder = text_encoder
        [self._comma] = tokenizer(",", add_special_tokens=False).input_ids

    def count_chunks(self, text: str) -> int:
        """How many chunks a text needs; at least 1."""
        return len(self._chunks(text))

    def encode(self, texts: Sequence[str], num_chunks: int) -> torch.Tensor:
        """Embeddings of shape (texts, num_chunks * 77, hidden size), in the text encoder's dtype.

        Shorter texts are filled with empty chunks; none may need more than `num_chunks`.
        """
        rows: list[list[int]] = []
        for text in texts:
            chunks = self._chunks(text)
            assert len(chunks) <= num_chunks
            rows += [self._framed(chunk) for chunk in chunks]
            rows += [self._framed([])] * (num_chunks - len(chunks))
        ids = torch.tensor(rows, device=self._text_encoder.device)
        embeddings = self._text_encoder(ids)[0]
        return embeddings.view(len(texts), num_chunks * embeddings.shape[1], embeddings.shape[2])

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
