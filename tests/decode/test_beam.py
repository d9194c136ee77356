"""Beam search against enumeration, against the greedy loop, and against itself one sentence at a time."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from heedful.decode import Hypothesis, SearchOptions, length_penalty_factor
from heedful.decode import beam_search as search_beam
from heedful.errors import OptionError, ShapeError
from heedful.models import (
    EncoderDecoder,
    RecurrentConfig,
    RecurrentEncoderDecoder,
    TransformerConfig,
    TransformerEncoderDecoder,
)

BEGIN, END = 2, 3


def beam_search(
    model: EncoderDecoder[Any],
    source: Tensor,
    lengths: Tensor,
    *,
    begin: int,
    end: int,
    max_length: int | Tensor,
    **options: Any,
) -> list[list[Hypothesis]]:
    """Search with the options as keywords."""
    chosen = SearchOptions(**options)
    return search_beam(
        model, source, lengths, begin=begin, end=end, max_length=max_length, options=chosen
    )


VOCABULARY = 5
LENGTHS = torch.tensor([6, 3, 5, 1])


def recurrent(vocabulary: int = VOCABULARY, seed: int = 0, **options: Any) -> EncoderDecoder[Any]:
    torch.manual_seed(seed)
    config = RecurrentConfig(embedding=6, hidden=5, **options)
    model = RecurrentEncoderDecoder(config, 20, vocabulary).double()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.9)
    return model


def transformer(vocabulary: int = VOCABULARY) -> EncoderDecoder[Any]:
    config = TransformerConfig(
        width=8, feed_forward=8, heads=2, encoder_layers=1, decoder_layers=2, tie_embeddings=False
    )
    model = TransformerEncoderDecoder(config, 20, vocabulary).double()
    for parameter in model.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.9)
    return model


MODELS = {
    "bahdanau": recurrent,
    "luong": lambda size=VOCABULARY: recurrent(
        size, kind="lstm", order="luong", attention="bilinear"
    ),
    "none": lambda size=VOCABULARY: recurrent(size, attention="none", decoder_layers=2),
    "transformer": transformer,
}


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> EncoderDecoder[Any]:
    built: EncoderDecoder[Any] = MODELS[request.param]()
    return built


def sources() -> Tensor:
    return torch.randint(4, 20, (4, 6), generator=torch.Generator().manual_seed(1))


def log_probability(model: EncoderDecoder[Any], source: Tensor, tokens: list[int]) -> float:
    """Sum of log-probabilities of `tokens` (the end token among them, if it ended)."""
    target = torch.tensor([[BEGIN, *tokens[:-1]]])
    with torch.no_grad():
        states = model(source, torch.tensor([source.shape[1]]), target).states
        rows = torch.log_softmax(model.output(states).float(), dim=-1)[0]
    return sum(float(row[token]) for row, token in zip(rows, tokens, strict=True))


def enumerate_all(
    model: EncoderDecoder[Any], source: Tensor, limit: int, alpha: float
) -> list[tuple[float, list[int]]]:
    """Every sequence that ends within `limit` tokens, best first."""
    found = []
    others = [token for token in range(VOCABULARY) if token != END]
    for length in range(limit):
        for body in itertools.product(others, repeat=length):
            total = log_probability(model, source, [*body, END])
            found.append((total / ((5 + length + 1) / 6) ** alpha, list(body)))
    return sorted(found, reverse=True)


def assert_same(got: list[list[Hypothesis]], wanted: list[list[Hypothesis]]) -> None:
    for mine, other in zip(got, wanted, strict=True):
        assert [each.tokens for each in mine] == [each.tokens for each in other]
        assert [each.finished for each in mine] == [each.finished for each in other]
        assert [each.score for each in mine] == pytest.approx([each.score for each in other])


@pytest.mark.parametrize("alpha", [0.0, 1.0, 3.0])
def test_a_wide_beam_finds_what_enumeration_finds(model: EncoderDecoder[Any], alpha: float) -> None:
    model.eval()
    limit, width = 3, VOCABULARY**3
    source = sources()
    found = beam_search(
        model,
        source,
        LENGTHS,
        begin=BEGIN,
        end=END,
        beam=width,
        length_penalty=alpha,
        max_length=limit,
        nbest=10,
    )
    for row, length in enumerate(LENGTHS.tolist()):
        wanted = enumerate_all(model, source[row : row + 1, :length], limit, alpha)[:10]
        assert [each.tokens for each in found[row]] == [body for _, body in wanted]
        assert [each.score for each in found[row]] == pytest.approx(
            [score for score, _ in wanted], rel=1e-5
        )
        assert all(each.finished for each in found[row])


def test_a_beam_of_one_is_the_greedy_loop(model: EncoderDecoder[Any]) -> None:
    model.eval()
    source, limit = sources(), 9
    found = beam_search(model, source, LENGTHS, begin=BEGIN, end=END, beam=1, max_length=limit)
    for row, length in enumerate(LENGTHS.tolist()):
        tokens: list[int] = []
        with torch.no_grad():
            state = model.start(source[row : row + 1, :length], LENGTHS[row : row + 1])
            token = torch.tensor([BEGIN])
            while len(tokens) < limit and END not in tokens:
                states, state = model.step(token, state)
                token = model.output(states).argmax(dim=-1)
                tokens.append(int(token))
        (best,) = found[row]
        assert best.finished == (tokens[-1] == END)
        assert best.tokens == [token for token in tokens if token != END]
        total = log_probability(model, source[row : row + 1, :length], tokens)
        assert best.score == pytest.approx(total / ((5 + len(tokens)) / 6), rel=1e-5)


@pytest.mark.parametrize("beam", [1, 2, 5])
def test_a_batch_equals_a_loop(model: EncoderDecoder[Any], beam: int) -> None:
    source = sources()
    options: dict[str, Any] = {
        "begin": BEGIN,
        "end": END,
        "beam": beam,
        "nbest": beam,
        "max_length": 7,
    }
    together = beam_search(model, source, LENGTHS, **options)
    alone = [
        beam_search(model, source[row : row + 1, :length], LENGTHS[row : row + 1], **options)[0]
        for row, length in enumerate(LENGTHS.tolist())
    ]
    assert_same(together, alone)
    assert_same(beam_search(model, source, LENGTHS, **options), together)


@torch.no_grad()
def naive(
    model: EncoderDecoder[Any], source: Tensor, beam: int, alpha: float, limit: int, nbest: int
) -> list[Hypothesis]:
    """The search of the docstring in plain Python, one sentence, never stopping early."""
    going, ended = [([], 0.0)], []  # type: ignore[var-annotated]
    cut: list[Hypothesis] = []
    for length in range(1, limit + 1):
        factor = ((5 + length) / 6) ** alpha
        longer = []
        for tokens, total in going:
            states = model(source, torch.tensor([6]), torch.tensor([[BEGIN, *tokens]])).states[
                0, -1
            ]
            row = torch.log_softmax(model.output(states).float(), dim=-1).tolist()
            longer += [([*tokens, token], total + row[token]) for token in range(VOCABULARY)]
        longer = sorted(longer, key=lambda each: -each[1])[: beam - len(ended)]
        ended += [Hypothesis(t[:-1], score / factor) for t, score in longer if t[-1] == END]
        going = [each for each in longer if each[0][-1] != END]
        cut = [Hypothesis(t, score / factor, finished=False) for t, score in going]
    best_first = sorted(ended, key=lambda each: -each.score) + cut
    return best_first[:nbest]


@pytest.mark.parametrize("alpha", [0.0, 0.6, 2.0])
@pytest.mark.parametrize(("beam", "nbest"), [(2, 1), (3, 3), (4, 2)])
def test_early_stopping_loses_nothing(beam: int, nbest: int, alpha: float) -> None:
    for seed in range(4):
        model = recurrent(seed=seed).eval()
        source = sources()[:1]
        found = beam_search(
            model,
            source,
            torch.tensor([6]),
            begin=BEGIN,
            end=END,
            beam=beam,
            length_penalty=alpha,
            max_length=6,
            nbest=nbest,
        )
        assert_same(found, [naive(model, source, beam, alpha, 6, nbest)])


@settings(max_examples=12)
@given(
    seed=st.integers(0, 1000),
    beam=st.integers(1, 6),
    alpha=st.sampled_from([0.0, 0.7, 1.0]),
    limit=st.integers(1, 8),
)
def test_answers_are_never_empty_sorted_and_true(
    seed: int, beam: int, alpha: float, limit: int
) -> None:
    model = recurrent(seed=seed).eval()
    source = sources()
    found = beam_search(
        model,
        source,
        LENGTHS,
        begin=BEGIN,
        end=END,
        beam=beam,
        length_penalty=alpha,
        max_length=limit,
        nbest=beam,
    )
    for row, (hypotheses, length) in enumerate(zip(found, LENGTHS.tolist(), strict=True)):
        assert 1 <= len(hypotheses) <= beam
        order = [(not each.finished, -each.score) for each in hypotheses]
        assert order == sorted(order)
        assert len({tuple(each.tokens) for each in hypotheses}) == len(hypotheses)
        for each in hypotheses:
            tokens = [*each.tokens, END] if each.finished else each.tokens
            assert END not in each.tokens
            assert len(tokens) <= limit
            total = log_probability(model, source[row : row + 1, :length], tokens)
            factor = length_penalty_factor(len(tokens), alpha)
            assert each.score == pytest.approx(total / factor, rel=1e-4, abs=1e-6)


class Counting(RecurrentEncoderDecoder):
    """Counts steps, and the rows of each."""

    rows: list[int]

    def step(self, token: Tensor, state: Any) -> Any:
        self.rows.append(token.shape[0])
        return super().step(token, state)


def counting(end_bias: float) -> Counting:
    model = Counting(RecurrentConfig(embedding=6, hidden=5), 20, VOCABULARY)
    model.rows = []
    with torch.no_grad():
        model.output_bias[END] = end_bias
    return model


def test_it_stops_when_all_have_ended_and_at_the_limit() -> None:
    eager, endless = counting(30.0), counting(-1e4)
    options: dict[str, Any] = {"begin": BEGIN, "end": END, "beam": 3, "max_length": 8}
    found = beam_search(eager, sources(), LENGTHS, **options)
    assert eager.rows == [4]
    assert [(best.tokens, best.finished) for (best,) in found] == [([], True)] * 4
    found = beam_search(endless, sources(), LENGTHS, nbest=3, **options)
    assert endless.rows == [4] + [12] * 7
    assert all(len(each.tokens) == 8 and not each.finished for three in found for each in three)
    assert [len(three) for three in found] == [3] * 4


def test_sentences_that_are_done_leave_the_batch() -> None:
    model = counting(-1e4)
    limits = torch.tensor([1, 3, 2, 5])
    options: dict[str, Any] = {"begin": BEGIN, "end": END, "beam": 2}
    found = beam_search(model, sources(), LENGTHS, max_length=limits, **options)
    assert model.rows == [4, 6, 4, 2, 2]
    assert [len(best.tokens) for (best,) in found] == [1, 3, 2, 5]
    assert beam_search(model, sources()[:0], LENGTHS[:0], max_length=5, **options) == []


def test_the_length_penalty_favours_longer_outputs() -> None:
    model = recurrent(seed=3).eval()
    lengths = []
    for alpha in (0.0, 8.0):
        found = beam_search(
            model,
            sources(),
            LENGTHS,
            begin=BEGIN,
            end=END,
            beam=40,
            length_penalty=alpha,
            max_length=6,
        )
        lengths.append(sum(len(best.tokens) for (best,) in found))
    assert lengths[0] < lengths[1]
    assert length_penalty_factor(1, 0.7) == 1.0
    assert length_penalty_factor(13, 1.0) == 3.0
    assert math.isclose(length_penalty_factor(4, 0.5), 1.5**0.5)


def test_a_model_in_training_is_searched_without_dropout_and_left_in_training() -> None:
    model = recurrent(dropout=0.9).train()
    model.source_embedding.eval()
    options: dict[str, Any] = {"begin": BEGIN, "end": END, "max_length": 6}
    first, second = (beam_search(model, sources(), LENGTHS, **options) for _ in range(2))
    assert_same(first, second)
    assert model.training
    assert not model.source_embedding.training


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beam": 0}, "beam must be at least 1; got 0"),
        ({"beam": 2, "nbest": 3}, "nbest must be from 1 to the beam, 2; got 3"),
        ({"nbest": 0}, "nbest must be from 1 to the beam, 5; got 0"),
        ({"length_penalty": -0.1}, "length_penalty must be a number of at least 0; got -0.1"),
        ({"length_penalty": math.nan}, "at least 0; got nan"),
        ({"max_length": 0}, "max_length must be at least 1; got 0"),
        ({"max_length": torch.tensor([3, 0, 1, 1])}, "max_length must be at least 1; got 0"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], message: str) -> None:
    defaults: dict[str, Any] = {"begin": BEGIN, "end": END, "max_length": 5}
    with pytest.raises(OptionError, match=message):
        beam_search(recurrent(), sources(), LENGTHS, **(defaults | options))


def test_limits_of_another_number_of_sentences_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"shape \(3,\); expected one number or \(4,\)"):
        beam_search(
            recurrent(),
            sources(),
            LENGTHS,
            begin=BEGIN,
            end=END,
            max_length=torch.tensor([1, 2, 3]),
        )
