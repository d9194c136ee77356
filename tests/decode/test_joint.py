"""CTC prefix scores and the joint search against enumeration."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch

from heedful.decode.beam import search
from heedful.decode.ctc_prefix import CTCPrefixes
from heedful.decode.joint import CTCRescorer
from heedful.decode.options import SearchOptions
from heedful.errors import OptionError, ShapeError
from tests.decode.ctc_enumeration import labellings, random_frames
from tests.decode.test_beam import MODELS, log_probability, sources

BLANK, BEGIN, END = 0, 2, 3
SYMBOLS = 6
LABELS = (1, 4, 5)
FRAMES = (5, 3, 4, 1)


def frames_of(rows: int = len(FRAMES)) -> tuple[torch.Tensor, torch.Tensor]:
    padded = torch.full((rows, max(FRAMES[:rows]), SYMBOLS), math.nan, dtype=torch.double)
    for row in range(rows):
        values = random_frames(FRAMES[row], SYMBOLS, seed=row)
        padded[row, : FRAMES[row]] = torch.from_numpy(values)
    return padded, torch.tensor(FRAMES[:rows])


def exact(values: torch.Tensor) -> dict[tuple[int, ...], float]:
    return labellings(values.numpy())


def test_scores_of_prefixes_and_of_whole_labellings() -> None:
    values, lengths = frames_of()
    prefixes = CTCPrefixes.start(values, lengths, blank=BLANK, end=END)
    every = torch.arange(SYMBOLS).expand(len(FRAMES), -1)
    history: list[int] = []
    for label in (4, 4, 5, 1):
        scores = prefixes.scores(every).exp()
        for row, frames in enumerate(FRAMES):
            known = exact(values[row, :frames])
            for token in (1, 4, 5):
                extended = (*history, token)
                expected = sum(p for y, p in known.items() if y[: len(extended)] == extended)
                assert float(scores[row, token]) == pytest.approx(expected, abs=1e-12)
            ended = known.get(tuple(history), 0.0)
            assert float(scores[row, END]) == pytest.approx(ended, abs=1e-12)
            assert scores[row, BLANK] == 0
        chosen = prefixes.scores(every)[:, label]
        rows = torch.arange(len(FRAMES))
        prefixes = prefixes.extend(rows, torch.full((len(FRAMES),), label), chosen)
        history.append(label)


def test_long_recordings_keep_their_precision() -> None:
    frames = 3000
    values = torch.from_numpy(random_frames(frames, SYMBOLS, seed=9))
    prefixes = CTCPrefixes.start(values[None], torch.tensor([frames]), blank=BLANK, end=END)
    labels = [4, 5, 1, 1] * 100
    for label in labels:
        token = torch.tensor([label])
        prefixes = prefixes.extend(torch.tensor([0]), token, prefixes.scores(token[None])[:, 0])
    loss = torch.nn.functional.ctc_loss(
        values[:, None], torch.tensor([labels]), [frames], [len(labels)], reduction="sum"
    )
    ended = prefixes.scores(torch.tensor([[END]]))
    assert float(ended) == pytest.approx(-float(loss), rel=1e-12)


def joint_scores(model: Any, row: int, weight: float, limit: int) -> dict[tuple[int, ...], float]:
    """The joint score of every labelling of at most `limit` - 1 labels."""
    values, _ = frames_of()
    ctc = exact(values[row, : FRAMES[row]])
    source = sources()[row : row + 1]
    found = {}
    for length in range(limit):
        for labels in itertools.product(LABELS, repeat=length):
            if ctc.get(labels, 0.0) > 0:
                attention = log_probability(model, source, [*labels, END])
                found[labels] = weight * math.log(ctc[labels]) + (1 - weight) * attention
    return found


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("weight", [0.3, 1.0])
def test_the_joint_search_without_a_limit_is_exact(name: str, weight: float) -> None:
    model = MODELS[name](SYMBOLS).eval()
    values, lengths = frames_of()
    source, limit = sources(), 5
    full = torch.full((4,), source.shape[1])
    rescorer = CTCRescorer(
        CTCPrefixes.start(values, lengths, blank=BLANK, end=END), weight=weight, excluded=(BEGIN,)
    )
    found = search(
        model,
        lambda: model.start(source, full),
        4,
        begin=BEGIN,
        end=END,
        max_length=limit,
        options=SearchOptions(beam=200, length_penalty=0.0, nbest=200),
        rescorer=rescorer,
    )
    for row in range(4):
        wanted = sorted(joint_scores(model, row, weight, limit).items(), key=lambda item: -item[1])
        finished = [each for each in found[row] if each.finished]
        assert [tuple(each.tokens) for each in finished] == [labels for labels, _ in wanted]
        got = [each.score for each in finished]
        np.testing.assert_allclose(got, [score for _, score in wanted], rtol=1e-4)


def test_a_batch_equals_a_loop() -> None:
    model = MODELS["bahdanau"](SYMBOLS)
    values, lengths = frames_of()
    source, full = sources(), torch.full((4,), 6)

    def found(rows: slice) -> list[Any]:
        prefixes = CTCPrefixes.start(values[rows], lengths[rows], blank=BLANK, end=END)
        results = search(
            model,
            lambda: model.start(source[rows], full[rows]),
            len(source[rows]),
            begin=BEGIN,
            end=END,
            max_length=6,
            options=SearchOptions(beam=3, length_penalty=0.5, nbest=2),
            rescorer=CTCRescorer(prefixes, weight=0.4, excluded=(BEGIN,)),
        )
        return [[each.tokens for each in hypotheses] for hypotheses in results]

    assert found(slice(0, 4)) == [found(slice(row, row + 1))[0] for row in range(4)]


def test_only_candidates_and_the_end_are_scored() -> None:
    values, lengths = frames_of(1)
    prefixes = CTCPrefixes.start(values, lengths, blank=BLANK, end=END)
    attention = torch.tensor([[0.3, 0.1, 0.3, 0.01, 0.2, 0.09]]).log()
    combined = CTCRescorer(prefixes, weight=0.5, candidates=1, excluded=(BEGIN,)).combine(attention)
    assert combined.isfinite().tolist() == [[False, False, False, True, True, False]]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"weight": 0.0}, OptionError, "must be above 0 and at most 1; got 0.0"),
        ({"weight": 1.5}, OptionError, "must be above 0 and at most 1; got 1.5"),
        ({"weight": 0.5, "candidates": 0}, OptionError, "candidates must be at least 1; got 0"),
    ],
)
def test_wrong_weights_are_refused(change: Any, error: Any, message: str) -> None:
    prefixes = CTCPrefixes.start(*frames_of(), blank=BLANK, end=END)
    with pytest.raises(error, match=message):
        CTCRescorer(prefixes, **change)


def test_wrong_log_probabilities_are_refused() -> None:
    values, lengths = frames_of()
    with pytest.raises(ShapeError, match=r"expected \(batch, frames, symbols\) and \(batch,\)"):
        CTCPrefixes.start(values[0], lengths, blank=BLANK, end=END)
    with pytest.raises(OptionError, match="blank is 3 and end is 3"):
        CTCPrefixes.start(values, lengths, blank=END, end=END)
    values[0, 0, 0] = -math.inf
    with pytest.raises(OptionError, match="log_probabilities are not all finite"):
        CTCPrefixes.start(values, lengths, blank=BLANK, end=END)
