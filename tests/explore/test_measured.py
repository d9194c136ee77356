"""Measures and steps of trained models: a classifier, a tagger and a translator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import heedful
from heedful.errors import OptionError
from heedful.explore.measures import CONTRIBUTION, GRADIENT, NORM, ROLLOUT
from tests.explore.pages import Page

MOODS = [{"text": "a good film", "label": "good"}, {"text": "a bad film", "label": "bad"}] * 4
PAIRS = [{"source": "ab c", "target": "c ab"}, {"source": "c d", "target": "d c"}] * 4


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Any:
    out = tmp_path_factory.mktemp("runs") / "mood"
    return heedful.train(
        "classify", train=MOODS, valid=MOODS, out=out, encoder="transformer", training={"epochs": 1}
    )


def test_a_classifier_has_every_measure_with_its_tokens(classifier: Any) -> None:
    plain = classifier.explain("what a good film")
    measured = classifier.explain("what a good film", measures=True)
    assert measured.records == plain.records
    assert measured.main == plain.main
    names = {record.measure for record in measured.measures}
    assert names == {NORM, CONTRIBUTION, ROLLOUT, GRADIENT}
    tokens = ("what", "a", "good", "film")
    assert all(record.key_tokens == tokens for record in measured.measures)
    for record in measured.measures:
        if record.measure in (CONTRIBUTION, ROLLOUT):
            np.testing.assert_allclose(record.weights.sum(-1), 1, rtol=1e-4)
    data = Page(measured.html()).data()
    assert data["records"][data["first"]]["measure"] == "attention weights"


def test_steps_recompute_the_weights_and_are_on_the_page(classifier: Any) -> None:
    found = classifier.explain("a good film", steps=True)
    assert {each.kind for each in found.steps} == {"encoder", "pooling"}
    assert all(each.detail.difference < 1e-5 for each in found.steps)
    assert len(Page(found.html()).data()["steps"]) == len(found.steps)


def test_measures_of_a_translator_are_merged_to_words(tmp_path: Path) -> None:
    model = heedful.train(
        "translate", train=PAIRS, valid=PAIRS, out=tmp_path / "run", training={"epochs": 1}
    )
    found = model.explain("ab c", reference="c ab", measures=True, steps=True)
    for record in found.measures:
        if record.kind == "cross":
            assert record.query_tokens == found.main[0].query_tokens
    kinds = {(record.kind, record.measure) for record in found.measures}
    assert ("cross", GRADIENT) in kinds
    assert ("encoder", ROLLOUT) in kinds
    assert {each.kind for each in found.steps} == {"encoder", "decoder", "cross"}


def test_a_model_without_attention_has_nothing_to_measure(tmp_path: Path) -> None:
    model = heedful.train(
        "classify", train=MOODS, valid=MOODS, out=tmp_path / "run", encoder="lstm",
        training={"epochs": 1}, pooling={"kind": "mean"},
    )  # fmt: skip
    with pytest.raises(OptionError, match="no attention to measure"):
        model.explain("a good film", measures=True)


def test_each_measure_has_its_fall_by_erasure_beside_it(classifier: Any) -> None:
    found = classifier.explain("what a good film", measures=True)
    assert classifier.explain("what a good film").erasure == ()
    shown = {(each.measure, each.kind, each.layer) for each in found.erasure}
    records = [*found.records, *found.measures]
    assert shown == {(each.measure, each.kind, each.layer) for each in records}
    assert len({each.random for each in found.erasure}) == 1
    # By hand: hide the tokens of greatest weight, one, then two, and see what is left of the probability.
    predictor = classifier.predictor
    [label] = found.prediction.labels
    for one in found.erasure:
        [record] = [
            each
            for each in records
            if (each.measure, each.kind, each.layer) == (one.measure, one.kind, one.layer)
        ]
        order = np.argsort(-record.weights.mean(axis=(0, 1), dtype=np.float64), kind="stable")
        [encoded] = predictor.input.encode(["what a good film"])
        left = []
        for hidden in ([], order[:1], order[:2]):
            words = np.array(encoded.words)
            words[hidden] = 1
            batch = predictor.input.collate([encoded._replace(words=words.tolist())])
            with torch.no_grad():
                [got] = predictor.answer.predict(predictor.model.eval(), batch)
            left.append(got.all_probabilities[label])
        assert one.fall == pytest.approx(left[0] - (left[1] + left[2]) / 2, abs=1e-6)
    assert "Faithfulness by erasure" in found.html()


def test_erasure_of_a_translator_hides_whole_words_and_never_the_end(tmp_path: Path) -> None:
    model = heedful.train(
        "translate", train=PAIRS, valid=PAIRS, out=tmp_path / "run", training={"epochs": 1}
    )
    found = model.explain("ab c", reference="c ab", measures=True)
    assert {each.kind for each in found.erasure} == {"cross", "encoder"}
    assert {each.measure for each in found.erasure} >= {NORM, CONTRIBUTION, GRADIENT}
    assert all(np.isfinite(each.fall) for each in found.erasure)
    # Two words: half of them is one; of a pair of rankings one hides the first word, the other the second.
    assert len({round(each.fall, 6) for each in found.erasure}) <= 2
    one_word = model.explain("c", reference="c", measures=True)
    assert one_word.erasure == ()


def test_erasure_of_a_tagger_is_of_the_mean_probability_of_its_labels(tmp_path: Path) -> None:
    rows = [{"tokens": ["a", "dog", "ran"], "tags": ["D", "N", "V"]}] * 8
    model = heedful.train(
        "tag", train=rows, valid=rows, out=tmp_path / "run", encoder="transformer",
        training={"epochs": 1},
    )  # fmt: skip
    found = model.explain(["a", "dog", "ran"], measures=True)
    assert found.erasure[0].support == "mean probability of the predicted labels"
    assert "encoder" in {each.kind for each in found.erasure}
