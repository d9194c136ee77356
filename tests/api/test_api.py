"""`heedful.load` and `heedful.train`: every task from Python, with paths, rows and data frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import heedful
from heedful.api import TrainedModel
from heedful.data.files import Pairs
from heedful.errors import DataError, OptionError, RunError
from heedful.training.events import Finished, Started

TRAINING = {"epochs": 1, "batch_tokens": 40, "threads": 1, "keep_freed_memory": False}
SMALL = {
    "inputs": {"word_width": 4, "characters": "none"},
    "encoder": {"kind": "none", "hidden": 8},
}
TEXTS = [{"text": "good film", "label": "yes"}, {"text": "bad film", "label": "no"}] * 10
NUMBERS = [{"text": "good", "target": 5}, {"text": "bad", "target": 1.5}] * 10
SENTENCES = [
    {"tokens": ["a", "saw"], "tags": ["DET", "NOUN"]},
    {"tokens": ["saw"], "tags": ["VERB"]},
] * 4
PAIRS = [{"source": "ein Hund", "target": "a dog"}, {"source": "eine Katze", "target": "a cat"}] * 4

WAVES = [{"values": [1, 2, 3], "label": "up"}, {"values": [3, 2], "label": "down"}] * 10


class Frame:
    """What of a pandas DataFrame is used."""

    def __init__(self, rows: list[dict[str, Any]]):
        self.rows, self.columns = rows, list(rows[0])

    def to_dict(self, orient: str) -> list[dict[str, Any]]:
        assert orient == "records"
        return self.rows


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, TrainedModel]:
    folder = tmp_path_factory.mktemp("api")
    common: dict[str, Any] = {"training": TRAINING, **SMALL}
    translator = {
        "model": {"kind": "gru", "embedding": 8, "hidden": 8}, "training": TRAINING,
        "vocabulary": {"kind": "word", "min_frequency": 1},
    }  # fmt: skip
    return {
        "tag": heedful.train("tag", train=SENTENCES, valid=SENTENCES, out=folder / "tag", **common),
        "classify": heedful.train("classify", train=TEXTS, out=folder / "classify", **common),
        "regress": heedful.train("regress", train=Frame(NUMBERS), out=folder / "regress", **common),
        "translate": heedful.train(
            "translate", train=PAIRS, valid=PAIRS, out=folder / "translate", **translator
        ),
        "classify-series": heedful.train(
            "classify-series",
            train=WAVES,
            out=folder / "series",
            encoder={"kind": "none", "hidden": 8},
            training=TRAINING,
        ),
    }


def test_labels_and_all_probabilities(models: dict[str, TrainedModel]) -> None:
    good, nothing = models["classify"].predict(["good film", ""])
    assert models["classify"].labels == ("no", "yes")
    assert good.all_probabilities.keys() == {"no", "yes"}
    assert sum(good.all_probabilities.values()) == pytest.approx(1)
    assert good.label == max(good.all_probabilities, key=good.all_probabilities.__getitem__)
    assert good.probabilities == (good.all_probabilities[good.label],)
    assert (nothing.label, nothing.labels) == (None, ())


def test_labels_of_tokens(models: dict[str, TrainedModel]) -> None:
    as_text, as_tokens = models["tag"].predict(["a saw", ["a", "saw"]])
    assert as_text.labels == as_tokens.labels
    assert [sum(each.values()) for each in as_text.probabilities] == pytest.approx([1, 1])
    assert set(models["tag"].labels) == {"DET", "NOUN", "VERB"}


def test_numbers(models: dict[str, TrainedModel]) -> None:
    found, nothing = models["regress"].predict(["good", ""])
    assert isinstance(found.value, float)
    assert nothing.value is None
    assert models["regress"].labels == ()


def test_texts_with_candidates_and_alignments(models: dict[str, TrainedModel]) -> None:
    [found] = models["translate"].predict(["ein Hund"], beam=3, nbest=2)
    assert len(found.candidates) == 2
    assert (found.text, found.score) == (found[0].text, found[0].score)
    assert found.alignment is None
    model = models["translate"]
    [aligned] = model.predict(["ein Hund"], alignments=True)
    assert (aligned.alignment is not None) == bool(aligned.text.strip())
    explained = model.explain("ein Hund", reference="a dog")
    assert explained.records
    assert explained.title == "ein Hund → a dog"


@pytest.mark.parametrize(
    ("task", "one"), [("tag", "a saw"), ("classify", "good film"), ("regress", "bad")]
)
def test_an_explanation_draws_itself(models: dict[str, TrainedModel], task: str, one: str) -> None:
    found = models[task].explain(one)
    assert found.records
    assert found.html().startswith("<!DOCTYPE html>")
    assert found.png().startswith(b"\x89PNG")
    assert found._repr_html_().startswith("<iframe srcdoc=")
    assert "<!DOCTYPE" not in found._repr_html_()


def test_evaluate_takes_what_training_takes(
    models: dict[str, TrainedModel], tmp_path: Path
) -> None:
    (tmp_path / "test.tsv").write_text("text\tlabel\ngood film\tyes\nbad film\tno\n", "utf-8")
    (tmp_path / "one.tsv").write_text("text\tlabel\ngood film\tyes\n", "utf-8")
    model = models["classify"]
    found = [
        model.evaluate(TEXTS[:2]),
        model.evaluate(Frame(TEXTS[:2])),
        model.evaluate(tmp_path / "test.tsv"),
    ]
    assert found[0] == found[1] == found[2]
    two = model.evaluate([tmp_path / "test.tsv", tmp_path / "one.tsv"])
    assert two.texts == 3
    pairs = Pairs(["ein Hund"], ["a dog"])
    assert models["translate"].evaluate(pairs, beam=1).exact_match in (0.0, 1.0)


def test_a_run_loads_with_the_same_predictions(models: dict[str, TrainedModel]) -> None:
    for task, model in models.items():
        if task == "classify-series":
            continue
        again = heedful.load(model.run)
        assert (again.task, again.config) == (task, model.config)
        one = ["good film a saw ein Hund"]
        assert repr(again).startswith(f"<heedful model of the task '{task}'")
        first, second = model.predict(one), again.predict(one)
        assert [vars(each).keys() for each in first] == [vars(each).keys() for each in second]
        shown = model.predictor.answer.to_text
        assert list(map(shown, first)) == list(map(shown, second))
        assert (model.run / "report.html").exists()


def test_options_events_and_resuming(tmp_path: Path) -> None:
    rows = [{"review": each["text"], "mood": each["label"]} for each in TEXTS]
    events: list[Any] = []
    model = heedful.train(
        "classify", train=rows, out=tmp_path / "run", text="review", label="mood", encoder="window",
        training=TRAINING, progress=events.append,
    )  # fmt: skip
    assert model.config.encoder.kind == "window"
    assert (type(events[0]), type(events[-1])) == (Started, Finished)
    with pytest.raises(RunError, match="has finished; there is nothing to resume"):
        heedful.train(
            "classify", train=rows, out=tmp_path / "run", text="review", label="mood", encoder="window",
            training=TRAINING, resume=True,
        )  # fmt: skip


def test_overwriting_replaces_a_run_only_once_a_new_one_has_begun(tmp_path: Path) -> None:
    out = tmp_path / "run"
    small: dict[str, Any] = {"training": TRAINING, **SMALL}
    heedful.train("classify", train=TEXTS, out=out, **small)
    before = (out / "model.safetensors").read_bytes()
    with pytest.raises(RunError, match=r"already holds a run.*overwrite=True"):
        heedful.train("classify", train=TEXTS, out=out, **small)
    with pytest.raises(OptionError, match="every training text has the label"):
        heedful.train("classify", train=TEXTS[::2], out=out, overwrite=True, **small)
    assert (out / "model.safetensors").read_bytes() == before
    other = heedful.train("regress", train=NUMBERS, out=out, overwrite=True, **small)
    assert (other.task, heedful.load(out).task) == ("regress", "regress")
    assert [each.name for each in tmp_path.iterdir()] == ["run"]


def test_paths_are_kept_in_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    lines = ["text\tlabel", *(f"{each['text']}\t{each['label']}" for each in TEXTS)]
    Path("train.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    model = heedful.train("classify", train="train.tsv", out="run", training=TRAINING, **SMALL)
    assert model.config.data.train == ("train.tsv",)
    assert model.config.data.valid == ()


BAD: list[tuple[dict[str, Any], str]] = [
    ({"task": "clasify"}, "unknown task 'clasify'; did you mean 'classify'"),
    ({"encodr": "lstm"}, "unknown setting 'encodr'; did you mean 'encoder'"),
    ({"encoder": "lsmt"}, "unknown --encoder 'lsmt'; did you mean 'lstm'"),
    ({"training": {"epoch": 1}}, "did you mean 'training.epochs'"),
    ({"train": [{"txt": "a", "label": "b"}]}, "there is no column 'text'; did you mean 'txt'"),
    ({"train": [{"text": " ", "label": "b"}]}, "example 1 of train: column 'text' is empty; fill it in"),
    ({"train": []}, "train holds no examples"),
    ({"train": [1, 2]}, "example 1 is a int; expected a mapping of columns"),
    ({"train": "none.tsv"}, "none.tsv: no such file"),
    ({"task": "tag", "train": SENTENCES}, "valid is missing .in Python valid=.: give sentences"),
    ({"task": "tag", "train": [{"tokens": ["a"]}], "valid": SENTENCES}, "example 1 of train has no 'tags'"),
    ({"task": "tag", "train": [{"tokens": ["a"], "tags": []}], "valid": SENTENCES}, "1 'tokens' and 0 'tags'"),
    ({"task": "translate", "train": [{"source": "a", "target": " "}], "valid": PAIRS}, "'target' is ' '; expected"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "message"), BAD, ids=[message for _, message in BAD])
def test_what_cannot_be_trained(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    given = {"task": "classify", "train": TEXTS, "out": tmp_path / "run", **change}
    with pytest.raises((OptionError, DataError), match=message):
        heedful.train(given.pop("task"), **given)
    assert not (tmp_path / "run").exists()


def test_rows_without_an_answer_are_predicted_and_explained(
    models: dict[str, TrainedModel],
) -> None:
    for task, given, row in (
        ("classify", "good film", {"text": "good film", "other": 1}),
        ("regress", "good", {"text": "good"}),
        ("tag", ["a", "saw"], {"tokens": ("a", "saw")}),
        ("translate", "ein Hund", {"source": "ein Hund"}),
        ("classify-series", [1.0, 2.0], {"values": [1, 2]}),
    ):
        model = models[task]
        to_json = model.predictor.answer.to_json
        expected, found = map(to_json, model.predict([given, row]))
        assert found == expected
        assert to_json(model.predict(Frame([row]))[0]) == expected
        if task != "translate":
            assert model.explain(row).title == model.explain(given).title


def test_an_empty_text_in_a_row_has_no_label(models: dict[str, TrainedModel]) -> None:
    assert models["classify"].predict([{"text": ""}])[0].label is None


WRONG_INPUTS: list[tuple[str, Any, str]] = [
    ("classify", None, r"input 2 is None \(NoneType\); expected a text, or a row: a mapping"),
    ("classify", ("a", "b"), r"input 2 is \('a', 'b'\) \(tuple\); expected a text"),
    ("classify", {"txt": "a"}, "input 2: there is no column 'text'; did you mean 'txt'"),
    ("classify", {"text": 3}, "input 2: column 'text' is 3; expected a string"),
    ("regress", 3.5, r"input 2 is 3.5 \(float\); expected a text"),
    ("translate", ["ein"], r"input 2 is \['ein'\] \(list\); expected a text"),
    ("translate", {"target": "a"}, "input 2: there is no column 'source'"),
    ("tag", 3, r"input 2 is 3 \(int\); expected a list of tokens, or a text"),
    ("tag", ["a", 1], r"input 2 is \['a', 1\] \(list\); expected a list of tokens"),
    ("tag", {"words": ["a"]}, "input 2 has no 'tokens'; its keys are words."),
    ("tag", {"tokens": "a saw"}, "input 2: 'tokens' is 'a saw'; expected a list of strings"),
    ("classify-series", None, r"input 2 is None \(NoneType\); expected an array or a list of numbers"),
    ("classify-series", ["a"], r"input 2 is \['a'\] \(list\); expected an array"),
    ("classify-series", {"x": [1]}, "input 2 has no 'values'; its keys are x."),
    ("classify-series", {"values": 1}, "input 2: 'values' is 1; expected a list of numbers"),
    ("classify-series", [], r"input 2: the series has shape \(0, 1\)"),
]  # fmt: skip


@pytest.mark.parametrize(("task", "given", "message"), WRONG_INPUTS)
def test_an_input_of_a_wrong_type_is_named(
    models: dict[str, TrainedModel], task: str, given: Any, message: str
) -> None:
    right = {"tag": ["a"], "classify-series": [1.0, 2.0]}.get(task, "good")
    with pytest.raises(DataError, match=message):
        models[task].predict([right, given])
    with pytest.raises(DataError, match=message.replace("input 2", "the input", 1)):
        models[task].explain(given)


@pytest.mark.parametrize("given", ["good film", {"text": "good film"}, None, 3])
def test_one_input_instead_of_a_list(models: dict[str, TrainedModel], given: Any) -> None:
    with pytest.raises(OptionError, match=r"expected a list, as in \[text\]"):
        models["classify"].predict(given)


def test_what_cannot_be_predicted(models: dict[str, TrainedModel], tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="expected a list"):
        models["classify"].predict("good film")
    with pytest.raises(OptionError, match="beam has no effect on the task 'classify'"):
        models["classify"].predict(["good"], beam=2)
    with pytest.raises(OptionError, match="alignments has no effect on the task 'classify'"):
        models["classify"].predict(["good"], alignments=True)
    with pytest.raises(OptionError, match="reference has no effect on the task 'tag'"):
        models["tag"].explain("a saw", reference="x")
    with pytest.raises(DataError, match="no tokens to explain"):
        models["classify"].explain("")
    (tmp_path / "heedful.json").write_text('{"task": "sing", "format": 2}', encoding="utf-8")
    with pytest.raises(
        RunError, match="is a run of the unknown task 'sing'; the tasks are translate"
    ):
        heedful.load(tmp_path)
