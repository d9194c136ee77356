"""Beam search over any encoder–decoder, many sentences at once."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from heedful.decode.evaluating import evaluating
from heedful.errors import OptionError, ShapeError
from heedful.models.base import DecoderState, EncoderDecoder


@dataclass(frozen=True)
class Hypothesis:
    """One decoded sequence."""

    tokens: list[int]
    """Token ids without the begin and end tokens."""
    score: float
    """Sum of the tokens' log-probabilities (the end token's too) divided by the length penalty."""
    finished: bool = True
    """Whether the end token was reached; False when `max_length` cut the sequence."""


def length_penalty_factor(length: int, alpha: float) -> float:
    """lp(y) = ((5 + |y|) / 6)^α, by which a hypothesis' log-probability is divided (Wu et al. 2016, eq. 14).

    |y| counts the end token. α = 0 leaves the log-probability as it is; a larger α favours longer outputs.

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

    At each step every kept hypothesis of a sentence is lengthened by its best tokens, and the best of all of
    them stay, `beam` in all; one that ends keeps its place among the `beam` and is lengthened no more. A
    sentence is done when all its places have ended, or when no unfinished one can still enter the n best:
    log-probabilities only fall, so log p / lp(max_length) is the most that it can reach. With `beam=1` this is
    the greedy loop. The same input gives the same output; the model is put in evaluation mode for the search.

    Args:
        model: any encoder–decoder; `start`, `step`, `output` and the state's `select` are what is used.
        source: token ids (batch, source), padded on the right.
        source_lengths: (batch,).
        begin: id of the token that a target starts with.
        end: id of the token that a target ends with.
        beam: hypotheses kept for a sentence.
        length_penalty: α of `length_penalty_factor`.
        max_length: most tokens of a hypothesis, the end token counted; one number, or one a sentence (batch,).
        nbest: hypotheses returned for a sentence, at most `beam`.

    Returns:
        For each sentence its hypotheses, at least one and at most `nbest`: finished ones by falling score, and
        only where they are too few also those cut at `max_length`, by falling score.

    Raises:
        ShapeError: `max_length` has neither one number nor one for each sentence.
        OptionError: `beam` or `max_length` below 1, `nbest` outside 1 to `beam`, a negative `length_penalty`.

    References:
        Sutskever et al. 2014, "Sequence to Sequence Learning with Neural Networks", section 3.2;
        Wu et al. 2016, "Google's Neural Machine Translation System", section 7.

    >>> from heedful.models import RecurrentConfig, RecurrentEncoderDecoder
    >>> model = RecurrentEncoderDecoder(RecurrentConfig(embedding=8, hidden=8), 20, 20)
    >>> source, lengths = torch.tensor([[4, 5, 6], [7, 8, 0]]), torch.tensor([3, 2])
    >>> found = beam_search(model, source, lengths, begin=2, end=3, beam=4, max_length=6, nbest=2)
    >>> [len(hypotheses) for hypotheses in found]
    [2, 2]
    """
    limits = torch.as_tensor(max_length)
    if limits.dim() > 0 and limits.shape != source.shape[:1]:
        wanted = f"one number or ({source.shape[0]},), one a sentence"
        raise ShapeError(f"max_length has shape {tuple(limits.shape)}; wanted {wanted}.")
    limits = limits.expand(source.shape[0])
    _check(beam, nbest, length_penalty, limits)
    if source.shape[0] == 0:
        return []
    search = _Search(end, beam, length_penalty, nbest, limits.tolist())
    with evaluating(model), torch.inference_mode():
        state = model.start(source, source_lengths)
        rows = _Rows.first(source.shape[0], begin, source.device)
        while True:
            states, state = model.step(rows.tokens[:, -1], state)
            log_probabilities = torch.log_softmax(model.output(states).float(), dim=-1)
            rows, parents = search.advance(rows, log_probabilities)
            if parents.numel() == 0:
                return search.results()
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
class _Rows:
    """The unfinished hypotheses of all sentences, sentence after sentence, best first."""

    sentence: Tensor
    """(rows,) which sentence of the batch a row belongs to; never falls."""
    place: Tensor
    """(rows,) the row's place among its sentence's."""
    tokens: Tensor
    """(rows, length), the begin token first."""
    scores: Tensor
    """(rows,) sums of log-probabilities."""

    @classmethod
    def first(cls, sentences: int, begin: int, device: torch.device) -> _Rows:
        """One row a sentence, holding the begin token alone."""
        return cls(
            torch.arange(sentences, device=device),
            torch.zeros(sentences, dtype=torch.long, device=device),
            torch.full((sentences, 1), begin, dtype=torch.long, device=device),
            torch.zeros(sentences, device=device),
        )


@dataclass
class _Search:
    """What has ended so far, and the rule by which rows go on."""

    end: int
    beam: int
    alpha: float
    nbest: int
    limits: list[int]
    ended: list[list[Hypothesis]] = field(init=False)
    cut: list[list[Hypothesis]] = field(init=False)

    def __post_init__(self) -> None:
        self.ended = [[] for _ in self.limits]
        self.cut = [[] for _ in self.limits]

    def advance(self, rows: _Rows, log_probabilities: Tensor) -> tuple[_Rows, Tensor]:
        """Lengthen every row by one token; return the rows that go on and the rows they come from."""
        sentences, parents, tokens, scores = self._best(rows, log_probabilities)
        length = rows.tokens.shape[1]
        factor = length_penalty_factor(length, self.alpha)
        # Python from here: the rows are few, and what is decided differs sentence by sentence.
        going: list[int] = []
        unended: dict[int, list[int]] = {}
        values = scores.tolist()
        for number, (sentence, token) in enumerate(
            zip(sentences.tolist(), tokens.tolist(), strict=True)
        ):
            if token == self.end:
                found = rows.tokens[parents[number], 1:].tolist()
                self.ended[sentence].append(Hypothesis(found, values[number] / factor))
            else:
                unended.setdefault(sentence, []).append(number)
        for sentence, numbers in unended.items():
            if length >= self.limits[sentence]:
                self.cut[sentence] = [
                    Hypothesis(
                        [*rows.tokens[parents[number], 1:].tolist(), int(tokens[number])],
                        values[number] / factor,
                        finished=False,
                    )
                    for number in numbers
                ]
            elif self._can_win(sentence, values[numbers[0]]):
                going.extend(numbers)
        chosen = torch.tensor(going, dtype=torch.long, device=parents.device)
        return self._next(rows, sentences, parents, tokens, scores, chosen), parents[chosen]

    def _best(self, rows: _Rows, log_probabilities: Tensor) -> tuple[Tensor, ...]:
        """The best continuations of each sentence, as many as it has places left: flat, best first."""
        width = min(self.beam, log_probabilities.shape[1])
        best, choice = log_probabilities.topk(width, dim=1)
        present, group = torch.unique_consecutive(rows.sentence, return_inverse=True)
        table = best.new_full((present.shape[0], self.beam, width), -math.inf)
        table[group, rows.place] = rows.scores.unsqueeze(1) + best
        row_at = rows.sentence.new_zeros(present.shape[0], self.beam)
        row_at[group, rows.place] = torch.arange(group.shape[0], device=group.device)
        scores, where = table.flatten(1).topk(min(self.beam, self.beam * width), dim=1)
        parents = row_at.gather(1, where // width)
        tokens = choice[parents, where % width]
        left = [self.beam - len(self.ended[sentence]) for sentence in present.tolist()]
        ranks = torch.arange(scores.shape[1], device=scores.device)
        keep = (ranks < torch.tensor(left, device=scores.device).unsqueeze(1)) & scores.isfinite()
        sentences = present.unsqueeze(1).expand_as(keep)
        return sentences[keep], parents[keep], tokens[keep], scores[keep]

    def _can_win(self, sentence: int, score: float) -> bool:
        """Whether an unfinished hypothesis with this sum can still enter the n best."""
        ended = self.ended[sentence]
        if len(ended) < self.nbest:
            return True
        reachable = score / length_penalty_factor(self.limits[sentence], self.alpha)
        worst = sorted((hypothesis.score for hypothesis in ended), reverse=True)[self.nbest - 1]
        return reachable > worst

    @staticmethod
    def _next(
        rows: _Rows,
        sentences: Tensor,
        parents: Tensor,
        tokens: Tensor,
        scores: Tensor,
        chosen: Tensor,
    ) -> _Rows:
        sentence = sentences[chosen]
        # A row's place is its distance from the first row of its sentence.
        place = torch.arange(chosen.shape[0], device=chosen.device)
        place = place - torch.searchsorted(sentence, sentence)
        grown = torch.cat([rows.tokens[parents[chosen]], tokens[chosen].unsqueeze(1)], dim=1)
        return _Rows(sentence, place, grown, scores[chosen])

    def results(self) -> list[list[Hypothesis]]:
        """The n best of each sentence."""
        return [
            (_sorted(ended) + _sorted(cut))[: self.nbest]
            for ended, cut in zip(self.ended, self.cut, strict=True)
        ]


def _sorted(hypotheses: list[Hypothesis]) -> list[Hypothesis]:
    return sorted(hypotheses, key=lambda hypothesis: -hypothesis.score)
