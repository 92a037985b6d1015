"""The demo model's tokenizer: small, and for the words that the model knows the same as CLIP's."""

from __future__ import annotations

import random
from typing import Any

import pytest
from transformers.models.clip.tokenization_clip import CLIPTokenizer

from tools.demo_model.captions import training_caption
from tools.demo_model.faces import sample_face
from tools.demo_model.tokenizer import FULL_FOLDER, known_words, make_tokenizer, unknown_words


@pytest.fixture(scope="module")
def small() -> Any:
    return make_tokenizer()


@pytest.fixture(scope="module")
def full() -> Any:
    return CLIPTokenizer.from_pretrained(FULL_FOLDER, local_files_only=True)


def test_captions_are_split_as_clip_splits_them(small: Any, full: Any) -> None:
    for seed in range(300):
        dice = random.Random(seed)
        caption = training_caption(sample_face(dice), dice, unknown_words())

        assert small.tokenize(caption) == full.tokenize(caption)


def test_every_known_word_is_split_as_clip_splits_it(small: Any, full: Any) -> None:
    for word in known_words():
        assert small.tokenize(word) == full.tokenize(word)


def test_a_word_that_clip_has_and_the_small_one_has_not_becomes_pieces(small: Any, full: Any) -> None:
    assert len(full.tokenize("archaeology")) == 1

    assert 1 < len(small.tokenize("archaeology")) <= 5
    assert "".join(small.tokenize("archaeology")) == "archaeology</w>"


def test_no_character_is_unknown(small: Any) -> None:
    text = "ñ 猫 🐈 (((:-) \t\u0301 ß"

    assert small.eos_token_id not in small(text, add_special_tokens=False).input_ids


def test_start_end_and_padding_are_as_in_clip(small: Any) -> None:
    ids = small("1girl", padding="max_length", max_length=77).input_ids

    assert len(small) == len(small.get_vocab()) < 7000
    assert ids[0] == small.bos_token_id == len(small) - 2
    assert len(ids) == small.model_max_length == 77
    assert set(ids[3:]) == {small.eos_token_id} == {len(small) - 1}


def test_it_is_the_same_when_read_from_its_folder(small: Any, tmp_path: Any) -> None:
    small.save_pretrained(tmp_path)
    read = CLIPTokenizer.from_pretrained(tmp_path, local_files_only=True)

    text = "1girl, twintails, masterpiece by nobody, 2016"
    assert read(text).input_ids == small(text).input_ids
    assert read.model_max_length == 77


def test_unknown_words_are_single_tokens_that_mean_nothing(small: Any) -> None:
    words = unknown_words()

    assert len(words) > 2000
    assert all(len(small.tokenize(word)) == 1 for word in words)
    assert not set(words) & {"red", "reds", "eyes", "eye", "hair", "haired", "smile", "smiling", "night"}
    assert {"library", "train"} <= set(words)
