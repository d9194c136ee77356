"""Metrics of generated replies: perplexity beside simpler models, and variety beside that of people."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from heedful.answers.base import Rows
from heedful.data.words import words


class Variety(NamedTuple):
    """How varied texts are."""

    distinct_1: float
    """Distinct words over all words."""
    distinct_2: float
    """Distinct pairs of neighbouring words over all pairs (Li et al. 2016, https://aclanthology.org/N16-1014)."""
    texts: float
    """Distinct texts over all texts."""


def variety(texts: Sequence[str]) -> Variety:
    """Return how varied texts are, in lower case; it falls with the number of texts, so compare equal numbers.

    >>> variety(["I don't know", "I don't know"]).texts
    0.5
    """
    split = [words(text.lower()) for text in texts]
    singles = [word for each in split for word in each]
    pairs = [pair for each in split for pair in itertools.pairwise(each)]
    return Variety(
        len(set(singles)) / max(1, len(singles)),
        len(set(pairs)) / max(1, len(pairs)),
        len(set(map(tuple, split))) / max(1, len(split)),
    )


@dataclass(frozen=True, kw_only=True)
class Losses:
    """Negative log-probability of the true replies, summed."""

    model: float
    unigrams: float
    bigrams: float
    tokens: int
    """Predicted, with the end of each reply."""
    words: int
    """Words of the replies, with the end of each, which are the same whatever the vocabulary is."""


def perplexity(loss: float, count: int) -> float:
    """Return exp(loss / count); infinity where that is too large.

    >>> round(perplexity(6.9314718, 10), 3)
    2.0
    """
    try:
        return math.exp(loss / max(1, count))
    except OverflowError:
        return math.inf


@dataclass(frozen=True, kw_only=True)
class ReplyScores:
    """Perplexity of the true replies, and what the generated ones are like."""

    replies: int
    perplexity: float
    """A token."""
    unigram_perplexity: float
    bigram_perplexity: float
    word_perplexity: float
    unigram_word_perplexity: float
    bigram_word_perplexity: float
    distinct_1: float
    distinct_2: float
    distinct_replies: float
    people_distinct_1: float
    people_distinct_2: float
    people_distinct_replies: float
    bleu: float
    bleu_signature: str

    @classmethod
    def of(
        cls, losses: Losses, generated: Sequence[str], people: Sequence[str], *, lowercase: bool
    ) -> ReplyScores:
        """Compute the metrics."""
        from sacrebleu.metrics import BLEU

        own, theirs = variety(generated), variety(people)
        bleu = BLEU(lowercase=lowercase, force=True)
        corpus = bleu.corpus_score(list(generated), [list(people)])
        per_token, per_word = (
            [perplexity(each, count) for each in (losses.model, losses.unigrams, losses.bigrams)]
            for count in (losses.tokens, losses.words)
        )
        return cls(
            replies=len(people),
            perplexity=per_token[0], unigram_perplexity=per_token[1], bigram_perplexity=per_token[2],
            word_perplexity=per_word[0], unigram_word_perplexity=per_word[1],
            bigram_word_perplexity=per_word[2],
            distinct_1=own.distinct_1, distinct_2=own.distinct_2, distinct_replies=own.texts,
            people_distinct_1=theirs.distinct_1, people_distinct_2=theirs.distinct_2,
            people_distinct_replies=theirs.texts,
            bleu=corpus.score, bleu_signature=str(bleu.get_signature()),
        )  # fmt: skip

    def tables(self) -> list[Rows]:
        """Return the display tables."""
        losses = [
            ["perplexity of the true replies", "a token", "a word"],
            ["the model", f"{self.perplexity:.2f}", f"{self.word_perplexity:.2f}"],
            ["bigrams", f"{self.bigram_perplexity:.2f}", f"{self.bigram_word_perplexity:.2f}"],
            ["unigrams", f"{self.unigram_perplexity:.2f}", f"{self.unigram_word_perplexity:.2f}"],
        ]
        varieties = [
            ["variety", "the model", "people"],
            ["distinct words", f"{self.distinct_1:.4f}", f"{self.people_distinct_1:.4f}"],
            ["distinct pairs of words", f"{self.distinct_2:.4f}", f"{self.people_distinct_2:.4f}"],
            ["distinct replies", f"{self.distinct_replies:.4f}",
             f"{self.people_distinct_replies:.4f}"],
        ]  # fmt: skip
        bleu = [
            [
                "BLEU",
                f"{self.bleu:.2f}",
                "to the one reply that was given; as good a reply in other words scores 0",
            ]
        ]
        return [losses, varieties, bleu]
