"""Recording a translator, whatever its architecture and vocabulary."""

from __future__ import annotations

import numpy
import pytest
import torch

from heedful.data.files import Pairs
from heedful.errors import DataError, OptionError
from heedful.explore import AttentionRecord, record_translation
from heedful.explore.translation import SALIENCY
from heedful.inputs.pieces import VocabularyConfig
from heedful.models import RecurrentConfig, TransformerConfig
from heedful.tasks.alignment import align_words, encode_pair
from heedful.tasks.predictor import Predictor
from heedful.tasks.translate import TASK, TranslationConfig

ENGLISH = ["a man in an orange hat", "two dogs running"]
GERMAN = ["ein Mann mit einem orangen Hut", "zwei rennende Hunde"]


def translator(
    model: TransformerConfig | RecurrentConfig,
    kind: str = "bpe",
    pairs: tuple[list[str], list[str]] = (ENGLISH, GERMAN),
) -> Predictor:
    vocabulary = VocabularyConfig(kind=kind, size=30, shared=False, min_frequency=1)  # type: ignore[arg-type]
    config = TranslationConfig(vocabulary=vocabulary, model=model)
    torch.manual_seed(0)
    return TASK.learn(config, Pairs(*pairs, "tiny"))


TRANSFORMER = TransformerConfig(
    width=16, feed_forward=16, encoder_layers=2, decoder_layers=2, heads=2
)


def recurrent(attention: str, order: str = "bahdanau") -> RecurrentConfig:
    return RecurrentConfig(  # type: ignore[call-arg]
        kind="gru", embedding=8, hidden=8, attention=attention, order=order
    )


def test_a_transformer_has_every_layer_head_and_kind() -> None:
    model = translator(TRANSFORMER)
    found = record_translation(model, "two dogs running", "zwei rennende Hunde")
    assert sorted((one.kind, one.layer) for one in found) == [
        (kind, layer) for kind in ("cross", "decoder", "encoder") for layer in (0, 1)
    ]
    assert {one.heads for one in found} == {2}
    source, target = ("two", "dogs", "running", "<end>"), ("zwei", "rennende", "Hunde")
    by_kind = {one.kind: one for one in found}
    assert by_kind["encoder"].query_tokens == by_kind["encoder"].key_tokens == source
    assert by_kind["cross"].query_tokens == (*target, "<end>")
    assert by_kind["cross"].key_tokens == source
    assert by_kind["decoder"].query_tokens == by_kind["decoder"].key_tokens == ("<begin>", *target)
    assert all(one.merged for one in found)
    later = numpy.triu(numpy.ones((4, 4), dtype=bool), 1)
    numpy.testing.assert_array_equal(by_kind["decoder"].allowed[0], ~later)
    for one in found:
        numpy.testing.assert_allclose(one.weights.sum(axis=2), 1, rtol=1e-5)


@pytest.mark.parametrize("order", ["bahdanau", "luong"])
def test_a_recurrent_model_has_one_map_a_row_a_word(order: str) -> None:
    model = translator(recurrent("additive", order))
    [found] = record_translation(model, "a man", "ein Mann")
    assert (found.kind, found.heads) == ("cross", 1)
    assert found.query_tokens == ("ein", "Mann", "<end>")
    assert found.key_tokens == ("a", "man", "<end>")
    numpy.testing.assert_allclose(found.weights.sum(axis=2), 1, rtol=1e-5)


@pytest.mark.parametrize("order", ["bahdanau", "luong"])
def test_words_agree_with_the_alignment(order: str) -> None:
    model = translator(recurrent("additive", order))
    [found] = record_translation(model, ENGLISH[0], GERMAN[0])
    alignment = align_words(model, ENGLISH[0], GERMAN[0])
    assert list(found.query_tokens[:-1]) == alignment.target_words
    numpy.testing.assert_allclose(found.weights[0, :-1, :-1], alignment.weights, atol=1e-6)


def test_a_model_without_attention_shows_saliency_and_says_so() -> None:
    [found] = record_translation(translator(recurrent("none")), ENGLISH[1], GERMAN[1])
    assert found.measure == SALIENCY
    assert "attention weights" not in found.measure
    numpy.testing.assert_allclose(found.weights.sum(axis=2), 1, rtol=1e-5)


def test_characters_are_not_merged_unless_asked_for() -> None:
    model = translator(recurrent("additive"), kind="char")
    [pieces] = record_translation(model, "two dogs", "zwei")
    assert pieces.query_tokens == ("z", "w", "e", "i", "<end>")
    assert pieces.key_tokens == ("t", "w", "o", "▁", "d", "o", "g", "s", "<end>")
    assert not pieces.merged
    [words] = record_translation(model, "two dogs", "zwei", units="words")
    assert words.query_tokens == ("zwei", "<end>")
    assert words.merged
    numpy.testing.assert_allclose(
        words.weights[0, 0, 0], pieces.weights[0, :4, :3].sum(axis=1).mean(), rtol=1e-5
    )


def test_pieces_on_request() -> None:
    model = translator(TRANSFORMER)
    found = record_translation(model, ENGLISH[0], GERMAN[0], units="pieces")
    assert not any(one.merged for one in found)
    ids = encode_pair(model, ENGLISH[0], GERMAN[0])
    cross = next(one for one in found if one.kind == "cross")
    assert cross.key_tokens == ids.source_pieces


def test_a_piece_over_several_words_makes_one_word_of_them() -> None:
    chinese = ["你好你好世界", "你好世界你好"] * 3
    model = translator(recurrent("additive"), pairs=(chinese, GERMAN * 3))
    [found] = record_translation(model, "你好世界", "zwei Hunde")
    *words, end = found.key_tokens
    assert end == "<end>"
    assert "".join(words) == "你好世界"
    assert len(words) < 4
    numpy.testing.assert_allclose(found.weights.sum(axis=2), 1, rtol=1e-5)


def test_the_model_stays_in_its_mode() -> None:
    model = translator(TRANSFORMER)
    model.model.train()
    first = record_translation(model, ENGLISH[0], GERMAN[0])
    assert model.model.training
    assert record_translation(model, ENGLISH[0], GERMAN[0]) == first
    assert not any(module._forward_hooks for module in model.model.modules())


def test_what_cannot_be_recorded() -> None:
    model = translator(recurrent("additive"))
    with pytest.raises(DataError, match="the source has no words to explain"):
        record_translation(model, " ", "zwei")
    with pytest.raises(DataError, match="the target has no words to explain"):
        record_translation(model, "two", "")
    with pytest.raises(OptionError, match="unknown units 'word'; did you mean 'words'"):
        record_translation(model, "two", "zwei", units="word")  # type: ignore[arg-type]


def test_records_survive_json() -> None:
    for one in record_translation(translator(TRANSFORMER), ENGLISH[0], GERMAN[0]):
        assert AttentionRecord.from_json(one.to_json()) == one.rounded()
