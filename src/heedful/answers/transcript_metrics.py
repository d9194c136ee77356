"""Word and character error rates of transcripts, by jiwer, with what was confused with what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from heedful.errors import OptionError, ShapeError

NOTHING: Final = "∅"
"""In a confusion, what stands for no word: an insertion has no reference, a deletion no prediction."""


@dataclass(frozen=True, kw_only=True)
class ErrorCounts:
    """Edits that turn the references into the predictions, as few as possible."""

    substitutions: int
    insertions: int
    deletions: int
    length: int
    """Words or characters of the references."""

    @property
    def errors(self) -> int:
        """All edits."""
        return self.substitutions + self.insertions + self.deletions

    @property
    def rate(self) -> float:
        """Edits for each word or character of the references; above 1 if there are more."""
        return self.errors / self.length if self.length else float(self.errors > 0)


@dataclass(frozen=True, kw_only=True)
class Confusion:
    """A word or character and what was predicted in its place."""

    reference: str
    predicted: str
    count: int


@dataclass(frozen=True, kw_only=True)
class TranscriptScores:
    """Error rates; 0 is perfect."""

    wer: float
    """Word error rate."""
    cer: float
    """Character error rate; the spaces between words count as characters."""
    exact_match: float
    """Share of transcripts without an error, from 0 to 1."""
    words: ErrorCounts
    characters: ErrorCounts
    confusions: tuple[Confusion, ...]
    """Of words, the most frequent first; `NOTHING` in an insertion or deletion."""


def score_transcripts(
    predicted: Sequence[str], references: Sequence[str], *, confusions: int = 20
) -> TranscriptScores:
    """Return the error rates of transcripts against one reference each (jiwer).

    Args:
        predicted: the transcripts.
        references: in the same form: case and punctuation count.
        confusions: the number of confusions listed at most.

    Raises:
        ShapeError: lists of different lengths, or empty ones.
        OptionError: jiwer is not installed.

    >>> scores = score_transcripts(["one two too", "four"], ["one two two", "three four"])
    >>> round(scores.wer, 2), scores.words.substitutions, scores.words.deletions, scores.exact_match
    (0.4, 1, 1, 0.0)
    >>> [(each.reference, each.predicted) for each in scores.confusions]
    [('three', '∅'), ('two', 'too')]
    """
    if len(predicted) != len(references) or not references:
        raise ShapeError(
            f"got {len(predicted)} transcripts for {len(references)} references; expected equal numbers of at least 1."
        )
    jiwer = load_jiwer()
    words = jiwer.process_words(list(references), list(predicted))
    characters = jiwer.process_characters(list(references), list(predicted))
    counts = _counts(words), _counts(characters)
    correct = sum(p.split() == r.split() for p, r in zip(predicted, references, strict=True))
    return TranscriptScores(
        wer=counts[0].rate,
        cer=counts[1].rate,
        exact_match=correct / len(references),
        words=counts[0],
        characters=counts[1],
        confusions=_confusions(words)[:confusions],
    )


def error_statistics(predicted: Sequence[str], references: Sequence[str]) -> NDArray[np.float64]:
    """Return the word errors and the reference words of each transcript: (transcripts, 2)."""
    jiwer = load_jiwer()
    found = []
    for text, reference in zip(predicted, references, strict=True):
        counts = _counts(jiwer.process_words(reference, text))
        found.append((counts.errors, counts.length))
    return np.array(found, dtype=np.float64)


def load_jiwer() -> Any:
    """Import jiwer.

    Raises: OptionError if it is not installed.
    """
    try:
        import jiwer
    except ImportError:
        raise OptionError(
            "error rates of transcripts need the package jiwer; install it with pip install 'heedful[audio]'."
        ) from None
    return jiwer


def _counts(output: Any) -> ErrorCounts:
    return ErrorCounts(
        substitutions=output.substitutions,
        insertions=output.insertions,
        deletions=output.deletions,
        length=output.hits + output.substitutions + output.deletions,
    )


def _confusions(output: Any) -> tuple[Confusion, ...]:
    counts: Counter[tuple[str, str]] = Counter()
    for reference, predicted, chunks in zip(
        output.references, output.hypotheses, output.alignments, strict=True
    ):
        for chunk in chunks:
            expected = reference[chunk.ref_start_idx : chunk.ref_end_idx]
            got = predicted[chunk.hyp_start_idx : chunk.hyp_end_idx]
            if chunk.type == "substitute":
                counts.update(zip(expected, got, strict=True))
            elif chunk.type == "delete":
                counts.update((word, NOTHING) for word in expected)
            elif chunk.type == "insert":
                counts.update((NOTHING, word) for word in got)
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return tuple(Confusion(reference=r, predicted=p, count=n) for (r, p), n in ordered)
