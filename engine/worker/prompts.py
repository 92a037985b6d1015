"""Prompts of any length: CLIP reads 75 tokens at a time, so longer ones are encoded in chunks.

The chunks' embeddings stand side by side for the UNet's cross-attention, and weights scale the embeddings of
their words, as AUTOMATIC1111's web UI has both. A prompt without weights that fits into one chunk is encoded
exactly as StableDiffusionPipeline does.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import torch

from engine.worker.prompt_weights import MAX_WEIGHT, read_prompt

CHUNK = 75
"""Tokens per chunk: CLIP's 77 less the start and the end."""

CACHED_CHUNKS = 1024
"""Chunks whose embeddings are kept: the negative prompts of the presets, and whatever was drawn lately.

A chunk of Stable Diffusion v1 has 118 kB in float16. Counted in prompts the cache would have no bound: 2000
characters can be more than 100 chunks.
"""

BACK_OFF = 20
"""How far back a chunk may end at a comma, so that a term is not torn apart."""


class Token(NamedTuple):
    """A token's number in the tokenizer's vocabulary, and the weight of the words that it is part of."""

    id: int
    weight: float


class PromptEncoder:
    """The tokenizer and text encoder of one model. Not thread-safe, as the model."""

    def __init__(self, tokenizer: Any, text_encoder: Any) -> None:
        self._tokenizer = tokenizer
        self._text_encoder = text_encoder
        self._cache = EmbeddingCache(CACHED_CHUNKS)
        self._chunks = lru_cache(maxsize=64)(self._split)
        [self._comma] = self._ids(",")

    def encode(self, prompt: str, negative_prompt: str | None) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Embeddings of both, each of shape (chunks * 77, hidden size), in the text encoder's dtype.

        The shorter one is filled with empty chunks. The tensors are shared with other samples: read only.
        """
        texts = [prompt] if negative_prompt is None else [prompt, negative_prompt]
        num_chunks = max(len(self._chunks(text)) for text in texts)
        embeddings = [self._cache.get(text, num_chunks, self._embed) for text in texts]
        return embeddings[0], embeddings[1] if negative_prompt is not None else None

    def _embed(self, text: str, num_chunks: int) -> torch.Tensor:
        chunks = self._chunks(text)
        rows = [self._framed(chunk) for chunk in [*chunks, *[[]] * (num_chunks - len(chunks))]]
        device = self._text_encoder.device
        ids = torch.tensor([[token.id for token in row] for row in rows], device=device)
        embeddings = self._text_encoder(ids)[0]
        weights = torch.tensor([[token.weight for token in row] for row in rows])
        if bool((weights != 1).any()):
            embeddings = apply_weights(embeddings, weights.to(device))
        return embeddings.flatten(0, 1)

    def _split(self, text: str) -> list[list[Token]]:
        # Each fragment on its own: a token is never of two weights.
        tokens = [
            Token(number, fragment.weight)
            for fragment in read_prompt(text)
            for number in self._ids(fragment.text)
        ]
        return split_chunks(tokens, self._comma)

    def _ids(self, text: str) -> list[int]:
        return self._tokenizer(text, add_special_tokens=False, verbose=False).input_ids

    def _framed(self, tokens: Sequence[Token]) -> list[Token]:
        tokenizer = self._tokenizer
        start, end = Token(tokenizer.bos_token_id, 1.0), Token(tokenizer.eos_token_id, 1.0)
        padding = [Token(tokenizer.pad_token_id, 1.0)] * (CHUNK - len(tokens))
        return [start, *tokens, end, *padding]


class EmbeddingCache:
    """Embeddings of texts; those that nobody asked for the longest go first."""

    def __init__(self, max_chunks: int) -> None:
        self._max_chunks = max_chunks
        self._kept = OrderedDict[tuple[str, int], torch.Tensor]()

    def get(self, text: str, num_chunks: int, embed: Callable[[str, int], torch.Tensor]) -> torch.Tensor:
        """The embedding of a text in so many chunks, made if it is not there."""
        key = text, num_chunks
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        embedding = self._kept[key] = embed(text, num_chunks)
        while sum(chunks for _, chunks in self._kept) > self._max_chunks:
            self._kept.popitem(last=False)
        return embedding


def apply_weights(embeddings: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Scale each token by its weight, then each chunk back to the mean that it had.

    `embeddings` has the shape (chunks, 77, hidden size), `weights` (chunks, 77). The web UI's "Original"
    emphasis (modules/sd_emphasis.py) takes one mean of all prompts of a batch; here company does not matter.

    If the tokens' means have one sign, the quotient of the means is between 1 / the largest and 1 / the
    smallest weight of the chunk, those of start, end and padding included, and is left alone. If they have
    not, as in the demo model, the mean can be close to 0, and its quotient anything: it is kept within those.
    """
    original = embeddings.float()
    weighted = original * weights[:, :, None]
    quotient = original.mean((1, 2)) / weighted.mean((1, 2))
    lowest = 1 / weights.amax(1)
    highest = 1 / weights.amin(1).clamp(min=1 / MAX_WEIGHT)
    quotient = quotient.nan_to_num(nan=1.0).clamp(lowest, highest)
    return (weighted * quotient[:, None, None]).to(embeddings.dtype)


def split_chunks(tokens: Sequence[Token], comma: int) -> list[list[Token]]:
    """Cut tokens into chunks of at most 75, after a comma where one is near the cut."""
    chunks: list[list[Token]] = []
    start = 0
    while len(tokens) - start > CHUNK:
        end = start + CHUNK
        commas = (cut for cut in range(end, end - BACK_OFF, -1) if tokens[cut - 1].id == comma)
        end = next(commas, end)
        chunks.append(list(tokens[start:end]))
        start = end
    return [*chunks, list(tokens[start:])]
