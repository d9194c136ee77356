"""Each option of a search against enumeration of all outputs of small models."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from heedful.decode import Guidance, Hypothesis, Sampling, SearchOptions, beam_search, score_tokens
from heedful.decode.banned import BannedPhrases
from heedful.decode.extensions import top_k
from heedful.decode.required import matched
from heedful.decode.sampling import draw
from heedful.errors import OptionError, ShapeError
from heedful.models import EncoderDecoder
from tests.decode.test_beam import BEGIN, END, LENGTHS, MODELS, VOCABULARY, recurrent, sources

LIMIT = 5
EXHAUSTIVE = 400
"""A beam of this width keeps every output of up to `LIMIT` tokens."""


def search(
    model: EncoderDecoder[Any], *, guidance: Guidance | None = None, **options: Any
) -> list[list[Hypothesis]]:
    chosen = SearchOptions(**({"beam": EXHAUSTIVE, "nbest": 8} | options))
    limits = {"begin": BEGIN, "end": END, "max_length": LIMIT}
    guidance = guidance or Guidance()
    return beam_search(model, sources(), LENGTHS, **limits, options=chosen, guidance=guidance)


@torch.no_grad()
def every_output(
    model: EncoderDecoder[Any], row: int, allowed: Callable[[list[int]], bool] = lambda _: True
) -> list[tuple[float, list[int], Tensor | None]]:
    """Log-probability, tokens and attention (tokens and end, source) of all outputs that are allowed."""
    source, length = sources()[row : row + 1, : LENGTHS[row]], LENGTHS[row : row + 1]
    others = [token for token in range(VOCABULARY) if token != END]
    found = []
    for size in range(LIMIT):
        bodies = [list(body) for body in itertools.product(others, repeat=size)]
        bodies = [body for body in bodies if allowed(body)]
        if not bodies:
            continue
        count = len(bodies)
        target = torch.tensor([[BEGIN, *body] for body in bodies])
        decoded = model(
            source.expand(count, -1),
            length.expand(count),
            target,
            return_weights=model.has_attention,
        )
        values = torch.log_softmax(model.output(decoded.states).float(), dim=-1)
        following = torch.tensor([[*body, END] for body in bodies])
        totals = values.gather(2, following[..., None])[..., 0].sum(dim=1).tolist()
        weights = decoded.weights
        looked = [None] * count
        if weights is not None:
            looked = list(weights[:, model.alignment_layer].mean(dim=1))
        found += zip(totals, bodies, looked, strict=True)
    return found


def assert_best(
    found: list[list[Hypothesis]],
    model: EncoderDecoder[Any],
    score: Callable[[float, int, Tensor | None], float],
    allowed: Callable[[int, list[int]], bool] = lambda *_: True,
) -> None:
    """Compare with the best of all outputs, `score` of log-probability, length with end, and attention."""
    for row, hypotheses in enumerate(found):
        outputs = every_output(model, row, lambda body, row=row: allowed(row, body))
        wanted = sorted(((score(p, len(b) + 1, a), b) for p, b, a in outputs), reverse=True)
        hypotheses = [each for each in hypotheses if each.finished]
        assert hypotheses
        assert [each.tokens for each in hypotheses] == [b for _, b in wanted[: len(hypotheses)]]
        assert [each.score for each in hypotheses] == pytest.approx(
            [s for s, _ in wanted[: len(hypotheses)]], rel=1e-4
        )
        assert len(hypotheses) == min(8, len(wanted))


def total(log_probability: float, length: int, attention: Tensor | None) -> float:
    return log_probability


@pytest.mark.parametrize("alpha", [0.0, 0.6, 2.0])
def test_the_power_of_the_length(alpha: float) -> None:
    model = MODELS["bahdanau"]().eval()
    found = search(model, length_penalty=alpha, length_form="power")
    assert_best(found, model, lambda p, length, _: p / length**alpha)


@pytest.mark.parametrize("name", ["bahdanau", "luong", "transformer"])
@pytest.mark.parametrize("beta", [0.2, 3.0])
def test_the_coverage_penalty(name: str, beta: float) -> None:
    model = MODELS[name]().eval()

    def score(log_probability: float, length: int, attention: Tensor | None) -> float:
        assert attention is not None
        return log_probability + beta * float(attention.sum(dim=0).clamp(max=1).log().sum())

    found = search(model, length_penalty=0.0, coverage_penalty=beta)
    assert_best(found, model, score)


@pytest.mark.parametrize("name", MODELS)
def test_a_shortlist_is_the_vocabulary_of_the_search(name: str) -> None:
    model = MODELS[name]().eval()
    tokens = torch.tensor([1, END, 4])
    found = search(model, guidance=Guidance(tokens=tokens), length_penalty=0.0)
    for row, hypotheses in enumerate(found):
        assert len(hypotheses) == 8
        source, length = sources()[row : row + 1, : LENGTHS[row]], LENGTHS[row : row + 1]
        for each in hypotheses:
            assert set(each.tokens) <= {1, 4}
            target = torch.tensor([[BEGIN, *each.tokens]])
            with torch.no_grad():
                logits = model.output(model(source, length, target).states)[0][:, tokens]
            following = [tokens.tolist().index(token) for token in (*each.tokens, END)]
            values = torch.log_softmax(logits.float(), dim=-1)
            total = values[range(len(following)), following].sum().item()
            if each.finished:
                assert each.score == pytest.approx(total, abs=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_a_shortlist_of_all_tokens_changes_nothing(name: str) -> None:
    model, everything = MODELS[name](), Guidance(tokens=torch.arange(VOCABULARY))
    for options in ({}, {"no_repeat_ngram": 1}, {"sampling": Sampling(seed=3)}):
        found = search(model, guidance=everything, **options)
        wanted = search(model, **options)
        assert [[each.tokens for each in row] for row in found] == [
            [each.tokens for each in row] for row in wanted
        ]


@pytest.mark.parametrize("name", MODELS)
def test_eight_bits_change_scores_a_little(name: str) -> None:
    model = MODELS[name]().float()
    rounded = search(model, int8=True, length_penalty=0.0)
    exact = {
        (row, tuple(each.tokens)): each.score
        for row, found in enumerate(search(model, length_penalty=0.0, nbest=EXHAUSTIVE))
        for each in found
    }
    scores = [
        (each.score, exact[row, tuple(each.tokens)])
        for row, found in enumerate(rounded)
        for each in found
    ]
    differences = [abs(one - other) for one, other in scores]
    assert 0 < max(differences) < 0.2


def test_coverage_needs_attention() -> None:
    with pytest.raises(OptionError, match="coverage_penalty needs attention"):
        search(MODELS["none"](), coverage_penalty=1.0)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_no_repeated_ngrams(size: int) -> None:
    model = MODELS["transformer"]().eval()

    def allowed(_: int, body: list[int]) -> bool:
        found = [tuple(body[n : n + size]) for n in range(len(body) - size + 1)]
        return len(found) == len(set(found)) and (size > 1 or BEGIN not in body)

    found = search(model, length_penalty=0.0, no_repeat_ngram=size)
    assert_best(found, model, total, allowed)


def test_loops_end() -> None:
    """The end never being probable, the best output repeats one token up to the limit, then another."""
    model = recurrent()
    with torch.no_grad():
        model.output_bias[4] = 50.0
        model.output_bias[END] = -50.0
    options: dict[str, Any] = {"begin": BEGIN, "end": END, "max_length": 12}
    source, lengths = sources(), LENGTHS
    chosen = SearchOptions(beam=1, max_repetition=6)
    for (best,) in beam_search(model, source, lengths, **options, options=chosen):
        runs = [len(list(run)) for _, run in itertools.groupby(best.tokens)]
        assert runs == [6, 1, 5]
    chosen = SearchOptions(beam=1, max_repetition=0)
    for (best,) in beam_search(model, source, lengths, **options, options=chosen):
        assert best.tokens == [4] * 12
    assert 0 < SearchOptions().max_repetition < 50


def test_loops_of_several_tokens_end() -> None:
    from heedful.decode.hypotheses import ActiveHypotheses
    from heedful.decode.restrictions import NoLoops

    tokens = torch.tensor(
        [[2, 9, 5, 6, 7, 5, 6, 7, 5, 6, 7, 5, 6, 7], [2, 9, 5, 6, 7, 5, 6, 7, 5, 6, 7, 5, 6, 8]]
    )
    rows = ActiveHypotheses(torch.tensor([0, 0]), torch.tensor([0, 1]), tokens, torch.zeros(2))
    logits = torch.zeros(2, 10)
    NoLoops(12).exclude(logits, rows)
    assert logits.isinf().nonzero().tolist() == [[0, 5]]
    logits = torch.zeros(2, 10)
    NoLoops(13).exclude(logits, rows)
    assert not logits.isinf().any()


def test_a_forced_prefix() -> None:
    model = MODELS["luong"]().eval()
    prefixes = [[4, 0], [], [1], [0, 0, 4]]
    found = search(model, length_penalty=0.0, guidance=Guidance(prefixes=prefixes))

    def allowed(row: int, body: list[int]) -> bool:
        return body[: len(prefixes[row])] == prefixes[row]

    assert_best(found, model, total, allowed)


def test_a_minimum_length() -> None:
    model = MODELS["bahdanau"]().eval()
    least = torch.tensor([0, 1, 3, 4])
    found = search(model, length_penalty=0.0, guidance=Guidance(min_length=least))
    assert_best(found, model, total, lambda row, body: len(body) >= least[row])


def holds(body: list[int], phrase: Sequence[int]) -> bool:
    return any(body[n : n + len(phrase)] == list(phrase) for n in range(len(body)))


@pytest.mark.parametrize("name", ["bahdanau", "transformer"])
def test_required_phrases(name: str) -> None:
    model = MODELS[name]().eval()
    required = [[[4, 4]], [], [[0], [4, 1]], [[1, 1, 4]]]
    found = search(model, length_penalty=0.0, guidance=Guidance(required=required))

    def allowed(row: int, body: list[int]) -> bool:
        return all(holds(body, phrase) for phrase in required[row])

    assert_best(found, model, total, allowed)


def test_required_phrases_are_there_with_a_narrow_beam() -> None:
    model = MODELS["transformer"]().eval()
    required = [[[4, 4]], [[1]], [[0], [4, 1]], [[1, 1, 4]]]
    for beam in (1, 2, 5):
        found = search(model, beam=beam, nbest=1, guidance=Guidance(required=required))
        for phrases, (best,) in zip(required, found, strict=True):
            assert all(holds(best.tokens, phrase) for phrase in phrases)


def test_only_some_tokens_close_a_required_phrase() -> None:
    model = MODELS["bahdanau"]().eval()
    closing = torch.tensor([True, False, False, True, False])
    guidance = Guidance(required=[[[4, 1]]] * 4, closing=closing)
    found = search(model, length_penalty=0.0, guidance=guidance)

    def allowed(_: int, body: list[int]) -> bool:
        if not holds(body, [4, 1]):
            return False
        after = next(n for n in range(len(body)) if body[n : n + 2] == [4, 1]) + 2
        return after == len(body) or bool(closing[body[after]])

    assert_best(found, model, total, allowed)


@pytest.mark.parametrize(
    ("phrases", "message"),
    [
        ([[]], "has no tokens"),
        ([[4] * LIMIT], "of 5 tokens does not fit into an output of at most 5"),
    ],
)
def test_phrases_that_cannot_be_required(phrases: list[list[int]], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        search(recurrent(), guidance=Guidance(required=[phrases] * 4))


def test_progress_through_a_phrase() -> None:
    assert matched([], [4, 5]) == 0
    assert matched([4, 4, 5, 4], [4, 4, 5, 4, 4]) == 4
    assert matched([4, 5, 4], [4, 5, 7]) == 1


TEXTS = [" a", "b", " ab", "ab c", " c"]


@pytest.mark.parametrize("ends_words", [False, True])
@pytest.mark.parametrize("phrase", ["ab", "a", "ab c", "b"])
def test_banned_phrases(phrase: str, ends_words: bool) -> None:
    """Compared by text: an output may not hold the phrase as whole words, however it is spelled."""
    texts = ["a", "b", " ", "", " ab"]
    model = MODELS["bahdanau"]().eval()
    banned = BannedPhrases(texts, END, [phrase], ends_words=ends_words)

    def allowed(_: int, body: list[int]) -> bool:
        text = " " + "".join(texts[token] for token in body)
        for place in range(len(text)):
            if not text.startswith(phrase, place):
                continue
            after = text[place + len(phrase) :][:1]
            begins = place == 0 or not text[place - 1].isalnum()
            if begins and (ends_words or not after.isalnum()):
                return False
        return True

    found = search(model, length_penalty=0.0, guidance=Guidance(restrictions=[banned]))
    assert_best(found, model, total, allowed)


def test_drawn_tokens_have_their_probabilities() -> None:
    torch.manual_seed(0)
    logits = torch.randn(1, 7)
    count = 20_000
    uniform = (torch.arange(count) + 0.5) / count

    def shares(sampling: Sampling) -> Tensor:
        tokens = draw(logits.expand(count, -1), sampling, uniform)
        return torch.bincount(tokens, minlength=7) / count

    whole = torch.softmax(logits[0], dim=0)
    for temperature in (0.5, 1.0, 3.0):
        wanted = torch.softmax(logits[0] / temperature, dim=0)
        got = shares(Sampling(temperature=temperature))
        torch.testing.assert_close(got, wanted, atol=1e-4, rtol=0)
    order = whole.argsort(descending=True)
    kept = torch.zeros(7).index_fill(0, order[:3], 1) * whole
    torch.testing.assert_close(shares(Sampling(top_k=3)), kept / kept.sum(), atol=1e-4, rtol=0)
    # the nucleus: the fewest tokens that reach top_p together
    reach = float(whole[order[:2]].sum())
    for top_p, size in ((reach - 1e-4, 2), (reach + 1e-4, 3), (1e-6, 1)):
        kept = torch.zeros(7).index_fill(0, order[:size], 1) * whole
        got = shares(Sampling(top_p=top_p))
        torch.testing.assert_close(got, kept / kept.sum(), atol=1e-4, rtol=0)


def test_what_is_excluded_is_never_drawn() -> None:
    logits = torch.tensor([[1.0, -math.inf, 0.0, -math.inf]])
    uniform = torch.linspace(0, 1 - 1e-9, 50, dtype=torch.double)
    assert set(draw(logits.expand(50, -1), Sampling(), uniform).tolist()) == {0, 2}


@pytest.mark.parametrize("name", MODELS)
def test_samples(name: str) -> None:
    model = MODELS[name]().eval()
    options: dict[str, Any] = {"beam": 1, "nbest": 3, "length_penalty": 1.0}
    sampled = search(model, sampling=Sampling(seed=1), **options)
    assert sampled == search(model, sampling=Sampling(seed=1), **options)
    assert sampled != search(model, sampling=Sampling(seed=2), **options)
    for row, hypotheses in enumerate(sampled):
        assert len(hypotheses) == 3
        known = {tuple(body): p for p, body, _ in every_output(model, row)}
        for each in hypotheses:
            if each.finished:
                wanted = known[tuple(each.tokens)] / ((5 + len(each.tokens) + 1) / 6)
                assert each.score == pytest.approx(wanted, rel=1e-4)
    cold = search(model, sampling=Sampling(temperature=1e-4), beam=1, nbest=1)
    assert [e[0].tokens for e in cold] == [e[0].tokens for e in search(model, beam=1, nbest=1)]


def test_samples_do_not_depend_on_the_batch() -> None:
    model = MODELS["transformer"]().eval()
    options = SearchOptions(nbest=4, sampling=Sampling(seed=3))
    limits = {"begin": BEGIN, "end": END, "max_length": LIMIT, "options": options}
    together = beam_search(model, sources(), LENGTHS, **limits)
    for row, length in enumerate(LENGTHS.tolist()):
        alone = beam_search(
            model, sources()[row : row + 1, :length], LENGTHS[row : row + 1], **limits
        )
        assert [each.tokens for each in alone[0]] == [each.tokens for each in together[row]]


def test_samples_cannot_be_required_to_hold_phrases() -> None:
    with pytest.raises(OptionError, match="phrases cannot be required of samples"):
        search(recurrent(), sampling=Sampling(), guidance=Guidance(required=[[[4]]] * 4))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"length_form": "gnnt"}, "did you mean 'gnmt'"),
        ({"coverage_penalty": -1.0}, "coverage_penalty must be a number of at least 0; got -1.0"),
        ({"no_repeat_ngram": -1}, "no_repeat_ngram must be at least 0; got -1"),
        ({"max_repetition": -1}, "max_repetition must be at least 0; got -1"),
    ],
)
def test_wrong_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        SearchOptions(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0.0}, "temperature must be a number above 0; got 0.0"),
        ({"temperature": math.inf}, "temperature must be a number above 0; got inf"),
        ({"top_k": -1}, "top_k must be at least 0; got -1"),
        ({"top_p": 0.0}, "top_p must be above 0 and at most 1; got 0.0"),
        ({"seed": -1}, "seed must be at least 0; got -1"),
    ],
)
def test_wrong_sampling(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Sampling(**options)


@pytest.mark.parametrize("columns", [1, 63, 64, 200, 1000, 10_001])
@pytest.mark.parametrize("width", [1, 2, 5, 9])
def test_the_largest_of_each_row(columns: int, width: int) -> None:
    values = torch.randn(7, columns, generator=torch.Generator().manual_seed(columns))
    if columns > width:
        values[3, ::2] = -math.inf
    width = min(width, columns)
    wanted, places = values.topk(width, dim=1)
    got, columns_of = top_k(values, width)
    assert torch.equal(got, wanted)
    assert torch.equal(values.gather(1, columns_of), wanted)
    assert torch.equal(columns_of[:3], places[:3])


@pytest.mark.parametrize("name", MODELS)
def test_given_outputs_are_scored(name: str) -> None:
    model = MODELS[name]().eval()
    target = torch.tensor(
        [[BEGIN, 4, 0, END], [BEGIN, END, 0, 0], [BEGIN, 1, END, 0], [BEGIN, 4, 4, END]]
    )
    lengths = torch.tensor([4, 2, 3, 4])
    scores = score_tokens(model, sources(), LENGTHS, target, lengths)
    for row, length in enumerate(lengths.tolist()):
        known = {tuple(body): p for p, body, _ in every_output(model, row)}
        assert float(scores[row].sum()) == pytest.approx(
            known[tuple(target[row, 1 : length - 1].tolist())], rel=1e-4
        )
        assert (scores[row, length - 1 :] == 0).all()
    with pytest.raises(ShapeError, match=r"expected \(4, 2 or more\)"):
        score_tokens(model, sources(), LENGTHS, target[:2], lengths[:2])
