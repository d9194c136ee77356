"""A tagger from training to labels: it learns, resumes bit for bit, keeps order, and is measured right."""

from __future__ import annotations

import random
import warnings
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from seqeval.metrics import classification_report
from sklearn.metrics import confusion_matrix, f1_score

from heedful.answers.token_label import PositionLabels
from heedful.answers.token_metrics import score_tags
from heedful.config import build
from heedful.data.labelled import Labelled, Sentence
from heedful.data.spans import Scheme
from heedful.errors import DataError, ShapeError
from heedful.explore.explain import explain
from heedful.explore.predicted import record_prediction
from heedful.explore.saliency import SALIENCY
from heedful.inputs.tokens import Tokens
from heedful.models.encoders import ENCODERS
from heedful.tasks.tag import TASK as TAG
from heedful.tasks.tag import TaggingConfig
from heedful.training.events import Finished, Progress, Validated
from heedful.training.loop import train_model
from tests.data.test_spans import all_spans, written

PATTERNS = (
    (("I", "saw", "a", "saw"), ("PRON", "VERB", "DET", "NOUN")),
    (("they", "can", "fish"), ("PRON", "AUX", "VERB")),
    (("the", "can"), ("DET", "NOUN")),
    (("a", "fish"), ("DET", "NOUN")),
)
DATA = Labelled([Sentence(*PATTERNS[n % 4]) for n in range(24)])
VALID = Labelled([Sentence(*each) for each in PATTERNS])


def configuration(encoder: str = "lstm", **training: Any) -> TaggingConfig:
    options = {
        "attention": {"width": 8, "feed_forward": 8},
        "transformer": {"width": 8, "feed_forward": 8},
        **{key: {"width": 8} for key in ("gat", "gatv2", "graph-transformer", "gcn")},
    }
    sizes = options.get(encoder, {"hidden": 8})
    return build(
        TaggingConfig,
        {
            "vocabulary": {"min_frequency": 1},
            "inputs": {"word_width": 8, "character_width": 8, "dropout": 0.1, "word_dropout": 0.1},
            "encoder": {"kind": encoder, **sizes},
            "labels": {"dropout": 0.0, "chain": training.pop("chain", False)},
            "training": {
                "epochs": 3, "batch_tokens": 16, "learning_rate": 0.02, "warmup_steps": 2, "threads": 1,
                "progress_steps": 1, "keep_freed_memory": False, "patience": 0, **training,
            },
        },
    )  # fmt: skip


def run(config: TaggingConfig, folder: Path, *, resume: bool = False) -> Any:
    return train_model(TAG, config, DATA, VALID, folder, resume=resume)


@pytest.mark.parametrize("chain", [False, True])
def test_a_tagger_learns_what_only_context_tells(tmp_path: Path, chain: bool) -> None:
    folder = tmp_path / "run"
    events = list(run(configuration(epochs=25, chain=chain), folder))
    assert isinstance(events[-1], Finished)
    assert events[-1].scores["accuracy"] == 1.0
    tagger = TAG.load(folder)
    tokens = [each[0] for each in PATTERNS]
    assert [each.labels for each in tagger.predict([*tokens, (), tokens[0]])] == [
        *(each[1] for each in PATTERNS), (), PATTERNS[0][1]
    ]  # fmt: skip
    assert tagger.evaluate(VALID).accuracy == 1.0


@pytest.mark.parametrize("kind", ENCODERS)
def test_every_encoder_trains_and_is_explained(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "run"
    list(run(configuration(kind, epochs=1), folder))
    tagger = TAG.load(folder)
    records = explain(tagger, ["I", "saw", "a", "saw"]).records
    assert tagger.model.encoder.has_attention == (records[0].measure != SALIENCY)
    assert records[0].weights.shape[1:] == (4, 4)
    assert records[0].query_tokens[0].startswith("I/")
    torch.testing.assert_close(
        torch.tensor(records[0].weights).sum(-1), torch.ones(records[0].weights.shape[:2])
    )
    assert not any(module.training for module in tagger.model.modules())
    if kind == "none":
        assert (records[0].weights[0] > 0).sum() <= 4


def test_a_resumed_run_ends_with_the_same_bytes(tmp_path: Path) -> None:
    config = configuration(checkpoint_steps=2)
    list(run(config, tmp_path / "whole"))
    events = run(config, tmp_path / "part")
    for event in events:
        if isinstance(event, Progress) and event.step == 9:
            break
    events.close()
    torch.rand(3)
    list(run(config, tmp_path / "part", resume=True))
    for name in ("model.safetensors", "vocabulary.json", "config.toml"):
        assert (tmp_path / "part" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_labels_that_training_did_not_see_are_named_with_file_and_line() -> None:
    strange = Sentence(("a", "b"), ("DET", "NUON"), ("", ""), (3, 5), Path("valid.conllu"), 10)
    with pytest.raises(
        DataError, match=r"valid\.conllu, line 15: the label 'NUON' is in no training"
    ):
        train_model(TAG, configuration(), DATA, Labelled([strange]), "unused")


def spans(*labels: str) -> Sentence:
    rows = tuple(range(len(labels)))
    return Sentence(tuple("abcdefg"[: len(labels)]), labels, ("",) * 7, rows, Path("a.conll"), 5)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (
            ("O", "B-X", "I-Y"),
            "line 7: the label 'I-Y' follows 'B-X', but the training labels are BIO",
        ),
        (("I-X", "I-X"), "line 5: the sentence begins with the label 'I-X', but"),
    ],
)
def test_spans_that_break_their_scheme_are_named(labels: tuple[str, ...], message: str) -> None:
    right = spans("O", "B-X", "I-X", "B-Y", "I-Y")
    for train, valid in ((right, spans(*labels)), (spans(*labels), right)):
        data = Labelled([right, train]), Labelled([valid])
        with pytest.raises(DataError, match=rf"a\.conll, {message}"):
            train_model(TAG, configuration(), *data, "unused")
    as_they_are = build(TaggingConfig, {"labels": {"spans": False}})
    TAG.check(as_they_are, Labelled([right]), Labelled([spans("O", "I-X")]))


def test_a_span_that_has_no_end_is_named() -> None:
    data = Labelled([spans("B-X", "E-X"), spans("O", "B-X")])
    with pytest.raises(DataError, match=r"line 6: the sentence ends with the label 'B-X'.*BIOES"):
        TAG.check(configuration(), data, data)


@pytest.mark.parametrize("epochs", [1, 3])
def test_a_chain_never_breaks_the_scheme_of_its_spans(tmp_path: Path, epochs: int) -> None:
    data = Labelled([spans("B-X", "I-X", "O", "B-Y", "I-Y"), spans("O", "B-X", "I-X")] * 4)
    config = configuration("none", chain=True, epochs=epochs)
    list(train_model(TAG, config, data, data, tmp_path / "run"))
    tagger = TAG.load(tmp_path / "run")
    letters = product("abcdefg", repeat=3)
    for each in tagger.predict(letters):
        assert Scheme("BIO").first_violation(each.labels) is None


def test_sentences_that_are_too_long_are_left_out(tmp_path: Path) -> None:
    config = configuration(epochs=1)
    short = config.model_copy(update={"data": config.data.model_copy(update={"max_length": 3})})
    started, *_ = run(short, tmp_path / "run")
    assert (started.train_examples, started.left_out) == (18, 6)
    none = config.model_copy(update={"data": config.data.model_copy(update={"max_length": 1})})
    with pytest.raises(DataError, match=r"longer than data\.max_length = 1"):
        list(run(none, tmp_path / "none"))


def test_what_cannot_be_explained() -> None:
    config = configuration("window")
    tagger = TAG.learn(config, DATA)
    with pytest.raises(DataError, match="no tokens to explain"):
        explain(tagger, [])
    with pytest.raises(DataError, match="got 1 labels for 2 positions"):
        record_prediction(tagger, ["a", "b"], PositionLabels(("DET",)))


def test_figures_agree_with_other_libraries() -> None:
    wanted = [["B-A", "I-A", "O"], ["O", "B-B", "O", "B-A"]]
    got = [["B-A", "O", "O"], ["O", "B-B", "O", "B-B"]]
    known = [[True, True, False], [False, True, True, False]]
    scores = score_tags(got, wanted, known)
    flat = [[label for sentence in each for label in sentence] for each in (wanted, got)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert scores.macro_f1 == pytest.approx(f1_score(*flat, average="macro"))
    assert scores.accuracy == pytest.approx(5 / 7)
    assert (scores.unknown, scores.unknown_accuracy) == (3, pytest.approx(2 / 3))
    # one span of three is right, and three are given
    assert scores.span_f1 == pytest.approx(1 / 3)
    assert scores.span_breaks == 0
    assert score_tags([["I-A", "O", "I-B"]], [["B-A", "I-A", "O"]], [[True] * 3]).span_breaks == 2
    assert scores.sentences_right == 0.0
    names = [each.label for each in scores.labels]
    assert {
        (wanted, got)
        for wanted, row in zip(names, scores.confusion, strict=True)
        for got, count in zip(names, row, strict=True)
        if count and wanted != got
    } == {("I-A", "O"), ("B-A", "B-B")}


def test_spans_are_told_from_other_labels() -> None:
    assert score_tags([["A"]], [["A"]], [[True]]).span_f1 is None
    assert score_tags([["A"]], [["A"]], [[True]]).span_breaks is None
    assert score_tags([["A"]], [["A"]], [[True]]).unknown_accuracy is None


@pytest.mark.parametrize("scheme", ["BIO", "IOB", "BIOES"])
def test_span_f1_is_that_of_the_sets_of_spans(scheme: str) -> None:
    draw, choices = random.Random(3), all_spans(0, 5)
    wanted, got = draw.choices(choices, k=60), draw.choices(choices, k=60)
    right = sum(len(set(one) & set(other)) for one, other in zip(wanted, got, strict=True))
    both = sum(map(len, wanted)) + sum(map(len, got))
    labels = ([written(each, 5, scheme) for each in sentences] for sentences in (got, wanted))
    assert score_tags(*labels, [[True] * 5] * 60).span_f1 == pytest.approx(2 * right / both)


def test_spans_and_labels_are_counted_one_by_one() -> None:
    draw, choices = random.Random(5), all_spans(0, 5)
    wanted, got = draw.choices(choices, k=40), draw.choices(choices, k=40)
    labels = [[list(written(each, 5, "BIO")) for each in sentences] for sentences in (got, wanted)]
    scores = score_tags(*labels, [[True] * 5] * 40)
    flat = [[label for sentence in each for label in sentence] for each in labels]
    names = [each.label for each in scores.labels]
    assert scores.confusion == tuple(map(tuple, confusion_matrix(flat[1], flat[0], labels=names)))
    theirs = classification_report(labels[1], labels[0], output_dict=True, zero_division=0)
    assert {each.label for each in scores.span_types} == {name for name in theirs if len(name) == 1}
    for each in scores.span_types:
        row = theirs[each.label]
        assert (each.precision, each.recall, each.f1, each.wanted) == pytest.approx(
            (row["precision"], row["recall"], row["f1-score"], row["support"])
        )
    assert scores.span_f1 == pytest.approx(theirs["micro avg"]["f1-score"])


def test_a_tagger_reports_each_label() -> None:
    answer = TAG.learn(configuration("window"), DATA).answer
    labels = [["B-A", "I-A", "O"], ["O", "B-B", "O"]]
    scores = score_tags(labels, labels, [[True] * 3] * 2)
    assert [table[0][0] for table in answer.tables(scores)] == [
        "accuracy",
        "type of span",
        "label",
        "true \\ predicted",
    ]
    assert [table.heading.rpartition(": ")[2] for table in answer.report_tables(scores)] == [
        "each type of span",
        "each label",
        "confusion matrix",
    ]


def test_sentences_of_other_lengths_are_not_compared() -> None:
    with pytest.raises(ShapeError, match="differ in number or length"):
        score_tags([["A"]], [["A", "B"]], [[True, True]])


def test_a_longer_word_is_read_at_both_ends(tmp_path: Path) -> None:
    config = configuration("window")
    options = config.vocabulary.model_copy(update={"longest_word": 4})
    tokens = Tokens.of(["abcdef", ""], options)
    batch = tokens.collate(tokens.encode([["abcdef", ""]]))
    ends = tokens.characters.ids("abef")
    assert batch.characters[0].tolist() == ends
    assert batch.character_lengths.tolist() == [4, 1]


def test_the_best_epoch_is_by_the_metric(tmp_path: Path) -> None:
    events = list(run(configuration(metric="loss"), tmp_path / "run"))
    losses = [event.scores["loss"] for event in events if isinstance(event, Validated)]
    best = [event.best for event in events if isinstance(event, Validated)]
    assert best == [loss == min(losses[: n + 1]) for n, loss in enumerate(losses)]
