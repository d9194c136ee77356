"""CTC loss, greedy decoding, forced alignment and prefix beam search against sums over all paths."""

from __future__ import annotations

import gc
import math
from typing import Any

import numpy as np
import pytest
import torch

from heedful.decode.ctc import align_labels, best_path, collapse, ctc_loss, minimum_frames
from heedful.decode.ctc_beam import PrefixBeam, _Prefix, prefix_beam_search
from heedful.errors import OptionError, ShapeError
from tests.decode.ctc_enumeration import best_path_of, labellings, random_frames

SIZES = [(1, 2), (2, 3), (4, 3), (5, 4), (6, 3)]


def loss_of(frames: Any, labels: list[int], blank: int = 0) -> torch.Tensor:
    values = torch.from_numpy(frames)[None]
    counts = torch.tensor([len(frames)]), torch.tensor([len(labels)])
    return ctc_loss(values, counts[0], torch.tensor([labels]), counts[1], blank=blank)


@pytest.mark.parametrize(("frames", "symbols"), SIZES)
@pytest.mark.parametrize("blank", [0, 1])
def test_the_loss_is_the_sum_over_all_paths(frames: int, symbols: int, blank: int) -> None:
    values = random_frames(frames, symbols)
    for labels, probability in labellings(values, blank).items():
        loss = loss_of(values, list(labels), blank)
        assert float(loss) == pytest.approx(-math.log(probability), rel=1e-4, abs=1e-5)


def test_padding_changes_no_loss() -> None:
    short, long = random_frames(3, 4, seed=1), random_frames(5, 4, seed=2)
    padded = np.full((2, 5, 4), 9.0)
    padded[0, :3], padded[1] = short, long
    losses = ctc_loss(
        torch.from_numpy(padded),
        torch.tensor([3, 5]),
        torch.tensor([[1, 3, 3], [2, 2, 1]]),
        torch.tensor([1, 3]),
        blank=0,
    )
    alone = torch.cat([loss_of(short, [1]), loss_of(long, [2, 2, 1])])
    torch.testing.assert_close(losses, alone)


@pytest.mark.parametrize("labels", [[1], [1, 1], [1, 2], [1, 1, 1], [2, 2, 1], [1, 2, 2, 2]])
def test_minimum_frames_is_where_the_loss_becomes_finite(labels: list[int]) -> None:
    least = minimum_frames(labels)
    assert loss_of(random_frames(least, 3), labels).isfinite().all()
    if least > 1:
        assert loss_of(random_frames(least - 1, 3), labels).isinf().all()


@pytest.mark.parametrize(("frames", "symbols"), SIZES)
def test_best_path_is_greedy(frames: int, symbols: int) -> None:
    values = random_frames(frames, symbols, seed=3)
    labels, score = best_path(values, blank=0)
    path = values.argmax(axis=1)
    assert labels == collapse(path.tolist(), 0)
    assert score == pytest.approx(values.max(axis=1).sum())


@pytest.mark.parametrize(("frames", "symbols"), SIZES)
@pytest.mark.parametrize("blank", [0, 1])
def test_alignment_is_the_best_path_of_the_labels(frames: int, symbols: int, blank: int) -> None:
    values = random_frames(frames, symbols, seed=4)
    for labels in labellings(values, blank):
        if not labels:
            continue
        _, path = best_path_of(values, labels, blank)
        spans = align_labels(values, labels, blank=blank)
        assert [span.label for span in spans] == list(labels)
        covered = [blank] * frames
        for span in spans:
            covered[span.start : span.end] = [span.label] * (span.end - span.start)
            expected = values[span.start : span.end, span.label].sum()
            assert span.log_probability == pytest.approx(expected)
        assert covered == list(path)


def test_alignment_of_nothing_is_empty() -> None:
    assert align_labels(random_frames(3, 3), [], blank=0) == []


@pytest.mark.parametrize(("frames", "symbols"), SIZES)
@pytest.mark.parametrize("blank", [0, 1])
def test_prefix_beam_search_without_a_limit_is_exact(frames: int, symbols: int, blank: int) -> None:
    values = random_frames(frames, symbols, seed=5)
    exact = sorted(labellings(values, blank).items(), key=lambda item: -item[1])
    found = prefix_beam_search(values, beam=1000, blank=blank, nbest=len(exact))
    assert [tuple(each.labels) for each in found] == [labels for labels, _ in exact]
    for each, (_, probability) in zip(found, exact, strict=True):
        assert each.log_probability == pytest.approx(math.log(probability))


def test_a_narrow_beam_finds_a_labelling_of_at_most_its_probability() -> None:
    for seed in range(20):
        values = random_frames(6, 4, seed=seed)
        exact = labellings(values)
        [best] = prefix_beam_search(values, beam=3, blank=0)
        assert math.exp(best.log_probability) <= exact[tuple(best.labels)] * (1 + 1e-9)


def test_frames_may_come_in_parts() -> None:
    values = random_frames(7, 4, seed=6)
    whole = prefix_beam_search(values, beam=5, blank=0, nbest=5)
    search = PrefixBeam(beam=5, blank=0)
    for part in (values[:1], values[1:1], values[1:5], values[5:]):
        search.read(part)
    assert search.best(5) == whole


def test_impossible_symbols_and_frames_of_one_symbol_are_no_problem() -> None:
    values = np.log(np.array([[0.5, 0.5, 1e-300], [1.0, 1e-300, 1e-300]]))
    values[0, 2] = -np.inf
    best, second = prefix_beam_search(values, beam=2, blank=0, nbest=2)
    assert {tuple(best.labels), tuple(second.labels)} == {(), (1,)}


def test_prefixes_that_left_the_beam_are_freed() -> None:
    search = PrefixBeam(beam=4, blank=0)
    search.read(random_frames(600, 6, seed=7))
    gc.collect()
    alive = sum(type(each) is _Prefix for each in gc.get_objects())
    # Those of the labellings in the beam, of some 2,400 that there have been.
    assert alive < len(search.best()[0].labels) + 200


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda f: best_path(f[0], blank=0), ShapeError, r"expected \(frames, symbols\)"),
        (lambda f: best_path(f, blank=3), OptionError, "blank is 3; expected one of the 3 symbols"),
        (
            lambda f: align_labels(f, [1, 1, 1], blank=0),
            ShapeError,
            "3 labels need at least 5 frames; got 4",
        ),
        (lambda f: align_labels(f, [1, 0], blank=0), OptionError, "label 0 cannot be aligned"),
        (lambda f: align_labels(f, [7], blank=0), OptionError, "label 7 cannot be aligned"),
        (
            lambda f: prefix_beam_search(f, beam=0, blank=0),
            OptionError,
            "beam must be at least 1; got 0",
        ),
        (
            lambda f: prefix_beam_search(f, beam=2, blank=0, nbest=3),
            OptionError,
            "nbest must be from 1 to the beam, 2; got 3",
        ),
        (
            lambda f: ctc_loss(torch.from_numpy(f), *[torch.tensor([1])] * 3, blank=0),
            ShapeError,
            r"expected \(batch, frames, symbols\)",
        ),
        (
            lambda f: ctc_loss(torch.from_numpy(f)[None], *[torch.tensor([1])] * 3, blank=0),
            ShapeError,
            "lengths, labels and label_lengths have shapes",
        ),
    ],
)
def test_wrong_arguments_are_refused(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call(random_frames(4, 3))
