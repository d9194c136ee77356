"""The choice of the extensions that a beam search goes on with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from heedful.decode.coverage import Coverage
from heedful.decode.extensions import BestExtensions, Extensions
from heedful.decode.hypotheses import ActiveHypotheses, Hypothesis, ranked
from heedful.decode.options import SearchOptions


class Selection(Protocol):
    """Chooses the extensions of each step, and keeps the hypotheses that have ended."""

    width: int | None
    """The best extensions of a hypothesis that it looks at; None: any."""

    def advance(
        self, rows: ActiveHypotheses, extensions: Any, coverage: Coverage | None
    ) -> tuple[ActiveHypotheses, Tensor]:
        """Extend hypotheses by one token; return the active ones and the index of each one's parent row."""
        ...

    def results(self) -> list[list[Hypothesis]]:
        """Return the hypotheses of each sentence, best first."""
        ...


class Results:
    """Finished and truncated hypotheses of each sentence.

    Args:
        options: say how a hypothesis is scored, and how many are returned.
        limits: maximum tokens of each sentence.
    """

    def __init__(self, options: SearchOptions, limits: Sequence[int]):
        self.options, self.limits = options, limits
        self.done: list[list[Hypothesis]] = [[] for _ in limits]
        self.truncated: list[list[Hypothesis]] = [[] for _ in limits]

    def keep(self, sentence: int, hypothesis: Hypothesis) -> None:
        """Add a hypothesis that is not extended any further."""
        kept = self.done if hypothesis.finished else self.truncated
        kept[sentence].append(hypothesis)

    def can_win(self, sentence: int, score: float) -> bool:
        """Whether an active hypothesis with this log-probability can still enter the n best."""
        done, nbest = self.done[sentence], self.options.nbest
        if len(done) < nbest:
            return True
        reachable = score / self.options.divisor(self.limits[sentence])
        worst = sorted((hypothesis.score for hypothesis in done), reverse=True)[nbest - 1]
        return reachable > worst

    def best(self) -> list[list[Hypothesis]]:
        """Return the n best hypotheses of each sentence."""
        return [
            (_sorted(done) + _sorted(truncated))[: self.options.nbest]
            for done, truncated in zip(self.done, self.truncated, strict=True)
        ]


def _sorted(hypotheses: list[Hypothesis]) -> list[Hypothesis]:
    return sorted(hypotheses, key=lambda hypothesis: -hypothesis.score)


class BeamSelection:
    """Keeps the best extensions of each sentence, one for each slot of the beam that has not finished.

    Args:
        end: id of the end token.
        options: the width of the beam, and how a hypothesis is scored.
        limits: maximum tokens of each sentence.
    """

    def __init__(self, end: int, options: SearchOptions, limits: list[int]):
        self.end, self.beam = end, options.beam
        self.width: int | None = options.beam
        self.kept = Results(options, limits)

    def results(self) -> list[list[Hypothesis]]:
        """Return the n best hypotheses of each sentence."""
        return self.kept.best()

    def advance(
        self, rows: ActiveHypotheses, extensions: Any, coverage: Coverage | None
    ) -> tuple[ActiveHypotheses, Tensor]:
        """Extend every active row by one token; return the active rows and the index of each one's parent row."""
        sentences, parents, tokens, scores = self.choose(rows, extensions)
        divisor = self.kept.options.divisor(rows.length + 1)
        penalties = None if coverage is None else coverage.penalties()[parents].tolist()
        # Plain Python from here: rows are few and the decision differs by sentence.
        active: list[int] = []
        unfinished: dict[int, list[int]] = {}
        values, last = scores.tolist(), tokens.tolist()
        final = [value / divisor for value in values]
        if penalties is not None:
            final = [score + penalty for score, penalty in zip(final, penalties, strict=True)]
        for number, (sentence, token) in enumerate(zip(sentences.tolist(), last, strict=True)):
            if token == self.end:
                tokens_so_far = rows.tokens[parents[number], 1:].tolist()
                self.kept.keep(sentence, Hypothesis(tokens_so_far, final[number]))
            else:
                unfinished.setdefault(sentence, []).append(number)
        for sentence, numbers in unfinished.items():
            if rows.length + 1 >= self.kept.limits[sentence]:
                for number in numbers:
                    whole = [*rows.tokens[parents[number], 1:].tolist(), last[number]]
                    self.kept.keep(sentence, Hypothesis(whole, final[number], finished=False))
            elif self.kept.can_win(sentence, max(values[number] for number in numbers)):
                active.extend(numbers)
        chosen = torch.tensor(active, dtype=torch.long, device=parents.device)
        parents = parents[chosen]
        extended = torch.cat([rows.tokens[parents], tokens[chosen].unsqueeze(1)], dim=1)
        return ranked(sentences[chosen], extended, scores[chosen]), parents

    def choose(
        self, rows: ActiveHypotheses, extensions: Extensions | BestExtensions
    ) -> tuple[Tensor, ...]:
        """Return the best extensions of each sentence, one per free slot: flat, best first.

        Returns:
            sentences, parents (rows), tokens and scores of the extensions, (chosen,) each.
        """
        best, choice = extensions.best(self.beam)
        if self.beam == 1:
            return _only(rows, best[:, 0], choice[:, 0])
        width = best.shape[1]
        present, group = torch.unique_consecutive(rows.sentence, return_inverse=True)
        table = best.new_full((present.shape[0], self.beam, width), -math.inf)
        table[group, rows.rank] = rows.scores.unsqueeze(1) + best
        row_at = rows.sentence.new_zeros(present.shape[0], self.beam)
        row_at[group, rows.rank] = torch.arange(group.shape[0], device=group.device)
        scores, where = table.flatten(1).topk(min(self.beam, self.beam * width), dim=1)
        parents = row_at.gather(1, where // width)
        tokens = choice[parents, where % width]
        free = [self.beam - len(self.kept.done[sentence]) for sentence in present.tolist()]
        ranks = torch.arange(scores.shape[1], device=scores.device)
        keep = (ranks < torch.tensor(free, device=scores.device).unsqueeze(1)) & scores.isfinite()
        sentences = present.unsqueeze(1).expand_as(keep)
        return sentences[keep], parents[keep], tokens[keep], scores[keep]


def _only(rows: ActiveHypotheses, values: Tensor, tokens: Tensor) -> tuple[Tensor, ...]:
    """Return the best extension of each hypothesis, which is the only one of its sentence."""
    scores = rows.scores + values
    parents = torch.arange(len(tokens), device=tokens.device)
    keep = scores.isfinite()
    if bool(keep.all()):
        return rows.sentence, parents, tokens, scores
    return rows.sentence[keep], parents[keep], tokens[keep], scores[keep]
