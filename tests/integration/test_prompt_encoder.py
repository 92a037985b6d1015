"""Prompts of any length and weight, on the demo model's own tokenizer and text encoder."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import StableDiffusionPipeline
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from engine.models import DEMO_FOLDER
from engine.worker.prompt_weights import MAX_WEIGHT, clean
from engine.worker.prompts import (
    BACK_OFF,
    CHUNK,
    EmbeddingCache,
    PromptEncoder,
    Token,
    apply_weights,
    split_chunks,
)

COMMA = 7
WEIGHTS = st.floats(0, MAX_WEIGHT)


@pytest.fixture(scope="module")
def pipe() -> Any:
    return StableDiffusionPipeline.from_pretrained(
        DEMO_FOLDER,
        local_files_only=True,
        dtype=torch.float32,
        safety_checker=None,
        requires_safety_checker=False,
    )


@pytest.fixture(scope="module")
def encoder(pipe: Any) -> PromptEncoder:
    return PromptEncoder(pipe.tokenizer, pipe.text_encoder)


@pytest.fixture(autouse=True)
def _inference() -> Iterator[None]:
    with torch.inference_mode():
        yield


class SpyingTextEncoder:
    """The text encoder, and the token ids that it was given."""

    def __init__(self, text_encoder: Any) -> None:
        self._text_encoder = text_encoder
        self.device = text_encoder.device
        self.calls: list[list[list[int]]] = []

    def __call__(self, ids: torch.Tensor) -> Any:
        self.calls.append(ids.tolist())
        return self._text_encoder(ids)


def encode(encoder: PromptEncoder, text: str) -> torch.Tensor:
    return encoder.encode(text, None)[0]


def encode_by_pipeline(pipe: Any, text: str) -> torch.Tensor:
    embeddings, _ = pipe.encode_prompt(text, "cpu", 1, do_classifier_free_guidance=False)
    return embeddings[0]


# --- as the pipeline --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    ["", "1girl, Blue hair, :) 12:30", "青い髪 👩‍🎨 🎨️", "a " * 75, "2005 2006", "C++ \\o/ https://a.b/c"],
)
def test_a_plain_prompt_is_encoded_as_the_pipeline_does(pipe: Any, encoder: PromptEncoder, text: str) -> None:
    assert torch.equal(encode(encoder, text), encode_by_pipeline(pipe, text))


@given(text=st.lists(st.text("abzÄß,.;-'!?/+0129 青い髪ガ🎨👩‍", max_size=6), max_size=12).map(" ".join))
@settings(deadline=None, max_examples=50)
def test_any_plain_prompt_is_encoded_as_the_pipeline_does(
    pipe: Any, encoder: PromptEncoder, text: str
) -> None:
    # Otherwise CLIP's cleaning repairs what the pipeline leaves broken.
    assume(clean(text) == " ".join(text.lower().split()))
    assume(len(pipe.tokenizer(text).input_ids) <= CHUNK + 2)
    assert torch.equal(encode(encoder, text), encode_by_pipeline(pipe, text))


def test_text_is_cleaned_before_it_is_encoded(encoder: PromptEncoder) -> None:
    assert torch.equal(encode(encoder, "CafÃ© &amp; ｂｌｕｅ"), encode(encoder, "café & blue"))


def test_special_tokens_in_a_prompt_are_not_special(encoder: PromptEncoder) -> None:
    text = "1girl<|startoftext|>&lt;|endoftext|&gt;<|end<|ENDOFTEXT|>oftext|>smile"
    assert torch.equal(encode(encoder, text), encode(encoder, "1girl <|end oftext|>smile"))


def test_no_prompt_gives_a_special_token(pipe: Any) -> None:
    spy = SpyingTextEncoder(pipe.text_encoder)
    encode(PromptEncoder(pipe.tokenizer, spy), "<|endoftext|> a (<|endof)text|> ＜｜startoftext｜＞")
    ((ids,),) = spy.calls
    start, end = pipe.tokenizer.bos_token_id, pipe.tokenizer.eos_token_id
    words = ids[1 : ids.index(end)]
    assert start not in words
    assert pipe.tokenizer.decode(words) == "a <| endof text |>"
    assert set(ids[ids.index(end) :]) == {end}


# --- any length -------------------------------------------------------------------------------------


def test_both_prompts_get_as_many_chunks_as_the_longer_one_needs(encoder: PromptEncoder) -> None:
    long, short = "smile, " * 100, "1girl"
    prompt, negative = encoder.encode(short, long)
    assert negative is not None
    assert prompt.shape == negative.shape == (3 * (CHUNK + 2), 128)
    # The short one's first chunk is what it would be alone, the rest is that of the empty prompt.
    alone, empty = encode(encoder, short), encode(encoder, "")
    assert torch.allclose(prompt, torch.cat([alone, empty, empty]), atol=1e-5)
    swapped, _ = encoder.encode(long, short)
    assert torch.equal(swapped, negative)


def test_no_token_of_a_long_prompt_is_lost(pipe: Any) -> None:
    text = "青い髪 🎨, 2022 smile; " * 40
    spy = SpyingTextEncoder(pipe.text_encoder)
    encode(PromptEncoder(pipe.tokenizer, spy), text)
    (rows,) = spy.calls
    end = pipe.tokenizer.eos_token_id
    words = [id_ for row in rows for id_ in row[1 : row.index(end)]]
    assert words == pipe.tokenizer(text, add_special_tokens=False, verbose=False).input_ids


@given(st.lists(st.builds(Token, st.sampled_from([1, 2, COMMA]), WEIGHTS), max_size=400))
@settings(deadline=None)
def test_chunks_lose_no_token_and_end_at_commas_where_they_can(tokens: list[Token]) -> None:
    chunks = split_chunks(tokens, COMMA)
    assert [token for chunk in chunks for token in chunk] == tokens
    assert all(len(chunk) <= CHUNK for chunk in chunks)
    for chunk, following in itertools.pairwise(chunks):
        window = (chunk + following)[CHUNK - BACK_OFF : CHUNK]
        assert chunk[-1].id == COMMA or COMMA not in [token.id for token in window]


# --- weights ----------------------------------------------------------------------------------------


def test_weights_do_not_change_the_tokens(pipe: Any) -> None:
    spy = SpyingTextEncoder(pipe.text_encoder)
    encoder = PromptEncoder(pipe.tokenizer, spy)
    encode(encoder, "1girl, blue hair, smile, night")
    encode(encoder, "1girl, (blue hair:1.3), {smile}, [night]")
    assert spy.calls[0] == spy.calls[1]


@pytest.mark.parametrize("text", ["1girl, (blue hair:1), smile", "1girl, blue hair::1, [(smile)]"])
def test_weights_of_1_change_nothing(encoder: PromptEncoder, text: str) -> None:
    assert torch.equal(encode(encoder, text), encode(encoder, "1girl, blue hair, smile"))


def test_a_weighted_word_is_scaled_against_the_others(pipe: Any, encoder: PromptEncoder) -> None:
    plain, weighted = encode(encoder, "smile, night"), encode(encoder, "(smile:1.5), night")
    size = len(pipe.tokenizer("smile", add_special_tokens=False).input_ids)
    quotient = weighted / plain
    scale = quotient[0].median()
    assert torch.allclose(quotient[1 : 1 + size], 1.5 * scale, rtol=1e-4)
    assert torch.allclose(quotient[1 + size :], scale, rtol=1e-4)
    assert 1 / 1.5 <= scale <= 1


def test_weights_follow_their_words_into_the_next_chunk(encoder: PromptEncoder) -> None:
    filler = "a " * 75
    text = filler + "(smile:1.5)"
    both, tail = encode(encoder, text), encode(encoder, "(smile:1.5)")
    assert torch.allclose(both[: CHUNK + 2], encode(encoder, filler), atol=1e-5)
    assert torch.allclose(both[CHUNK + 2 :], tail, atol=1e-5)


def test_the_mean_of_a_chunk_is_restored() -> None:
    embeddings = torch.rand(2, CHUNK + 2, 8) + 1
    weights = torch.ones(2, CHUNK + 2)
    weights[0, 1:40] = 1.5
    weighted = apply_weights(embeddings, weights)
    assert torch.allclose(weighted.mean((1, 2)), embeddings.mean((1, 2)))
    assert torch.allclose(weighted[0, 1] / embeddings[0, 1], 1.5 * weighted[0, 0] / embeddings[0, 0])
    assert torch.equal(weighted[1], embeddings[1])


@given(st.lists(WEIGHTS, min_size=CHUNK, max_size=CHUNK), st.integers(0, 2**32 - 1), st.booleans())
@settings(deadline=None)
def test_no_weights_blow_a_chunk_up(weights: list[float], seed: int, centred: bool) -> None:
    embeddings = torch.randn(1, CHUNK + 2, 8, generator=torch.Generator().manual_seed(seed))
    if centred:
        embeddings -= embeddings.mean()
    weighted = apply_weights(embeddings, torch.tensor([[1.0, *weights, 1.0]]))
    assert weighted.isfinite().all()
    assert (weighted * embeddings >= 0).all()
    assert (weighted.abs() <= embeddings.abs() * MAX_WEIGHT**2 * 1.001).all()


def test_embeddings_of_zeros_stay_zeros() -> None:
    zeros = torch.zeros(1, CHUNK + 2, 8)
    assert torch.equal(apply_weights(zeros, torch.full((1, CHUNK + 2), 1.5)), zeros)


def test_weighted_embeddings_keep_the_dtype() -> None:
    half = torch.ones(1, CHUNK + 2, 8, dtype=torch.float16)
    assert apply_weights(half, torch.full((1, CHUNK + 2), 1.5)).dtype == torch.float16


@given(
    prompt=st.text(alphabet=st.characters(), max_size=60), negative=st.text("(){}[]:\\1.5, a青", max_size=60)
)
@settings(deadline=None, max_examples=50)
def test_any_text_is_encoded(encoder: PromptEncoder, prompt: str, negative: str) -> None:
    first, second = encoder.encode(prompt, negative)
    assert second is not None
    assert first.shape == second.shape
    assert first.isfinite().all()
    assert second.isfinite().all()


# --- the cache --------------------------------------------------------------------------------------


def test_a_negative_prompt_is_encoded_once(pipe: Any) -> None:
    spy = SpyingTextEncoder(pipe.text_encoder)
    encoder = PromptEncoder(pipe.tokenizer, spy)
    _, first = encoder.encode("1girl", "bad hands, fewer digits")
    _, second = encoder.encode("1boy", "bad hands, fewer digits")
    assert first is second
    assert len(spy.calls) == 3


def test_the_cache_keeps_what_was_asked_for_lately_up_to_so_many_chunks() -> None:
    made: list[tuple[str, int]] = []

    def embed(text: str, num_chunks: int) -> torch.Tensor:
        made.append((text, num_chunks))
        return torch.zeros(1)

    cache = EmbeddingCache(3)
    for text, num_chunks in [
        ("a", 1),
        ("b", 1),
        ("a", 1),
        ("c", 2),
        ("a", 1),
        ("b", 1),
        ("huge", 9),
        ("b", 1),
    ]:
        cache.get(text, num_chunks, embed)
    assert made == [("a", 1), ("b", 1), ("c", 2), ("b", 1), ("huge", 9), ("b", 1)]
