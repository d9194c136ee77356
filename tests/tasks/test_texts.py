"""Classifiers and regressors from training to answers: they learn, resume bit for bit, and are measured right."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import confusion_matrix, f1_score, mean_absolute_error, r2_score

from heedful.answers.label import Labels
from heedful.answers.number import Number
from heedful.answers.sequence_metrics import score_labels, score_numbers
from heedful.config import build
from heedful.data.texts import Text, Texts
from heedful.errors import DataError, OptionError, ShapeError
from heedful.explore.predicted import record_prediction
from heedful.explore.saliency import SALIENCY
from heedful.models.encoders import ENCODERS
from heedful.models.encoders.inputs import TokenBatch
from heedful.models.frequency import subsample
from heedful.nn.pooling import POOLS, AttentionPooling
from heedful.nn.scores import SCORE_MODULES
from heedful.tasks.classify import TASK as CLASSIFY
from heedful.tasks.classify import ClassifyConfig
from heedful.tasks.regress import TASK as REGRESS
from heedful.tasks.regress import RegressConfig
from heedful.training.events import Finished, Progress
from heedful.training.loop import train_model

PATTERNS = (
    ("the good film", "yes"),
    ("a bad film", "no"),
    ("good", "yes"),
    ("the bad , bad one", "no"),
)
DATA = Texts([Text(text, (label,)) for text, label in PATTERNS * 5])
VALID = Texts([Text(text, (label,)) for text, label in PATTERNS])
MANY = Texts(
    [
        Text(each.text, (each.answers[0], "film") if "film" in each.text else ())
        for each in DATA.rows
    ]
)
PRICES = {"cheap thing": 10.0, "dear thing": 90.0, "cheap": 12.0, "very dear thing": 108.0}
NUMBERS = Texts([Text(text, (str(value),)) for text, value in list(PRICES.items()) * 5])


def settings(encoder: str = "none", **sections: Any) -> dict[str, Any]:
    sizes = {
        **{key: {"width": 8, "feed_forward": 8} for key in ("attention", "transformer")},
        **{key: {"width": 8} for key in ("gat", "gatv2", "graph-transformer", "gcn")},
    }
    width = sizes.get(encoder, {"hidden": 8})
    training = {
        "epochs": 3, "batch_tokens": 24, "learning_rate": 0.02, "warmup_steps": 2, "threads": 1,
        "progress_steps": 1, "keep_freed_memory": False, **sections.pop("training", {}),
    }  # fmt: skip
    return {
        "vocabulary": {"min_frequency": 1}, "inputs": {"word_width": 8, "dropout": 0.0},
        "encoder": {"kind": encoder, **width}, "pooling": {"dropout": 0.0, **sections.pop("pooling", {})},
        "training": training, **sections,
    }  # fmt: skip


def classifier(encoder: str = "none", **sections: Any) -> ClassifyConfig:
    return build(ClassifyConfig, settings(encoder, **sections))


def trained(folder: Path, config: Any, data: Texts = DATA) -> Any:
    task = CLASSIFY if isinstance(config, ClassifyConfig) else REGRESS
    *_, last = train_model(task, config, data, data, folder)
    assert isinstance(last, Finished)
    return task.load(folder), last.scores


@pytest.mark.parametrize("pooling", ["attention", *POOLS])
def test_every_pooling_learns(tmp_path: Path, pooling: str) -> None:
    encoder = "gru" if pooling in ("first", "last") else "none"
    config = classifier(encoder, pooling={"kind": pooling}, training={"epochs": 20})
    model, scores = trained(tmp_path / "run", config)
    assert scores["accuracy"] == scores["macro_f1"] == 1.0
    texts = [text for text, _ in PATTERNS]
    found = list(model.predict([*texts, "", texts[0]]))
    assert [each.labels for each in found] == [*((label,) for _, label in PATTERNS), (), ("yes",)]
    assert all(0.5 < p <= 1 for each in found for p in each.probabilities)


def test_several_labels(tmp_path: Path) -> None:
    config = classifier(data={"separator": ","}, training={"epochs": 30})
    model, scores = trained(tmp_path / "run", config, MANY)
    assert scores["accuracy"] == scores["micro_f1"] == 1.0
    assert [set(each.labels) for each in model.predict(["the good film", "good"])] == [
        {"yes", "film"},
        set(),
    ]


def test_numbers_in_their_own_units(tmp_path: Path) -> None:
    config = build(RegressConfig, settings(training={"epochs": 60, "learning_rate": 0.03}))
    model, scores = trained(tmp_path / "run", config, NUMBERS)
    assert scores["r2"] > 0.9
    assert scores["rmse"] < 15
    target = model.answer.standardizer.mean, model.answer.standardizer.scale
    np.testing.assert_allclose(target, (55.0, np.std(list(PRICES.values()))))
    found = dict(zip(PRICES, (each.value for each in model.predict(PRICES)), strict=True))
    assert found["cheap"] < 40 < 70 < found["dear thing"]
    assert [each.value for each in model.predict([""])] == [None]
    equal = Number.learn(config, [("3.0",), ("3.0",)])
    assert (equal.standardizer.mean, equal.standardizer.scale) == (3.0, 1.0)


@pytest.mark.parametrize("kind", ENCODERS)
def test_every_encoder_trains_and_is_explained(tmp_path: Path, kind: str) -> None:
    model, _ = trained(tmp_path / "run", classifier(kind, training={"epochs": 1}))
    records = record_prediction(model, "the good film", Labels(("yes",)))
    kinds = [each.kind for each in records]
    assert "pooling" in kinds
    assert (
        model.model.encoder.has_attention
        == ("encoder" in kinds)
        == (SALIENCY not in {r.measure for r in records})
    )
    [pooling] = [each for each in records if each.kind == "pooling"]
    assert (pooling.query_tokens, pooling.key_tokens) == (("yes",), ("the", "good", "film"))
    assert pooling.weights.shape == (4, 1, 3)
    np.testing.assert_allclose(records[-1].weights.sum(-1), 1, atol=1e-5)
    assert not any(module.training for module in model.model.modules())
    with pytest.raises(DataError, match="no tokens to explain"):
        record_prediction(model, " ", Labels(("yes",)))


@pytest.mark.parametrize("name", ["down_weight", "penalty"])
def test_what_weighs_attention_down_wants_attention(name: str) -> None:
    with pytest.raises(OptionError, match=f"frequency.{name} needs attention pooling"):
        build(ClassifyConfig, {"pooling": {"kind": "mean"}, "frequency": {name: 0.1}})


def test_a_resumed_run_ends_with_the_same_bytes(tmp_path: Path) -> None:
    frequency = {"subsample": 0.05, "down_weight": 0.01, "penalty": 0.1}
    config = classifier("gru", frequency=frequency, training={"checkpoint_steps": 2})
    list(train_model(CLASSIFY, config, DATA, VALID, tmp_path / "whole"))
    events = train_model(CLASSIFY, config, DATA, VALID, tmp_path / "part")
    for event in events:
        if isinstance(event, Progress) and event.step == 5:
            break
    events.close()
    torch.rand(3)
    list(train_model(CLASSIFY, config, DATA, VALID, tmp_path / "part", resume=True))
    for name in ("model.safetensors", "vocabulary.json", "config.toml"):
        assert (tmp_path / "part" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.parametrize("score", SCORE_MODULES)
def test_attention_pooling_is_the_written_formula_and_ignores_padding(score: str) -> None:
    torch.manual_seed(0)
    pooling = AttentionPooling(6, 2, score=score)
    values, lengths = torch.randn(3, 5, 6), torch.tensor([5, 1, 3])
    bias = torch.randn(3, 5)
    output, weights = pooling(values, lengths, bias, return_weights=True)
    assert weights.shape == (3, 2, 1, 5)
    spoilt = values.clone()
    spoilt[1, 1:] = torch.nan
    spoilt[2, 3:] = torch.inf
    torch.testing.assert_close(pooling(spoilt, lengths, bias).output, output)
    torch.testing.assert_close(output[1], values[1, 0])
    for n, length in enumerate(lengths.tolist()):
        one = slice(n, n + 1)
        alone = pooling(values[one, :length], lengths[one], bias[one, :length]).output
        torch.testing.assert_close(alone[0], output[n])
    parts = values.unflatten(-1, (2, 3)).transpose(1, 2)
    torch.testing.assert_close((weights @ parts).squeeze(2).flatten(1), output)


def test_heads_divide_the_width() -> None:
    with pytest.raises(ShapeError, match="num_heads=4 does not divide embed_dim=6"):
        AttentionPooling(6, 4)
    config = classifier(pooling={"heads": 3})
    with pytest.raises(OptionError, match="pooling.heads = 3 does not divide the width of the"):
        CLASSIFY.learn(config, DATA)


def batch_of(words: list[list[int]], lengths: list[int]) -> TokenBatch:
    ids = torch.tensor(words)
    return TokenBatch(ids, torch.tensor(lengths), ids * 0, torch.tensor([[2]]), torch.tensor([1]))


def test_frequent_words_weigh_less(tmp_path: Path) -> None:
    plain, _ = trained(tmp_path / "plain", classifier(training={"epochs": 1}))
    frequency = plain.config.frequency.model_copy(update={"down_weight": 1e-3})
    weighed = CLASSIFY.learn(plain.config.model_copy(update={"frequency": frequency}), DATA)
    weighed.model.load_state_dict(plain.model.state_dict())
    weighed.model.eval()
    shares = weighed.input.word_frequencies
    torch.testing.assert_close(plain.model.frequency.shares, shares)
    torch.testing.assert_close(shares.sum(), torch.tensor(1.0))
    before, after = (
        record_prediction(each, "film one", Labels(("x",)))[0].weights for each in (plain, weighed)
    )
    # log(a / (a + p)) is added to a softmax: weights are multiplied by a / (a + p)
    words = plain.input.tokens.words
    factors = [1e-3 / (1e-3 + float(shares[words.index[word]])) for word in ("film", "one")]
    wanted = before * factors
    np.testing.assert_allclose(after, wanted / wanted.sum(-1, keepdims=True), rtol=1e-4)
    assert (after[..., 0] < before[..., 0]).all()


def test_sub_sampling_leaves_out_frequent_words_while_training_alone() -> None:
    torch.manual_seed(0)
    batch = batch_of([[2, 3, 4, 3], [3, 3, 0, 0]] * 500, [4, 2] * 500)
    fewer = subsample(batch, torch.tensor([1, 1, 1.0, 0.25, 1.0]))
    kept = [row[:length].tolist() for row, length in zip(fewer.words, fewer.lengths, strict=True)]
    assert all([word for word in row if word != 3] == [2, 4] for row in kept[::2])
    assert all(set(row) == {3} for row in kept[1::2])
    assert 0.2 < sum(row.count(3) for row in kept[::2]) / 1000 < 0.3
    assert not fewer.words[torch.arange(fewer.words.shape[1]) >= fewer.lengths[:, None]].any()


def test_the_penalty_moves_attention_away_from_frequent_words(tmp_path: Path) -> None:
    spent = []
    for penalty in (0.0, 5.0):
        config = classifier(
            frequency={"penalty": penalty, "smoothing": 0.1}, training={"epochs": 15}
        )
        model, _ = trained(tmp_path / str(penalty), config)
        weights = record_prediction(model, "the film good", Labels(("x",)))[0].weights.mean(0)[0]
        spent.append(weights[:2].sum())
    assert spent[1] < spent[0]
    model.model.train()
    batch = model.input.collate(model.input.encode(["the film"]))
    assert float(model.model.scores_and_penalty(batch)[1].detach()) > 0
    assert float(model.model.eval().scores_and_penalty(batch)[1]) == 0


VECTORS = "good 1 0 0\nbad 0 1 0\nsplendid 1 0 0\nThe 0 0 1\n"


@pytest.mark.parametrize("frozen", [True, False])
def test_pre_trained_vectors(tmp_path: Path, frozen: bool) -> None:
    path = tmp_path / "v.txt"
    path.write_text(VECTORS, encoding="utf-8")
    inputs = {"word_width": 0, "vectors": str(path), "vectors_frozen": frozen, "dropout": 0.0}
    config = classifier(inputs=inputs, training={"epochs": 15})
    model, scores = trained(tmp_path / "run", config)
    path.unlink()  # a run can be moved
    model = CLASSIFY.load(tmp_path / "run")
    assert scores["accuracy"] == 1.0
    assert model.sizes() == {"tokens": 8, "words with a vector": 3, "words without": 4, "labels": 2}
    found = model.model.inputs.vectors.weight[model.input.tokens.words.index["good"]]
    assert frozen == torch.equal(found, torch.tensor([1.0, 0, 0]))
    # a word that training never saw, known by its vector alone
    assert next(model.predict(["splendid"])).labels == ("yes",)


def test_words_with_a_vector_alone_share_the_unknown_word(tmp_path: Path) -> None:
    path = tmp_path / "v.txt"
    path.write_text(VECTORS, encoding="utf-8")
    config = classifier(inputs={"word_width": 4, "vectors": str(path), "vectors_unseen": 0})
    model, _ = trained(tmp_path / "run", config)
    assert "splendid" not in model.input.tokens.words
    assert model.model.inputs.words.weight.shape[0] == model.model.inputs.vectors.weight.shape[0]
    assert model.model.inputs.width == 7


CHECKS = [
    (DATA, Texts([Text("x", ("yse",), "", Path("v.tsv"), 4)]), r"v\.tsv, line 4: the label 'yse' is in no .* 'yes'"),
    (Texts([*DATA.rows, Text("x", ("odd",), "", Path("t.tsv"), 9)]), VALID,
     r"t\.tsv, line 9: the label 'odd' has 1 training text; expected at least data\.min_examples = 2"),
]  # fmt: skip


@pytest.mark.parametrize(("train", "valid", "message"), CHECKS, ids=["unseen", "alone"])
def test_labels_that_cannot_serve(train: Texts, valid: Texts, message: str) -> None:
    with pytest.raises(DataError, match=message):
        train_model(CLASSIFY, classifier(), train, valid, "unused")


def test_one_label_is_none() -> None:
    same = Texts([Text("x", ("yes",))] * 3)
    with pytest.raises(OptionError, match="every training text has the label 'yes'"):
        train_model(CLASSIFY, classifier(), same, same, "unused")


def test_targets_that_are_no_numbers() -> None:
    bad = Texts([replace(NUMBERS.rows[0], answers=("nan",), path=Path("t.csv"), line=3)])
    config = build(RegressConfig, settings())
    with pytest.raises(DataError, match=r"t\.csv, line 3: the target 'nan' is not finite"):
        train_model(REGRESS, config, bad, NUMBERS, "unused")
    with pytest.raises(DataError, match=r"t\.csv, line 3"):
        train_model(REGRESS, config, NUMBERS, bad, "unused")


def test_a_text_without_tokens_and_one_that_is_long(tmp_path: Path) -> None:
    config = classifier(data={"max_length": 3})
    blank = Texts([*DATA.rows, Text("", ("yes",), "", Path("t.tsv"), 2)])
    events = train_model(CLASSIFY, config, blank, VALID, tmp_path / "none")
    with pytest.raises(DataError, match=r"t\.tsv, line 2: the text has no tokens"):
        next(events)
    model, _ = trained(tmp_path / "run", config)
    assert model.input.positions("a b c d e") == ["a", "b", "e"]


def test_figures_are_those_of_scikit_learn() -> None:
    draw = np.random.default_rng(0)
    wanted, got = (draw.choice(["a", "b", "c"], 50).tolist() for _ in range(2))
    found = score_labels([(x,) for x in got], [(x,) for x in wanted])
    assert found.macro_f1 == pytest.approx(f1_score(wanted, got, average="macro"))
    assert found.micro_f1 == pytest.approx(found.accuracy)
    assert found.confusion == tuple(map(tuple, confusion_matrix(wanted, got).tolist()))
    grid = draw.integers(0, 2, (2, 40, 3))
    sets = [[tuple(np.array(["a", "b", "c"])[row == 1]) for row in half] for half in grid]
    several = score_labels(sets[0], sets[1], multi_label=True)
    assert several.micro_f1 == pytest.approx(f1_score(grid[1], grid[0], average="micro"))
    assert several.accuracy == pytest.approx((grid[0] == grid[1]).all(1).mean())
    assert several.confusion is None
    x, y = draw.normal(size=(2, 30))
    numbers = score_numbers(x.tolist(), y.tolist())
    assert (numbers.r2, numbers.mae) == (
        pytest.approx(r2_score(y, x)),
        pytest.approx(mean_absolute_error(y, x)),
    )
    for score in (score_labels, score_numbers):
        with pytest.raises(ShapeError, match="got 1 predictions for 0"):
            score([1], [])  # type: ignore[list-item, operator]


def test_nothing_is_done_about_frequent_words_unless_asked() -> None:
    assert classifier().frequency.model_dump() == {
        "down_weight": 0.0, "subsample": 0.0, "penalty": 0.0, "smoothing": 1e-3
    }  # fmt: skip
