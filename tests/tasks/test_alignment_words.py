from __future__ import annotations

import pytest
import torch

from heedful.data.files import Pairs
from heedful.inputs.pieces import VocabularyConfig
from heedful.models import RecurrentConfig
from heedful.tasks.alignment import align_words
from heedful.tasks.predictor import Predictor
from heedful.tasks.translate import TASK, TranslationConfig


@pytest.fixture(name="translator")
def make_translator() -> Predictor:
    torch.manual_seed(0)
    pairs = Pairs(["那是真的", "真的"] * 5, ["是真的吗", "that is"] * 5)
    vocabulary = VocabularyConfig(kind="bpe", size=60)
    model = RecurrentConfig(embedding=8, hidden=8)
    config = TranslationConfig(vocabulary=vocabulary, model=model)
    return TASK.learn(config, pairs)


def test_words_inside_one_piece_share_its_weight(translator: Predictor) -> None:
    # Source and target are one piece each, and four characters, which are their words.
    assert translator.input.vocabulary.encode("那是真的").last_word_ids == [3]
    alignment = align_words(translator, "那是真的", "是真的吗")
    assert alignment.source_words == ["那", "是", "真", "的"]
    assert alignment.target_words == ["是", "真", "的", "吗"]
    first = alignment.weights[0]
    assert first[0] > 0
    assert first == pytest.approx([first[0]] * 4)
    assert alignment.weights == [first] * 4


def test_every_word_of_a_mixed_pair_has_its_weights(translator: Predictor) -> None:
    alignment = align_words(translator, "真的那是真的", "that is that")
    weights = torch.tensor(alignment.weights)
    assert weights.shape == (3, 6)
    assert (weights > 0).all()
    assert (weights.sum(dim=1) <= 1 + 1e-6).all()
