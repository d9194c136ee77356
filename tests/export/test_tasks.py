"""Programs of every task answer as Heedful does: each example alone, and all in a batch with junk at padding."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.exported_arrays import Run, arrays_of, in_memory
from heedful.answers.boxes import Boxes
from heedful.answers.forecast import Forecast
from heedful.answers.label import Label
from heedful.answers.link import Link
from heedful.answers.number import Number
from heedful.answers.token_label import PositionLabel
from heedful.export.programs import programs_of
from heedful.export.run import export
from heedful.tasks.predictor import Predictor
from heedful.tasks.table import TASKS
from tests.compare.conftest import CASES
from tests.export.programs import loaded

EXAMPLES = 4
GRAPH = {"kind": "gatv2", "width": 8, "heads": 2}
SMALL: dict[str, Any] = {"kind": "transformer", "width": 8, "heads": 2, "layers": 1}
ANSWERED = [
    name for name in CASES if name not in ("translate", "reply", "rank-replies", "transcribe")
]
"""Tasks that are one function of the input."""


def predictor_of(task: str, **sections: Any) -> Predictor:
    """Return a model of fresh weights of a task."""
    torch.manual_seed(0)
    case = CASES[task]
    config = TASKS[task].configuration.model_validate({**case.base, **sections})
    predictor = TASKS[task].learn(config, case.data)
    predictor.model.eval()
    return predictor


def check_labels(predictor: Predictor, found: list[np.ndarray], wanted: list[Any]) -> None:
    shares = [list(each.all_probabilities.values()) for each in wanted]
    np.testing.assert_allclose(found[0], shares, atol=1e-5)


def check_numbers(predictor: Predictor, found: list[np.ndarray], wanted: list[Any]) -> None:
    np.testing.assert_allclose(found[0], [each.values for each in wanted], rtol=1e-4, atol=1e-5)


def check_positions(predictor: Predictor, found: list[np.ndarray], wanted: list[Any]) -> None:
    scores, lengths = found
    for row, length, each in zip(scores, lengths, wanted, strict=True):
        assert length == len(each.labels)
        if each.scores is not None:
            np.testing.assert_allclose(row[:length], each.scores, atol=2e-5)
        else:
            assert viterbi(predictor, row[:length]) == list(each.labels)


def viterbi(predictor: Predictor, emissions: np.ndarray) -> list[str]:
    chain = predictor.model.head.chain
    first, moved, last = (
        each.detach().numpy() for each in (chain.first, chain.transitions, chain.last)
    )
    reached, before = first + emissions[0], []
    for emitted in emissions[1:]:
        through = reached[:, None] + moved
        before.append(through.argmax(0))
        reached = through.max(0) + emitted
    best = [int((reached + last).argmax())]
    for each in reversed(before):
        best.insert(0, int(each[best[0]]))
    return [predictor.labels[n] for n in best]


def check_forecast(predictor: Predictor, found: list[np.ndarray], wanted: list[Any]) -> None:
    np.testing.assert_allclose(found[0], [each.values for each in wanted], rtol=1e-4, atol=1e-5)


def check_boxes(predictor: Predictor, found: list[np.ndarray], wanted: list[Any]) -> None:
    for shares, boxes, each in zip(*found, wanted, strict=True):
        listed = sorted(
            (
                (predictor.labels[label], *boxes[query], shares[query, label])
                for query, label in np.argwhere(shares >= 1e-3)
            ),
            key=lambda box: -box[-1],
        )
        assert [box[0] for box in listed] == [box.label for box in each.candidates]
        for (_, left, top, right, bottom, score), box in zip(listed, each.candidates, strict=True):
            got = np.array([left, top, right - left, bottom - top]) * 8  # pixels a side
            np.testing.assert_allclose(got, [box.left, box.top, box.width, box.height], atol=1e-4)
            assert score == pytest.approx(box.score, abs=1e-5)


def check_links(predictor: Predictor, found: list[np.ndarray], wanted: list[Any]) -> None:
    np.testing.assert_allclose(found[0][:, 0], [each.score for each in wanted], atol=1e-5)


CHECKS: dict[type[Any], Callable[[Predictor, list[np.ndarray], list[Any]], None]] = {
    Label: check_labels,
    Number: check_numbers,
    PositionLabel: check_positions,
    Forecast: check_forecast,
    Boxes: check_boxes,
    Link: check_links,
}


def check(predictor: Predictor, open_program: Callable[[str], Run], examples: list[Any]) -> None:
    """Compare the answers of each example alone, of all, and of some in another order."""
    run = open_program("model")
    for batch in ([examples[0]], examples, examples[::-1][:2]):
        found = run(*arrays_of(predictor, batch, open_program))
        CHECKS[type(predictor.answer)](predictor, found, list(predictor.predict(batch)))


def examples_of(task: str, *, frames: int = 1) -> list[Any]:
    """Return some examples, cut to different lengths where they may be cut, down to 1.

    Programs of `torch.export` want recordings of two `frames`.
    """
    inputs = list(CASES[task].data.inputs)[:EXAMPLES]
    if task.endswith("-series"):
        return [each[: 1 + 5 * n] for n, each in enumerate(inputs)]
    if task.endswith("-audio"):
        least = inputs[0].framing.samples(frames)
        return [
            type(each).of(each.read()[: least + 1111 * n], each.rate, each.framing)
            for n, each in enumerate(inputs)
        ]
    if task == "tag":
        return [each[: 1 + n] for n, each in enumerate(inputs)]
    return inputs


QUICK = [
    ("tag-series", {"encoder": SMALL}),
    ("classify-audio", {"encoder": {"kind": "window", "hidden": 8}}),
    ("detect", {"encoder": {"kind": "none", "hidden": 8}}),
    ("classify-molecules", {"encoder": GRAPH}),
    ("links", {"encoder": GRAPH}),
    ("regress-graphs", {"encoder": {"kind": "gcn", "width": 8}}),
]


@pytest.mark.parametrize(("task", "sections"), QUICK)
def test_programs_answer_as_heedful(task: str, sections: dict[str, Any]) -> None:
    predictor = predictor_of(task, **sections)
    check(predictor, in_memory(programs_of(predictor)), examples_of(task, frames=2))


IMAGES = {"patch": 4}
FORMS: list[tuple[str, dict[str, Any]]] = [
    ("regress-audio", {"features": {"bands": 8, "normalize": "global", "floor": 40}}),
    ("tag-audio", {"features": {"bands": 8, "normalize": "none"}}),
    (
        "classify-audio",
        {"features": {"bands": 8, "normalize": "sliding", "sliding": 20, "trim": 20}},
    ),
    ("classify-audio", {"data": {"rate": 8000, "snip_edges": False}}),
    ("regress-series", {"data": {"window": 4}}),
    ("forecast", {"data": {"steps": 6, "relative": "yes"}}),
    ("classify-images", {"data": IMAGES, "encoder": SMALL, "inputs": {"class_token": True}}),
    ("regress-images", {"data": IMAGES, "encoder": SMALL, "inputs": {"stem": "convolution"}}),
    ("classify-images", {"data": IMAGES, "encoder": {"kind": "convolution", "hidden": 8}}),
    ("tag-images", {"data": IMAGES, "encoder": {"kind": "convolution+attention"}}),
    ("classify-images", {"data": IMAGES, "encoder": {"kind": "lstm+attention"}}),
    ("detect", {"data": IMAGES, "encoder": {"kind": "convolution", "hidden": 8}}),
    ("classify-molecules", {"inputs": {"view": "both", "descriptors": False}}),
    ("regress-molecules", {"inputs": {"view": "characters"}}),
    ("regress-molecules", {"encoder": SMALL, "ensemble": {"members": 2}}),
    ("classify-nodes", {"encoder": {"kind": "graph-transformer", "width": 8, "heads": 2}}),
    ("regress-nodes", {"encoder": {"kind": "gcn", "width": 8}}),
    ("classify-graphs", {"encoder": {"kind": "gat", "width": 8, "heads": 2}}),
    ("links", {"encoder": {"kind": "none", "hidden": 4}}),
    ("tag", {"labels": {"chain": True}}),
]


@pytest.mark.long
@pytest.mark.parametrize(("task", "sections"), [*((task, {}) for task in ANSWERED), *FORMS, *QUICK])
def test_onnxruntime_answers_as_heedful(
    tmp_path: Path, task: str, sections: dict[str, Any]
) -> None:
    pytest.importorskip("onnxruntime")
    predictor = predictor_of(task, **sections)
    export(predictor, "onnx", tmp_path / "out")
    check(predictor, loaded(tmp_path / "out", "onnx"), examples_of(task))
