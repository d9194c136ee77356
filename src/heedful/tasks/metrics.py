"""Figures of merit for translations, with the signatures that make them comparable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sacrebleu.metrics import BLEU, CHRF

from heedful.errors import ShapeError


@dataclass(frozen=True, kw_only=True)
class TranslationScores:
    """Corpus figures from 0 to 100, and the share of exact matches from 0 to 1."""

    bleu: float
    bleu_signature: str
    chrf: float
    chrf_signature: str
    exact_match: float
    bleu_lowercase_tokenized: float
    """BLEU of lower-cased text, the form in which many papers report Multi30k."""
    bleu_lowercase_tokenized_signature: str


def score_translations(translations: Sequence[str], references: Sequence[str]) -> TranslationScores:
    """Compare translations with one reference each: sacreBLEU, chrF and exact match.

    Raises: ShapeError when the lists differ in length or are empty.

    >>> scores = score_translations(["a dog runs in the snow"], ["a dog runs in the snow"])
    >>> round(scores.bleu), scores.exact_match
    (100, 1.0)
    """
    if len(translations) != len(references) or not references:
        raise ShapeError(
            f"got {len(translations)} translations for {len(references)} references; "
            "wanted as many, and at least one"
        )
    bleu, lower, chrf = BLEU(), BLEU(lowercase=True), CHRF()
    wanted = [list(references)]
    matches = sum(a.strip() == b.strip() for a, b in zip(translations, references, strict=True))
    return TranslationScores(
        bleu=bleu.corpus_score(translations, wanted).score,
        bleu_signature=str(bleu.get_signature()),
        chrf=chrf.corpus_score(translations, wanted).score,
        chrf_signature=str(chrf.get_signature()),
        exact_match=matches / len(references),
        bleu_lowercase_tokenized=lower.corpus_score(translations, wanted).score,
        bleu_lowercase_tokenized_signature=str(lower.get_signature()),
    )
