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
from heedful.export.answering import ANSWERINGS
from heedful.export.programs import WRITERS, programs_of
from heedful.export.reading import READINGS
from heedful.export.run import export
from heedful.models.two_towers import TokenSequence
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


def examples_of(predictor: Predictor, *, frames: int = 1) -> list[Any]:
    """Return some examples, cut to different lengths where they may be cut, down to 1.

    Programs of `torch.export` want recordings of more than one position after sub-sampling, hence of some `frames`.
    """
    task = predictor.task.name
    inputs = list(CASES[task].data.inputs)[:EXAMPLES]
    if task.endswith("-series"):
        return [each[: 1 + 5 * n] for n, each in enumerate(inputs)]
    if task.endswith("-audio"):
        framing = predictor.config.data.framing()
        least = framing.samples(frames)
        return [
            type(each).of(each.read()[: least + 1111 * n], each.rate, framing)
            for n, each in enumerate(inputs)
        ]
    if task == "tag":
        return [each[: 1 + n] for n, each in enumerate(inputs)]
    return inputs


SERIES = ("tag-series", {"encoder": SMALL})
AUDIO = ("classify-audio", {"encoder": {"kind": "none", "hidden": 8}})
DETECTOR = ("detect", {"encoder": {"kind": "none", "hidden": 8}})
MOLECULES = ("classify-molecules", {"encoder": GRAPH})
QUICK = [SERIES, AUDIO, DETECTOR, MOLECULES]


@pytest.mark.parametrize("task", list(TASKS))
def test_every_task_is_exported(task: str) -> None:
    """A task of a new kind of input or answer needs a line in a table of `heedful.export`."""
    inputs, answers = (set(kind.__mro__) for kind in (TASKS[task].input, TASKS[task].answer))
    assert inputs & READINGS.keys() or answers & WRITERS.keys()
    assert answers & (ANSWERINGS.keys() | WRITERS.keys())


@pytest.mark.parametrize(("task", "sections"), QUICK)
def test_programs_answer_as_heedful(task: str, sections: dict[str, Any]) -> None:
    predictor = predictor_of(task, **sections)
    check(predictor, in_memory(programs_of(predictor)), examples_of(predictor, frames=9))


IMAGES = {"patch": 4}
FORMS: list[tuple[str, dict[str, Any]]] = [
    ("regress-audio", {"features": {"bands": 8, "normalize": "global", "floor": 40}}),
    ("tag-audio", {"features": {"bands": 8, "normalize": "none"}}),
    (
        "classify-audio",
        {"features": {"bands": 8, "normalize": "sliding", "sliding": 20, "trim": 20}},
    ),
    ("classify-audio", {"data": {"rate": 8000, "snip_edges": False}}),
    ("forecast", {"data": {"steps": 6, "relative": True}}),
    ("classify-images", {"data": IMAGES, "encoder": SMALL, "inputs": {"class_token": True}}),
    ("regress-images", {"data": IMAGES, "encoder": SMALL, "inputs": {"stem": "convolution"}}),
    ("classify-images", {"data": IMAGES, "encoder": {"kind": "convolution", "hidden": 8}}),
    ("tag-images", {"data": IMAGES, "encoder": {"kind": "convolution+attention"}}),
    ("classify-images", {"data": IMAGES, "encoder": {"kind": "lstm+attention"}}),
    ("detect", {"data": IMAGES, "encoder": {"kind": "convolution", "hidden": 8}}),
    ("classify-molecules", {"inputs": {"view": "both", "descriptors": False}}),
    ("regress-molecules", {"inputs": {"view": "characters"}}),
    ("regress-molecules", {"inputs": {"descriptors": True, "contributions": True}}),
    (
        "regress-molecules",
        {
            "inputs": {"descriptors": True},
            "kernel": {"share": 0.5},
            "ensemble": {"members": 2},
        },
    ),
    ("regress-molecules", {"encoder": SMALL, "ensemble": {"members": 2}}),
    ("classify-nodes", {"encoder": {"kind": "graph-transformer", "width": 8, "heads": 2}}),
    ("regress-nodes", {"encoder": {"kind": "gcn", "width": 8}}),
    ("classify-graphs", {"encoder": {"kind": "gat", "width": 8, "heads": 2}}),
    ("links", {"encoder": {"kind": "none", "hidden": 4}}),
    ("links", {"encoder": GRAPH}),
    ("regress-graphs", {"encoder": {"kind": "gcn", "width": 8}}),
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
    check(predictor, loaded(tmp_path / "out", "onnx"), examples_of(predictor))


@pytest.mark.long
def test_the_features_of_recordings_are_not_rounded(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    predictor = predictor_of("classify-audio")
    export(predictor, "onnx-int8", tmp_path / "out")
    features = loaded(tmp_path / "out", "onnx-int8")("features")
    for clip in examples_of(predictor):
        [found] = features(clip.read())
        wanted = predictor.input.collate(predictor.input.encode([clip])).values[0]
        np.testing.assert_allclose(found, wanted, atol=1e-3)


SPOKEN = {
    "gru": {"embedding": 4, "hidden": 4},
    "none": {},
    "transformer": {"width": 8, "heads": 2, "feed_forward": 8},
}


@pytest.mark.parametrize(
    ("kind", "ctc", "on_disk"),
    [
        pytest.param("none", 1.0, True, marks=pytest.mark.long),
        pytest.param("gru", 0.3, True, marks=pytest.mark.long),
        ("transformer", 0.3, False),
        pytest.param("transformer", 0.0, True, marks=pytest.mark.long),
    ],
)
def test_transcribers(tmp_path: Path, kind: str, ctc: float, on_disk: bool) -> None:
    """CTC's log-probabilities, and those of the tokens of random texts, are those of the model."""
    sections = {"decoder": {"kind": kind, **SPOKEN[kind]}, "ctc": {"weight": ctc}}
    predictor = predictor_of("transcribe", **sections)
    if on_disk:
        pytest.importorskip("onnxruntime")
        export(predictor, "onnx", tmp_path / "out")
    open_program = (
        loaded(tmp_path / "out", "onnx") if on_disk else in_memory(programs_of(predictor))
    )
    inputs = list(CASES["transcribe"].data.inputs)[:EXAMPLES]
    clips = [
        type(each).of(each.read()[: 900 + 700 * n], each.rate, each.framing)
        for n, each in enumerate(inputs)
    ]
    model = predictor.model
    with torch.no_grad():
        states = model.states(predictor.input.collate(predictor.input.encode(clips)))
        positions, *found = open_program("encoder")(*arrays_of(predictor, clips, open_program))
        assert positions.tolist() == states.lengths.tolist()
        if model.has_ctc:
            wanted = model.ctc_log_probabilities(states)
            for row, theirs, length in zip(found.pop(0), wanted, positions, strict=True):
                np.testing.assert_allclose(row[:length], theirs[:length], atol=2e-5)
        if model.decoder is None:
            return
        target = torch.randint(4, len(predictor.answer.vocabulary), (len(clips), 5))
        target[:, 0] = 2
        decoded = model.decoder.decode(model.memory(states), target).states
        wanted = model.decoder.output(decoded).log_softmax(-1)
    step = open_program("step")
    for place in range(target.shape[1]):
        scores, *found = step(target[:, place].numpy(), *found)
        np.testing.assert_allclose(scores, wanted[:, place], atol=2e-5)


@pytest.mark.long
@pytest.mark.parametrize("encoder", [{"kind": "none", "layers": 0}, SMALL])
def test_rankers(tmp_path: Path, encoder: dict[str, Any]) -> None:
    """The vectors of both towers are those of the model, whatever the length."""
    pytest.importorskip("onnxruntime")
    predictor = predictor_of("rank-replies", encoder=encoder)
    export(predictor, "onnx", tmp_path / "out")
    open_program = loaded(tmp_path / "out", "onnx")
    exchanges = list(CASES["rank-replies"].data.inputs)[:EXAMPLES]
    batch = predictor.input.collate(predictor.input.encode(exchanges))
    model = predictor.model
    for rows in (slice(0, 1), slice(None)):
        ids, ages = batch.ids[rows], batch.ages[rows]
        with torch.no_grad():
            wanted = model.histories(TokenSequence(ids, batch.lengths[rows], ages))
            replies = model.replies(TokenSequence(ids, batch.lengths[rows]))
        [found] = open_program("history")(ids.numpy(), ages.numpy())
        np.testing.assert_allclose(found, wanted, atol=1e-5)
        [found] = open_program("reply")(ids.numpy())
        np.testing.assert_allclose(found, replies, atol=1e-5)
    with torch.no_grad():
        one = model.replies(TokenSequence(torch.tensor([[5]]), torch.tensor([1])))
    np.testing.assert_allclose(open_program("reply")(np.array([[5]]))[0], one, atol=1e-5)
