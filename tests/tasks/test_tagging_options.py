"""Every field of a tagger's configuration does something, and so does each of its choices.

The fields of the encoders are tried where the encoders are tested, and those that every task's training
has where translation is.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from heedful.config import build
from heedful.data.labelled import Labelled, Sentence
from heedful.tasks.tag import TASK as TAG
from heedful.tasks.tag import TaggingConfig
from heedful.training.events import Finished, Started, Validated
from heedful.training.loop import train_model
from tests.tasks.options import OF_TEXTS, assert_each_does_something, small, values_of

SENTENCES = [
    (("I", "saw", "a", "saw"), ("PRON", "VERB", "DET", "NOUN")),
    (("They", "can", "fish"), ("PRON", "AUX", "VERB")),
    (("the", "fisherman", "saw", "i"), ("DET", "NOUN", "VERB", "PRON")),
]
DATA = Labelled([Sentence(*each) for each in SENTENCES * 3])
BASE = small(hidden=6, batch_tokens=12)
VALUES: dict[str, list[Any]] = {
    **OF_TEXTS,
    "data.max_length": [3, 250],
    "vocabulary.size": [2, 3],
    "vocabulary.longest_word": [4, 32],
    "labels.dropout": [0.0, 0.5],
}
# A setting of pre-trained vectors says something only where there are some.
NEEDS: dict[str, dict[str, Any]] = {
    "inputs.vectors_frozen": {"vectors": "vectors.txt"},
    "inputs.vectors_unseen": {"vectors": "vectors.txt"},
}
# Labels that mark spans, which this setting is about, and a chain that it acts on.
SPANS = Labelled([Sentence(("I", "saw", "it"), ("B-X", "I-X", "O"))] * 6)
NEEDS["labels.spans"] = {"chain": True}
VECTORS = "saw 0.5 -1\nfish 2 0.1\ntrout 2 0.2\nriver -1 1\n"
READ_BY_THE_COMMAND = {
    "data.train",
    "data.valid",
    "data.column",
    "data.format",
    "data.tokens",
    "data.encoding",
    "data.max_line",
}
SECTIONS = ("data", "vocabulary", "inputs", "labels", "prediction")
FIELDS = {
    f"{section}.{name}": field
    for section in SECTIONS
    for name, field in type(getattr(TaggingConfig(), section)).model_fields.items()
    if f"{section}.{name}" not in READ_BY_THE_COMMAND
} | {"training.metric": TaggingConfig().training.__class__.model_fields["metric"]}


def observed(name: str, value: Any, folder: Path, patch: pytest.MonkeyPatch) -> object:
    section, _, key = name.partition(".")
    own = {**BASE.get(section, {}), **NEEDS.get(name, {}), key: value}
    config = build(TaggingConfig, {**BASE, section: own})
    if name == "training.metric":
        patch.setattr(
            type(TAG),
            "validate",
            lambda *_, **options: ({"accuracy": next(one), "macro_f1": next(other)}, []),
        )
        config = build(
            TaggingConfig, {**BASE, "training": {**BASE["training"], "epochs": 3, key: value}}
        )
        one, other = iter([0.1, 0.9, 0.2, 0.0]), iter([0.9, 0.1, 0.2, 0.0])
    seen: list[object] = []
    data = SPANS if name == "labels.spans" else DATA
    for event in train_model(TAG, config, data, data, folder):
        match event:
            case Started():
                seen += [event.train_examples, event.sizes]
            case Validated():
                seen.append(event.best)
            case Finished():
                seen.append(hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest())
    tagger, batches, read = TAG.load(folder), list[int](), list[object]()
    real = tagger.input.collate
    kind = type(tagger.input)
    patch.setattr(kind, "collate", lambda _, group: batches.append(len(group)) or real(group))
    found = tagger.predict(read.append(each[0]) or each[0] for each in SENTENCES)
    first = next(found).labels
    return seen, len(read), first, [each.labels for each in found], batches


@pytest.mark.parametrize("name", sorted(FIELDS))
def test_every_value_does_something(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("vectors.txt").write_text(VECTORS)
    assert_each_does_something(
        name, values_of(name, FIELDS, VALUES), observed, tmp_path, monkeypatch
    )


def test_there_are_values_for_every_field_and_for_no_other() -> None:
    assert VALUES.keys() <= FIELDS.keys()
