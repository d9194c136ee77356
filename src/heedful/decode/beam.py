"""Batched beam search over any encoder–decoder."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, Self

import torch
from torch import Tensor

from heedful.decode.evaluation_mode import evaluation_mode
from heedful.errors import OptionError, ShapeError
from heedful.models.base import DecoderState, EncoderDecoder, TextDecoder


@dataclass(frozen=True)
class Hypothesis:
    """One decoded sequence."""

    tokens: list[int]
    """Token ids without the begin and end tokens."""
    score: float
    """Sum of the tokens' log-probabilities (the end token's too) divided by the length penalty."""
    finished: bool = True
    """Whether the sequence ended with the end token; False if `max_length` truncated it."""


def length_penalty_factor(length: int, alpha: float) -> float:
    """lp(y) = ((5 + |y|) / 6)^α, the divisor of a hypothesis' log-probability (Wu et al. 2016, eq. 14).

    |y| includes the end token. α = 0 is no penalty; a larger α favours longer outputs.

    >>> length_penalty_factor(7, 1.0)
    2.0
    """
    return float(((5 + length) / 6) ** alpha)


def beam_search(
    model: EncoderDecoder[DecoderState],
    source: Tensor,
    source_lengths: Tensor,
    *,
    begin: int,
    end: int,
    beam: int = 5,
    length_penalty: float = 1.0,
    max_length: int | Tensor,
    nbest: int = 1,
) -> list[list[Hypothesis]]:
    """Search for the target sequences of highest score, s(y) = log p(y | x) / lp(y).

    Each step extends every active hypothesis of a sentence by its best tokens and keeps the best of all
    extensions, `beam` per sentence. A finished hypothesis keeps its slot in the beam. The search for a sentence
    ends when all slots are finished, or when no active hypothesis can still enter the n best: log-probabilities
    only decrease, so log p / lp(max_length) bounds its score. `beam=1` is greedy search. The search is
    deterministic and runs the model in evaluation mode.

    Args:
        model: any encoder–decoder; the search calls `start`, `step`, `output` and the state's `select`.
        source: token ids (batch, source), padded on the right.
        source_lengths: (batch,).
        begin: id of the begin token.
        end: id of the end token.
        beam: hypotheses per sentence.
        length_penalty: α of `length_penalty_factor`.
        max_length: maximum tokens of a hypothesis, with the end token; one number, or one per sentence (batch,).
        nbest: maximum hypotheses returned per sentence, at most `beam`.

    Returns:
        For each sentence 1 to `nbest` hypotheses: finished ones by descending score, then, if these are too few,
        those truncated at `max_length`, by descending score.

    Raises:
        ShapeError: `max_length` is neither one number nor one per sentence.
        OptionError: `beam` or `max_length` below 1, `nbest` outside 1 to `beam`, a negative `length_penalty`.

    References:
        Sutskever et al. 2014, "Sequence to Sequence Learning with Neural Networks", section 3.2;
        Wu et al. 2016, "Google's Neural Machine Translation System", section 7.

    >>> from heedful.models import RecurrentConfig, RecurrentEncoderDecoder
    >>> model = RecurrentEncoderDecoder(RecurrentConfig(embedding=8, hidden=8), 20, 20)
    >>> source, lengths = torch.tensor([[4, 5, 6], [7, 8, 0]]), torch.tensor([3, 2])
    >>> nbest = beam_search(model, source, lengths, begin=2, end=3, beam=4, max_length=6, nbest=2)
    >>> [len(hypotheses) for hypotheses in nbest]
    [2, 2]
    """
    return search(
        model,
        lambda: model.start(source, source_lengths),
        source.shape[0],
        begin=begin,
        end=end,
        beam=beam,
        length_penalty=length_penalty,
        max_length=max_length,
        nbest=nbest,
    )


class Rescorer(Protocol):
    """Further scores of the extensions of active hypotheses, such as those of CTC."""

    def combine(self, log_probabilities: Tensor) -> Tensor:
        """Return the scores of all extensions, (rows, tokens), from the decoder's log-probabilities of them.

        They are at most 0, since the search ends early by that.
        """
        ...

    def extend(self, rows: Tensor, tokens: Tensor) -> Self:
        """Return the scores of the hypotheses `rows` (chosen,), each extended by one of `tokens` (chosen,)."""
        ...


def search(
    decoder: TextDecoder[DecoderState],
    start: Callable[[], DecoderState],
    sequences: int,
    *,
    begin: int,
    end: int,
    beam: int,
    length_penalty: float,
    max_length: int | Tensor,
    nbest: int,
    rescorer: Rescorer | None = None,
) -> list[list[Hypothesis]]:
    """Search as `beam_search` does, from any first decoder state.

    Args:
        decoder: any decoder.
        start: returns its first state, a row for each sequence.
        sequences: their number.
        begin, end, beam, length_penalty, max_length, nbest: as for `beam_search`.
        rescorer: combines the log-probabilities of each step with others; None: they are as they are.

    Raises:
        ShapeError, OptionError: as `beam_search`.
    """
    limits = torch.as_tensor(max_length)
    if limits.dim() > 0 and limits.shape != (sequences,):
        expected = f"one number or ({sequences},), one per sentence"
        raise ShapeError(f"max_length has shape {tuple(limits.shape)}; expected {expected}.")
    limits = limits.expand(sequences)
    _check(beam, nbest, length_penalty, limits)
    if not sequences:
        return []
    selection = _Search(end, beam, length_penalty, nbest, limits.tolist())
    with evaluation_mode(decoder), torch.inference_mode():
        state = start()
        device = decoder.target_embedding.weight.device
        rows = _ActiveHypotheses.first(sequences, begin, device)
        while True:
            states, state = decoder.step(rows.tokens[:, -1], state)
            scores = torch.log_softmax(decoder.output(states).float(), dim=-1)
            if rescorer is not None:
                scores = rescorer.combine(scores)
            rows, parents = selection.advance(rows, scores)
            if parents.numel() == 0:
                return selection.results()
            if rescorer is not None:
                rescorer = rescorer.extend(parents, rows.tokens[:, -1])
            if parents.numel() != states.shape[0] or not _is_identity(parents):
                state = state.select(parents)


def _check(beam: int, nbest: int, length_penalty: float, limits: Tensor) -> None:
    if beam < 1:
        raise OptionError(f"beam must be at least 1; got {beam}.")
    if not 1 <= nbest <= beam:
        raise OptionError(f"nbest must be from 1 to the beam, {beam}; got {nbest}.")
    if not (length_penalty >= 0 and math.isfinite(length_penalty)):
        raise OptionError(f"length_penalty must be a number of at least 0; got {length_penalty}.")
    if limits.numel() and int(limits.min()) < 1:
        raise OptionError(f"max_length must be at least 1; got {int(limits.min())}.")


def _is_identity(index: Tensor) -> bool:
    return torch.equal(index, torch.arange(index.shape[0], device=index.device))


@dataclass(frozen=True)
class _ActiveHypotheses:
    """The active hypotheses of all sentences, in the order of the sentences, best first."""

    sentence: Tensor
    """(rows,) index of the row's sentence in the batch; non-decreasing."""
    rank: Tensor
    """(rows,) index of the row within its sentence."""
    tokens: Tensor
    """(rows, length), the begin token first."""
    scores: Tensor
    """(rows,) sums of log-probabilities."""

    @classmethod
    def first(cls, sentences: int, begin: int, device: torch.device) -> _ActiveHypotheses:
        """Return one row per sentence with only the begin token."""
        return cls(
            torch.arange(sentences, device=device),
            torch.zeros(sentences, dtype=torch.long, device=device),
            torch.full((sentences, 1), begin, dtype=torch.long, device=device),
            torch.zeros(sentences, device=device),
        )


@dataclass
class _Search:
    """Finished and truncated hypotheses, and the selection of the next active ones."""

    end: int
    beam: int
    alpha: float
    nbest: int
    limits: list[int]
    done: list[list[Hypothesis]] = field(init=False)
    truncated: list[list[Hypothesis]] = field(init=False)

    def __post_init__(self) -> None:
        self.done = [[] for _ in self.limits]
        self.truncated = [[] for _ in self.limits]

    def advance(
        self, rows: _ActiveHypotheses, log_probabilities: Tensor
    ) -> tuple[_ActiveHypotheses, Tensor]:
        """Extend every row by one token; return the active rows and the index of each one's parent row."""
        sentences, parents, tokens, scores = self._best(rows, log_probabilities)
        length = rows.tokens.shape[1]
        factor = length_penalty_factor(length, self.alpha)
        # Plain Python from here: rows are few and the decision differs by sentence.
        active: list[int] = []
        unfinished: dict[int, list[int]] = {}
        values = scores.tolist()
        for number, (sentence, token) in enumerate(
            zip(sentences.tolist(), tokens.tolist(), strict=True)
        ):
            if token == self.end:
                finished = rows.tokens[parents[number], 1:].tolist()
                self.done[sentence].append(Hypothesis(finished, values[number] / factor))
            else:
                unfinished.setdefault(sentence, []).append(number)
        for sentence, numbers in unfinished.items():
            if length >= self.limits[sentence]:
                self.truncated[sentence] = [
                    Hypothesis(
                        [*rows.tokens[parents[number], 1:].tolist(), int(tokens[number])],
                        values[number] / factor,
                        finished=False,
                    )
                    for number in numbers
                ]
            elif self._can_win(sentence, values[numbers[0]]):
                active.extend(numbers)
        chosen = torch.tensor(active, dtype=torch.long, device=parents.device)
        return self._next(rows, sentences, parents, tokens, scores, chosen), parents[chosen]

    def _best(self, rows: _ActiveHypotheses, log_probabilities: Tensor) -> tuple[Tensor, ...]:
        """Return the best extensions of each sentence, one per free slot: flat, best first."""
        width = min(self.beam, log_probabilities.shape[1])
        best, choice = log_probabilities.topk(width, dim=1)
        present, group = torch.unique_consecutive(rows.sentence, return_inverse=True)
        table = best.new_full((present.shape[0], self.beam, width), -math.inf)
        table[group, rows.rank] = rows.scores.unsqueeze(1) + best
        row_at = rows.sentence.new_zeros(present.shape[0], self.beam)
        row_at[group, rows.rank] = torch.arange(group.shape[0], device=group.device)
        scores, where = table.flatten(1).topk(min(self.beam, self.beam * width), dim=1)
        parents = row_at.gather(1, where // width)
        tokens = choice[parents, where % width]
        free = [self.beam - len(self.done[sentence]) for sentence in present.tolist()]
        ranks = torch.arange(scores.shape[1], device=scores.device)
        keep = (ranks < torch.tensor(free, device=scores.device).unsqueeze(1)) & scores.isfinite()
        sentences = present.unsqueeze(1).expand_as(keep)
        return sentences[keep], parents[keep], tokens[keep], scores[keep]

    def _can_win(self, sentence: int, score: float) -> bool:
        """Whether an active hypothesis with this log-probability can still enter the n best."""
        done = self.done[sentence]
        if len(done) < self.nbest:
            return True
        reachable = score / length_penalty_factor(self.limits[sentence], self.alpha)
        worst = sorted((hypothesis.score for hypothesis in done), reverse=True)[self.nbest - 1]
        return reachable > worst

    @staticmethod
    def _next(
        rows: _ActiveHypotheses,
        sentences: Tensor,
        parents: Tensor,
        tokens: Tensor,
        scores: Tensor,
        chosen: Tensor,
    ) -> _ActiveHypotheses:
        sentence = sentences[chosen]
        # Distance from the first row of the sentence.
        rank = torch.arange(chosen.shape[0], device=chosen.device)
        rank = rank - torch.searchsorted(sentence, sentence)
        extended = torch.cat([rows.tokens[parents[chosen]], tokens[chosen].unsqueeze(1)], dim=1)
        return _ActiveHypotheses(sentence, rank, extended, scores[chosen])

    def results(self) -> list[list[Hypothesis]]:
        """Return the n best hypotheses of each sentence."""
        return [
            (_sorted(done) + _sorted(truncated))[: self.nbest]
            for done, truncated in zip(self.done, self.truncated, strict=True)
        ]


def _sorted(hypotheses: list[Hypothesis]) -> list[Hypothesis]:
    return sorted(hypotheses, key=lambda hypothesis: -hypothesis.score)
