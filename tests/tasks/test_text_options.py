"""Every field of a classifier's and a regressor's configuration does something, and so does each of its choices.

The fields of the encoders are tried where the encoders are tested, and those that every task's training
has where translation is.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from heedful.answers.base import LOWER_IS_BETTER
from heedful.config import build
from heedful.data.texts import Text, Texts
from heedful.errors import DataError
from heedful.models.config import choices_of
from heedful.tasks.classify import TASK as CLASSIFY
from heedful.tasks.classify import ClassifyConfig
from heedful.tasks.regress import TASK as REGRESS
from heedful.tasks.regress import RegressConfig
from heedful.training import loop
from heedful.training.events import Finished, Started, Validated
from heedful.training.validation import Validation
from tests.tasks.options import OF_TEXTS, assert_each_does_something, small, values_of

TEXTS = [
    ("The good film, well made!", "yes"),
    ("a bad, bad film", "no"),
    ("GOOD", "yes"),
    ("the worst of films i saw", "no"),
]
# More of one label than of the other, for the settings that weigh labels.
DATA = Texts([Text(*([text, (label,)])) for text, label in [*TEXTS * 3, *TEXTS[::2] * 3]])
NUMBERS = Texts([Text(text, (str(len(text)),)) for text, _ in TEXTS * 3])
BASE = small(hidden=8, batch_tokens=16)
VALUES: dict[str, list[Any]] = {
    **OF_TEXTS,
    "data.valid_share": [0.2, 0.5],
    "data.valid_seed": [0, 1],
    "data.max_length": [3, 256],
    "data.separator": ["", ","],
    "data.min_examples": [6, 7],
    "vocabulary.size": [6, 12],
    "vocabulary.longest_word": [2, 32],
    "pooling.heads": [1, 4],
    "pooling.dropout": [0.0, 0.5],
    "pooling.hidden": [0, 4],
    "frequency.down_weight": [0.0, 1e-3],
    "frequency.subsample": [0.0, 1e-2],
    "frequency.penalty": [0.0, 1.0],
    "frequency.smoothing": [1e-3, 1e-1],
    "ensemble.members": [1, 2],
    "training.label_smoothing": [0.0, 0.1],
    "training.class_weights_beta": [0.0, 0.5, 0.999],
    "prediction.threshold": [1e-6, 0.999999],
}
# What a setting acts on, where nothing would be there without.
CHARACTERS = {"inputs": {"characters": "convolution"}}
NEEDS: dict[str, dict[str, dict[str, Any]]] = {
    "vocabulary.kind": {
        "vocabulary": {"size": 30}
    },  # with room for them all, words are their own sub-words
    "vocabulary.longest_word": CHARACTERS,
    "inputs.word_width": CHARACTERS,
    "inputs.character_embedding": CHARACTERS,
    "inputs.character_width": CHARACTERS,
    "inputs.vectors_frozen": {"inputs": {"vectors": "vectors.txt"}},
    "inputs.vectors_unseen": {"inputs": {"vectors": "vectors.txt"}},
    "frequency.smoothing": {"frequency": {"penalty": 1.0}},
    "prediction.threshold": {"data": {"separator": ","}},
    "training.class_weights_beta": {"training": {"class_weights": "effective"}},
}
VECTORS = "film 0.5 -1\ngood 2 0.1\ntrout 2 0.2\nriver -1 1\n"
READ_BY_THE_COMMAND = {
    "data.train",
    "data.valid",
    "data.text",
    "data.label",
    "data.label_columns",
    "prediction.column",
    "data.encoding",
    "data.max_line",
    "data.skip_bad",
}
OWN_TRAINING = {
    "training.metric",
    "training.label_smoothing",
    "training.class_weights",
    "training.class_weights_beta",
}
FIELDS = {
    f"{section}.{name}": field
    for section in ClassifyConfig.model_fields.keys() - {"encoder"}
    for name, field in type(getattr(ClassifyConfig(), section)).model_fields.items()
    if f"{section}.{name}" not in READ_BY_THE_COMMAND
    and (section != "training" or f"{section}.{name}" in OWN_TRAINING)
}


def settings(name: str, value: Any) -> dict[str, Any]:
    """Return the base with what the setting needs and the setting."""
    found = {section: dict(keys) for section, keys in BASE.items()}
    for section, keys in NEEDS.get(name, {}).items():
        found[section] = {**found.get(section, {}), **keys}
    section, _, key = name.partition(".")
    found[section] = {**found.get(section, {}), key: value}
    return found


def cut(name: str, value: Any) -> object:
    """What a table without validation tables is cut into."""
    rows = [f"{text}\t{label}\n" for text, label in TEXTS * 5]
    Path("train.tsv").write_text("text\tlabel\n" + "".join(rows), encoding="utf-8")
    values = settings(name, value)
    values["data"]["train"] = ["train.tsv"]
    train, valid = CLASSIFY.reader.read_training(build(ClassifyConfig, values).data)
    return [each.line for each in train.rows], [each.line for each in valid.rows]


def observed(name: str, value: Any, folder: Path, patch: pytest.MonkeyPatch) -> object:
    """The events, weights, answers and batches of a training; or what is answered where it is refused."""
    if name.startswith("data.valid_"):
        return cut(name, value)
    config = build(ClassifyConfig, settings(name, value))
    seen: list[object] = []
    try:
        for event in loop.train_model(CLASSIFY, config, DATA, DATA, folder):
            match event:
                case Started():
                    seen += [event.train_examples, event.sizes]
                case Finished():
                    weights = (folder / "model.safetensors").read_bytes()
                    seen.append(hashlib.sha256(weights).hexdigest())
    except DataError as error:
        return str(error)
    trained, batches, read = CLASSIFY.load(folder), list[int](), list[object]()
    real = trained.input.collate
    kind = type(trained.input)
    patch.setattr(kind, "collate", lambda _, ids: batches.append(len(ids)) or real(ids))
    found = trained.predict(read.append(text) or text for text, _ in TEXTS)
    first = next(found)
    return seen, len(read), first, list(found), batches


@pytest.mark.parametrize("name", sorted(FIELDS.keys() - {"training.metric"}))
def test_every_value_does_something(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("vectors.txt").write_text(VECTORS, encoding="utf-8")
    assert_each_does_something(
        name, values_of(name, FIELDS, VALUES), observed, tmp_path, monkeypatch
    )


@pytest.mark.parametrize(
    ("task", "kind", "data"),
    [(CLASSIFY, ClassifyConfig, DATA), (REGRESS, RegressConfig, NUMBERS)],
    ids=["classify", "regress"],
)
def test_every_figure_chooses_by_itself(
    task: Any, kind: Any, data: Texts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metrics = choices_of(type(kind().training).model_fields["metric"])
    assert set(metrics) == set(task.answer.metrics)
    best = {}
    for metric in metrics:
        # each figure is fair in the first epoch, and best in one of its own
        scripted = iter(
            {
                name: (-1 if name in LOWER_IS_BETTER else 1) * (2 if n == epoch else not epoch)
                for n, name in enumerate(metrics)
            }
            for epoch in range(4)
        )
        with monkeypatch.context() as patch:
            patch.setattr(
                loop, "validate", lambda *_, scripted=scripted: Validation(next(scripted), [])
            )
            training = {**BASE["training"], "epochs": 4, "metric": metric}
            config = build(kind, {**BASE, "training": training})
            events = loop.train_model(task, config, data, data, tmp_path / metric)
            best[metric] = [event.best for event in events if isinstance(event, Validated)]
    assert len({tuple(each) for each in best.values()}) == len(best), best


def test_regressing_has_the_same_sections_but_for_its_own() -> None:
    own = {"data", "training", "prediction"}
    for name, field in RegressConfig.model_fields.items():
        if name not in own:
            assert field.annotation is ClassifyConfig.model_fields[name].annotation
    assert type(RegressConfig().data).model_fields.keys() - {"target"} < (
        type(ClassifyConfig().data).model_fields.keys()
    )


def test_there_are_values_for_every_field_and_for_no_other() -> None:
    assert VALUES.keys() <= FIELDS.keys()
    assert NEEDS.keys() <= FIELDS.keys()
