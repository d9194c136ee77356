"""Translation metrics with their sacreBLEU signatures."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from operator import eq

import numpy as np
from numpy.typing import NDArray

from heedful.data.words import canonical, words
from heedful.errors import ShapeError


@dataclass(frozen=True, kw_only=True)
class TranslationScores:
    """Corpus BLEU and chrF from 0 to 100; exact match from 0 to 1."""

    bleu: float
    bleu_signature: str
    chrf: float
    chrf_signature: str
    exact_match: float
    bleu_lowercase_tokenized: float
    """BLEU of lower-cased text, as many papers report for Multi30k."""
    bleu_lowercase_tokenized_signature: str


@dataclass(frozen=True, kw_only=True)
class LengthScores:
    """BLEU of the pairs whose source has `shortest` to `longest` words."""

    shortest: int
    longest: int
    pairs: int
    bleu: float


LENGTH_BOUNDS = (8, 11, 14, 18)
"""Maximum source words of each group; the last group has no maximum."""


def score_by_length(
    sources: Sequence[str],
    translations: Sequence[str],
    references: Sequence[str],
    bounds: Sequence[int] = LENGTH_BOUNDS,
    *,
    lowercase: bool = False,
) -> list[LengthScores]:
    """Return BLEU of the pairs grouped by source length in words, shortest first; empty groups are omitted.

    Shows the loss of fixed-size context vectors on long sources (Cho et al. 2014, https://arxiv.org/abs/1409.1259).

    >>> [group] = score_by_length(["a dog runs in snow"], ["x y z u v"], ["x y z u v"], bounds=[5, 9])
    >>> group.shortest, group.longest, group.pairs, round(group.bleu)
    (5, 5, 1, 100)
    """
    from sacrebleu.metrics import BLEU

    groups: list[list[tuple[int, str, str]]] = [[] for _ in range(len(bounds) + 1)]
    for source, translation, reference in zip(sources, translations, references, strict=True):
        length = len(words(source))
        groups[bisect.bisect_left(bounds, length)].append((length, translation, reference))
    return [
        LengthScores(
            shortest=min(length for length, _, _ in group),
            longest=max(length for length, _, _ in group),
            pairs=len(group),
            bleu=BLEU(lowercase=lowercase)
            .corpus_score([each[1] for each in group], [[each[2] for each in group]])
            .score,
        )
        for group in groups
        if group
    ]


def score_translations(
    translations: Sequence[str], references: Sequence[str], *, lowercase: bool = False
) -> TranslationScores:
    """Return BLEU, chrF and exact match of translations against one reference each (sacreBLEU).

    With `lowercase` all are without regard to case, as for a model whose vocabulary is lower-cased, which cannot
    know it; the signatures say so.

    Raises: ShapeError for lists of different lengths, or empty ones.

    >>> scores = score_translations(["a dog runs in the snow"], ["a dog runs in the snow"])
    >>> round(scores.bleu), scores.exact_match
    (100, 1.0)
    """
    from sacrebleu.metrics import BLEU, CHRF

    if len(translations) != len(references) or not references:
        raise ShapeError(
            f"got {len(translations)} translations for {len(references)} references; "
            "expected equal numbers of at least 1"
        )
    bleu, lower, chrf = BLEU(lowercase=lowercase), BLEU(lowercase=True), CHRF(lowercase=lowercase)
    # Translations are in canonical form.
    references = [canonical(each) for each in references]
    reference_sets = [references]
    shown = [text.strip().lower() if lowercase else text.strip() for text in translations]
    wanted = [text.strip().lower() if lowercase else text.strip() for text in references]
    matches = sum(map(eq, shown, wanted))
    return TranslationScores(
        bleu=bleu.corpus_score(translations, reference_sets).score,
        bleu_signature=str(bleu.get_signature()),
        chrf=chrf.corpus_score(translations, reference_sets).score,
        chrf_signature=str(chrf.get_signature()),
        exact_match=matches / len(references),
        bleu_lowercase_tokenized=lower.corpus_score(translations, reference_sets).score,
        bleu_lowercase_tokenized_signature=str(lower.get_signature()),
    )


Numbers = NDArray[np.float64]


def corpus_bleu(
    matching: Numbers, total: Numbers, length: Numbers, reference_length: Numbers
) -> Numbers:
    """Return BLEU (Papineni et al. 2002, https://aclanthology.org/P02-1040) with sacreBLEU's smoothing.

    Args:
        matching: (..., 4), n-grams of each order that match the reference.
        total: (..., 4), n-grams of each order.
        length: (...), tokens of the translations.
        reference_length: (...), tokens of the references.

    >>> round(float(corpus_bleu(*map(np.array, ([3.0, 2, 1, 0], [4.0, 3, 2, 1], 4.0, 4.0)))), 2)
    59.46
    """
    # The k-th order without a match counts as 1/2^k matches.
    unmatched = matching == 0
    smoothed = np.where(unmatched, 0.5 ** unmatched.cumsum(axis=-1), matching)
    with np.errstate(divide="ignore", invalid="ignore"):
        precisions = np.log(smoothed / total).mean(axis=-1)
        brevity = np.minimum(0.0, 1 - reference_length / length)
        score = 100 * np.exp(precisions + brevity)
    defined = (matching > 0).any(axis=-1) & (total > 0).all(axis=-1)
    return np.asarray(np.where(defined, score, 0.0))
