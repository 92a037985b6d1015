"""Prompts of any length, on the demo model's own tokenizer and text encoder."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import StableDiffusionPipeline
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.models import DEMO_FOLDER
from engine.worker.prompts import BACK_OFF, CHUNK, SPECIAL_TOKENS, PromptEncoder, split_chunks

COMMA = 7


@pytest.fixture(scope="module")
def pipe() -> Any:
    return StableDiffusionPipeline.from_pretrained(
        DEMO_FOLDER, local_files_only=True, safety_checker=None, requires_safety_checker=False
    )


@pytest.fixture(scope="module")
def encoder(pipe: Any) -> PromptEncoder:
    return PromptEncoder(pipe.tokenizer, pipe.text_encoder)


@pytest.mark.parametrize("text", ["", "1girl, blue hair, smile", "青い髪 🎨", "a " * 60, "2005 2006 2007"])
@torch.inference_mode()
def test_a_plain_prompt_is_encoded_as_the_pipeline_does(pipe: Any, encoder: PromptEncoder, text: str) -> None:
    expected, _ = pipe.encode_prompt(text, "cpu", 1, do_classifier_free_guidance=False)
    assert encoder.count_chunks(text) == 1
    assert torch.equal(encoder.encode([text], 1), expected)


@torch.inference_mode()
def test_a_long_prompt_gets_as_many_chunks_as_it_needs(encoder: PromptEncoder) -> None:
    text = "smile, " * 100
    chunks = encoder.count_chunks(text)
    assert chunks == 3
    embeddings = encoder.encode([text, "1girl"], chunks)
    assert embeddings.shape == (2, chunks * (CHUNK + 2), 128)
    # The short prompt's first chunk is what it would be alone, the rest is that of the empty prompt.
    alone, empty = encoder.encode(["1girl", ""], 1)
    assert torch.allclose(embeddings[1], torch.cat([alone, empty, empty]), atol=1e-5)


@torch.inference_mode()
def test_special_tokens_in_a_prompt_are_not_special(encoder: PromptEncoder) -> None:
    text = "1girl" + "".join(SPECIAL_TOKENS) + "smile"
    assert torch.equal(encoder.encode([text], 1), encoder.encode(["1girl  smile"], 1))


@given(st.lists(st.sampled_from([1, 2, COMMA]), max_size=400))
@settings(deadline=None)
def test_chunks_lose_no_token_and_end_at_commas_where_they_can(ids: list[int]) -> None:
    chunks = split_chunks(ids, COMMA)
    assert [token for chunk in chunks for token in chunk] == ids
    assert all(len(chunk) <= CHUNK for chunk in chunks)
    for chunk, following in itertools.pairwise(chunks):
        window = (chunk + following)[CHUNK - BACK_OFF : CHUNK]
        assert chunk[-1] == COMMA or COMMA not in window
