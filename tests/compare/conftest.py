"""A case of every task, tiny, and comparisons that run in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from heedful.compare.comparison import data_digest, run_all
from heedful.compare.outcome import Outcome
from heedful.compare.plan import CompareSection, Job, Plan, make_plan
from heedful.compare.run import run_job
from heedful.data.audio.fbank import Framing
from heedful.data.builtin import papers, tones, waves
from heedful.data.dataset import Dataset
from heedful.data.dialogue.replies import Replies
from heedful.data.dialogue.turns import USER, Exchange, Turn
from heedful.data.files import Pairs
from heedful.data.graphs.graph import Graph
from heedful.data.graphs.links import LinkTable
from heedful.data.graphs.whole import GraphTable, joined
from heedful.data.images.dataset import Image, Images
from heedful.data.images.objects import Box, Scene, Scenes
from heedful.data.images.picture import Picture
from heedful.data.labelled import Labelled, Sentence
from heedful.data.molecules.table import MoleculeTable
from heedful.data.series.windows import sliding_windows
from heedful.data.texts import Text, Texts

TRAINING = {
    "epochs": 2, "batch_tokens": 40, "warmup_steps": 1, "threads": 1, "keep_freed_memory": False,
}  # fmt: skip
INPUTS = {"word_width": 4, "characters": "none"}
TEXT = {"inputs": INPUTS, "training": TRAINING, "vocabulary": {"min_frequency": 1}}
TRANSLATE = {
    "vocabulary": {"kind": "word", "min_frequency": 1, "size": 60},
    "training": TRAINING,
    "decoding": {"max_length_ratio": 0.5},
}
ENCODERS: dict[str, dict[str, Any]] = {
    "none": {"encoder": {"kind": "none", "hidden": 4}},
    "window": {"encoder": {"kind": "window", "hidden": 8}},
}
TRANSLATORS: dict[str, dict[str, Any]] = {
    "plain": {"model": {"kind": "gru", "embedding": 4, "hidden": 4, "attention": "none"}},
    "additive": {"model": {"kind": "gru", "embedding": 4, "hidden": 4}},
}

_TEXTS = Texts(
    [
        Text(f"{w} saw", (str(n % 2),))
        for n, w in enumerate(["a", "b", "c", "d", "e", "f", "a", "b"])
    ]
)
_MOLECULES = MoleculeTable([Text("C" * n + "O" * (n % 2), (str(n % 2),)) for n in range(1, 9)])
_SENTENCES = Labelled(
    [Sentence((w, "saw", "a"), ("P", "N" if w == "the" else "V", "D")) for w in ["I", "the", "we", "the"] * 3]
)  # fmt: skip
_PAIRS = Pairs([f"a {w} saw it" for w in "bcdefg"], [f"ein {w} sah es da" for w in "bcdefg"])
_WAVES = waves.build(train_size=24, valid_size=1, test_size=1)
_TONES = tones.build(train_size=16, valid_size=1, test_size=1)
_FRAMING = Framing(rate=8000)
AUDIO = {
    "data": {"rate": 8000},
    "features": {"bands": 8},
    "inputs": {"width": 4},
    "training": {**TRAINING, "batch_tokens": 400},
}

_PAPERS = papers.build(size=60)
NODES = {"inputs": {"width": 8, "min_frequency": 1}}
_LINKS = LinkTable(
    _PAPERS.table.graph,
    _PAPERS.table.graph.edges.T[:24],
    np.random.default_rng(0).integers(60, size=(24, 4)),
)
_RINGS = {
    str(n): Graph("abc", {"age": list("123")}, np.array([[0, 1, 2], [1, 2, 0]])) for n in range(8)
}
_GRAPHS = GraphTable(
    list(joined(_RINGS, "rings").values()),
    [Text(str(n), (str(n % 2),)) for n in range(8)],
)
_IMAGES = Images(
    [
        Image(Picture.of(np.full((8, 8), 20 * n, np.uint8), str(n)), (str(n % 2),), None)
        for n in range(8)
    ]
)
_SCENES = Scenes(
    [
        Scene(
            Picture.of(np.full((8, 8), 20 * n, np.uint8), str(n)),
            (Box(("cat", "dog")[n % 2], 1.0, 2.0, 3.0 + n % 3, 4.0),),
        )
        for n in range(8)
    ]
)
_REPLIES = Replies(
    [
        Exchange((Turn(USER, f"are you {w} now"),), f"yes , {w} it is", dialogue=w)
        for w in ("free", "late", "ready", "busy", "alone", "early")
    ],
    candidates=3,
)


@dataclass(frozen=True)
class Case:
    """A comparison of one task."""

    data: Dataset
    """Training and validation data."""
    base: Mapping[str, Any]
    """Settings of all contenders: small, and quick."""
    contenders: Mapping[str, dict[str, Any]]
    """Two contenders."""


def case(
    data: Dataset,
    base: Mapping[str, Any] | None = None,
    contenders: Mapping[str, dict[str, Any]] = ENCODERS,
) -> Case:
    return Case(data, {"training": TRAINING, **(base or {})}, contenders)


CASES: Mapping[str, Case] = {
    "tag": case(_SENTENCES, TEXT),
    "classify": case(_TEXTS, TEXT),
    "regress": case(_TEXTS, TEXT),
    "translate": case(_PAIRS, TRANSLATE, TRANSLATORS),
    "classify-series": case(_WAVES.with_answers(_WAVES.train, "label")),
    "regress-series": case(_WAVES.with_answers(_WAVES.train, "number")),
    "tag-series": case(_WAVES.with_answers(_WAVES.train, "steps")),
    "classify-audio": case(_TONES.recordings("train", "label", _FRAMING), AUDIO),
    "regress-audio": case(_TONES.recordings("train", "number", _FRAMING), AUDIO),
    "tag-audio": case(_TONES.recordings("train", "frames", _FRAMING), AUDIO),
    "transcribe": case(
        _TONES.recordings("train", "text", _FRAMING),
        {**AUDIO, "vocabulary": {"kind": "word"}, "decoder": {"embedding": 4, "hidden": 4}},
    ),
    "forecast": case(
        sliding_windows(_WAVES.train, window=6, horizon=1, stride=20), {"data": {"steps": 6}}
    ),
    "classify-molecules": case(_MOLECULES),
    "regress-molecules": case(_MOLECULES),
    "classify-nodes": case(_PAPERS.with_answers(True).take(range(24)), NODES),
    "regress-nodes": case(_PAPERS.with_answers(False).take(range(24)), NODES),
    "classify-graphs": case(_GRAPHS, NODES),
    "regress-graphs": case(_GRAPHS, NODES),
    "links": case(_LINKS, {**NODES, "data": {"train_negatives": 3}}),
    "classify-images": case(_IMAGES),
    "regress-images": case(_IMAGES),
    "detect": case(
        _SCENES,
        {
            "data": {"patch": 4},
            "objects": {"queries": 3, "heads": 2, "layers": 1, "feed_forward": 4},
        },
    ),
    "reply": case(_REPLIES, TRANSLATE, TRANSLATORS),
    "rank-replies": case(
        _REPLIES,
        {
            "towers": {"embedding": 8, "width": 8},
            "vocabulary": {"kind": "word", "min_frequency": 1},
        },
    ),
    "tag-images": case(Images([Image(each.picture, each.answer * 4) for each in _IMAGES.images])),
}


def case_of(task: str) -> Case:
    """Return the case of a task."""
    if task not in CASES:
        pytest.fail(f"add a case of {task} to tests/compare/conftest.py")
    return CASES[task]


def plan_of(task: str = "tag", **section: Any) -> Plan:
    values = {"task": task, "seeds": 2, "budget": "steps=3", "lengths": [2, 5], **section}
    case = case_of(task)
    return make_plan(CompareSection.model_validate(values), dict(case.base), dict(case.contenders))


@pytest.fixture
def compare() -> Callable[..., list[Any]]:
    """Run a comparison in this process and return what happened."""

    def run(
        plan: Plan, folder: Path, refused: Callable[[Job], bool] = lambda job: False
    ) -> list[Any]:
        data = case_of(plan.task.name).data

        def runner(job: Job, run: Path) -> Iterator[Any]:
            if refused(job):
                raise RuntimeError("it was refused")
            yield from run_job(plan.task, job, (data, data), run, plan.lengths)

        return list(run_all(plan, folder, data_digest((data, data)), runner))

    return run


def outcome(contender: str = "none", **values: Any) -> Outcome:
    return Outcome(**{"contender": contender, "seed": 0, "fraction": 1.0, **values})
