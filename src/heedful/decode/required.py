"""Beam search for outputs that hold given phrases."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from heedful.decode.hypotheses import ActiveHypotheses
from heedful.decode.options import SearchOptions
from heedful.decode.selection import BeamSelection
from heedful.errors import OptionError


def matched(tokens: Sequence[int], phrase: Sequence[int]) -> int:
    """Return how many tokens of a phrase the end of `tokens` has matched; all of them once it has occurred anywhere.

    >>> matched([7, 5, 5, 6], [5, 6, 8]), matched([5, 6, 8, 9], [5, 6, 8])
    (2, 3)
    """
    whole, size = list(tokens), len(phrase)
    wanted = list(phrase)
    if any(whole[start : start + size] == wanted for start in range(len(whole) - size + 1)):
        return size
    return next(
        (n for n in range(size - 1, 0, -1) if whole[-n:] == wanted[:n]),
        0,
    )


@dataclass(frozen=True)
class _Candidate:
    """An extension of a hypothesis."""

    score: float
    row: int
    token: int
    matched: int
    """Tokens of the phrases that are matched after it."""


class RequiredSelection(BeamSelection):
    """Keeps hypotheses that have matched few tokens of the phrases beside those that have matched many.

    The slots of a sentence's beam, one more for each token of its phrases, are divided evenly among the numbers of
    matched tokens (dynamic beam allocation, Post and Vilar 2018, https://arxiv.org/abs/1804.06609). Slots left empty
    go to the best of all others. A hypothesis ends only after it holds all phrases.

    Args:
        end: id of the end token.
        options: the width of the beam, and how a hypothesis is scored.
        limits: maximum tokens of each sentence.
        phrases: of each sentence, as token ids.
        closing: (tokens,), True for tokens that may follow a phrase, such as the beginning of another word.

    Raises:
        OptionError: an empty phrase, or phrases longer than the limit.
    """

    def __init__(
        self,
        end: int,
        options: SearchOptions,
        limits: list[int],
        *,
        phrases: Sequence[Sequence[Sequence[int]]],
        closing: Tensor | None = None,
    ):
        super().__init__(end, options, limits)
        self.width = None
        self.phrases, self.closing = phrases, closing
        for each, limit in zip(phrases, limits, strict=True):
            if not all(each):
                raise OptionError("a required phrase has no tokens; leave it out.")
            if max(map(len, each), default=0) >= limit:
                raise OptionError(
                    f"a required phrase of {max(map(len, each))} tokens does not fit into an output of at most "
                    f"{limit}, its end included; require less, or allow longer outputs."
                )

    def choose(self, rows: ActiveHypotheses, extensions: Any) -> tuple[Tensor, ...]:
        """Return the extensions that each sentence goes on with: flat, best first within a sentence."""
        hypotheses, sentences = rows.tokens[:, 1:].tolist(), rows.sentence.tolist()
        self._exclude(hypotheses, sentences, extensions.logits)
        width = self.beam + max(sum(map(len, each)) for each in self.phrases)
        best, tokens = extensions.best(width)
        totals = (rows.scores[:, None] + best).tolist()
        candidates: dict[int, list[_Candidate]] = {}
        for row, (sentence, hypothesis) in enumerate(zip(sentences, hypotheses, strict=True)):
            found = dict(zip(tokens[row].tolist(), totals[row], strict=True))
            for token in self._wanted(sentence, hypothesis) - found.keys():
                where = torch.tensor([row]), torch.tensor([token])
                found[token] = float(rows.scores[row] + extensions.at(*where)[0])
            candidates.setdefault(sentence, []).extend(
                _Candidate(score, row, token, self._matched(sentence, [*hypothesis, token]))
                for token, score in found.items()
                if math.isfinite(score)
            )
        chosen = [
            (sentence, each)
            for sentence, several in candidates.items()
            for each in self._allocate(sentence, several)
        ]
        device = rows.tokens.device
        columns = [[s, each.row, each.token] for s, each in chosen]
        indices = torch.tensor(columns, dtype=torch.long, device=device).view(len(columns), 3)
        scores = torch.tensor([each.score for _, each in chosen], device=device)
        return indices[:, 0], indices[:, 1], indices[:, 2], scores

    def _matched(self, sentence: int, tokens: Sequence[int]) -> int:
        return sum(matched(tokens, phrase) for phrase in self.phrases[sentence])

    def _wanted(self, sentence: int, tokens: Sequence[int]) -> set[int]:
        """Return the tokens that go on with a phrase."""
        places = ((phrase, matched(tokens, phrase)) for phrase in self.phrases[sentence])
        return {phrase[place] for phrase, place in places if place < len(phrase)}

    def _exclude(
        self, hypotheses: Sequence[list[int]], sentences: Sequence[int], logits: Tensor
    ) -> None:
        """Exclude what would keep a hypothesis from holding its phrases, or from ending them well."""
        for row, (sentence, tokens) in enumerate(zip(sentences, hypotheses, strict=True)):
            phrases = self.phrases[sentence]
            open_phrases = [
                (phrase, place)
                for phrase in phrases
                if (place := matched(tokens, phrase)) < len(phrase)
            ]
            if open_phrases:
                logits[row, self.end] = -math.inf
            needed = sum(len(phrase) - place for phrase, place in open_phrases)
            if needed and len(tokens) + needed >= self.kept.limits[sentence] - 1:
                begun = [each for each in open_phrases if each[1]] or open_phrases
                _keep_only(logits[row], {phrase[place] for phrase, place in begun})
            completed = any(
                tokens[-len(phrase) :] == list(phrase)
                and matched(tokens[:-1], phrase) < len(phrase)
                for phrase in phrases
            )
            if completed and self.closing is not None:
                logits[row, ~self.closing.to(logits.device)] = -math.inf

    def _allocate(self, sentence: int, candidates: list[_Candidate]) -> list[_Candidate]:
        """Divide the slots of a sentence among the numbers of matched tokens."""
        done = len(self.kept.done[sentence])
        if done >= self.beam:
            return []
        needed = sum(map(len, self.phrases[sentence]))
        slots = self.beam + needed - done
        each = max(1, slots // (needed + 1))
        candidates.sort(key=lambda candidate: -candidate.score)
        in_order = sorted(candidates, key=lambda candidate: -candidate.matched)
        first: list[_Candidate] = []
        for _, group in itertools.groupby(in_order, key=lambda candidate: candidate.matched):
            first += itertools.islice(group, each)
        first = first[:slots]
        taken = {(candidate.row, candidate.token) for candidate in first}
        others = [each for each in candidates if (each.row, each.token) not in taken]
        chosen = first + others[: slots - len(first)]
        return sorted(chosen, key=lambda candidate: -candidate.score)


def _keep_only(logits: Tensor, tokens: set[int]) -> None:
    """Exclude all other tokens of one row, in place."""
    kept = sorted(tokens)
    values = logits[kept]
    logits[:] = -math.inf
    logits[kept] = values
