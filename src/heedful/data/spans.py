"""Span labelling schemes: detection, and validation of label sequences.

O marks a token outside of all spans; every other label is a prefix and a span type, such as B-PER
(`heedful.data.span_notation` has other notations):

- BIO (IOB2): B- begins a span, I- continues it.
- IOB (IOB1): I- begins and continues a span; B- begins one directly after another of the same type.
- IOE2: I- begins and continues a span, E- ends it. IOE1: E- ends one directly before another of the same type.
- BIOES (IOBES): B- begins a span of several tokens, I- continues it, E- ends it; S- is a span of one token.
- BILOU: BIOES with L- for E- and U- for S-. BMES: with M- for I-. BMEWO: with M- for I- and W- for S-.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from heedful.data.span_notation import (
    HYPHENATED,
    OUTSIDE,
    Notation,
    find_non_span_label,
    find_notation,
)
from heedful.errors import shown

__all__ = ["OUTSIDE", "SCHEMES", "Scheme", "detect_scheme", "is_span_labels", "unknown_scheme"]

SCHEMES: Final = {
    "BIO": "BIO, where B- begins a span and I- continues it",
    "IOB": "IOB, where I- begins and continues a span, and B- begins one directly after another of its type",
    "IOE2": "IOE2, where I- begins and continues a span and E- ends it",
    "IOE1": "IOE1, where I- begins and continues a span, and E- ends one directly before another of its type",
    "BIOES": "BIOES, where B- begins a span, I- continues it, E- ends it and S- is a span of one token",
    "BILOU": "BILOU, where B- begins a span, I- continues it, L- ends it and U- is a span of one token",
    "BMES": "BMES, where B- begins a span, M- continues it, E- ends it and S- is a span of one token",
    "BMEWO": "BMEWO, where B- begins a span, M- continues it, E- ends it and W- is a span of one token",
}
"""Name -> description, for error messages."""
_PREFIXES: Final = {
    "BIO": "BI",
    "IOE2": "IE",
    "BIOES": "BIES",
    "BILOU": "BILU",
    "BMES": "BMES",
    "BMEWO": "BMEW",
}
"""Name -> prefixes of its labels; IOB and IOE1 have those of BIO and IOE2."""
_BIOES: Final = {"L": "E", "U": "S", "W": "S", "M": "I"}
"""Prefix -> its equivalent in BIOES."""
_MIRRORED: Final = {"B": "E", "E": "B"}


@dataclass(frozen=True)
class Scheme:
    """A scheme, with the notation of its labels.

    >>> Scheme("BILOU", Notation("_")).canonical("U_PER"), Scheme("BIO").canonical("O")
    ('S-PER', 'O')
    """

    name: str
    """A key of `SCHEMES`."""
    notation: Notation = HYPHENATED

    def split(self, label: str) -> tuple[str, str]:
        """Return the BIOES prefix and the type of a label; a label that marks no span counts as O."""
        prefix, span_type = self.notation.split(label) or (OUTSIDE, "")
        return _BIOES.get(prefix, prefix), span_type

    def canonical(self, label: str) -> str:
        """Return a label in hyphen notation with the prefixes of BIOES."""
        prefix, span_type = self.split(label)
        return prefix if prefix == OUTSIDE else f"{prefix}-{span_type}"

    def allows(self, before: str, label: str) -> bool:
        """Return whether `label` may follow `before`; both ends of a sentence count as O.

        >>> Scheme("BIO").allows("B-PER", "I-PER"), Scheme("BIO").allows("O", "I-PER")
        (True, False)
        """
        first, second = self.split(before), self.split(label)
        if self.name in ("IOE1", "IOE2"):
            # Read from right to left, IOE is IOB with E for B.
            first, second = _mirror(second), _mirror(first)
        (prefix_before, type_before), (prefix, span_type) = first, second
        same_span = prefix_before in ("B", "I") and type_before == span_type
        if self.name in ("BIO", "IOE2"):
            return prefix != "I" or same_span
        if self.name in ("IOB", "IOE1"):
            return prefix != "B" or same_span
        if prefix_before in ("B", "I"):
            return prefix in ("I", "E") and same_span
        return prefix not in ("I", "E")

    def violations(self, labels: Sequence[str]) -> list[int]:
        """Return the positions of labels that violate the scheme; the length if the sentence may not end there.

        >>> Scheme("BIO").violations(["B-PER", "O", "I-PER", "I-LOC"])
        [2, 3]
        """
        pairs = enumerate(pairwise([OUTSIDE, *labels, OUTSIDE]))
        return [position for position, pair in pairs if not self.allows(*pair)]

    def first_violation(self, labels: Sequence[str]) -> int | None:
        """Return the first of `violations`, or None."""
        return next(iter(self.violations(labels)), None)


def is_span_labels(labels: Collection[str]) -> bool:
    """Return whether labels mark spans in a known scheme.

    >>> is_span_labels({"O", "B-PER", "I-PER"}), is_span_labels({"NOUN", "VERB"})
    (True, False)
    """
    notation = find_notation(labels)
    return notation is not None and bool(_possible_schemes(notation, labels))


def detect_scheme(sentences: Iterable[Sequence[str]]) -> Scheme | None:
    """Return the scheme of the labels of sentences, or None if they mark no spans in a known scheme.

    Among schemes with the same prefixes, returns the first without violations, or else the first.

    >>> examples = ["O", "B-PER", "I-PER"], ["I-PER", "O"], ["NOUN"]
    >>> [scheme and scheme.name for scheme in (detect_scheme([labels]) for labels in examples)]
    ['BIO', 'IOB', None]
    """
    kept = list(sentences)
    labels = {label for sentence in kept for label in sentence}
    notation = find_notation(labels)
    if notation is None:
        return None
    schemes = [Scheme(name, notation) for name in _possible_schemes(notation, labels)]
    valid = (scheme for scheme in schemes if not any(map(scheme.violations, kept)))
    return next(valid, schemes[0] if schemes else None)


def unknown_scheme(labels: Collection[str]) -> tuple[str, str] | None:
    """Return a label and an error message if labels seem to mark spans, but not in a known scheme.

    >>> unknown_scheme({"B-PER", "I-PER", "0"})
    ('0', "the label '0' marks no span, but others do; a token outside of all spans has the label O")
    >>> unknown_scheme({"O", "B-PER", "U-PER", "E-PER"})[1].partition(" (")[0]
    'no known span scheme has the label prefixes B, E, U'
    """
    notation = find_notation(labels)
    if notation is None:
        label = find_non_span_label(labels)
        if label is None:
            return None
        return label, (
            f"the label {shown(label)} marks no span, but others do; a token outside of all spans has the label O"
        )
    if _possible_schemes(notation, labels):
        return None
    prefixes = ", ".join(sorted(_prefixes(notation, labels)))
    span_labels = (label for label in sorted(labels) if label.upper() != OUTSIDE)
    return next(span_labels), (
        f"no known span scheme has the label prefixes {prefixes} (known are {', '.join(SCHEMES)})"
    )


def _prefixes(notation: Notation, labels: Collection[str]) -> set[str]:
    parts = (notation.split(label) for label in labels)
    return {part[0] for part in parts if part is not None} - {OUTSIDE}


def _possible_schemes(notation: Notation, labels: Collection[str]) -> list[str]:
    """Return the names of the schemes that have all prefixes of the labels, the most common first."""
    prefixes = _prefixes(notation, labels)
    if prefixes <= set(_PREFIXES["BIO"]):
        return ["BIO", "IOB"]
    if prefixes <= set(_PREFIXES["IOE2"]):
        return ["IOE2", "IOE1", "BIOES"]
    return [name for name, known in _PREFIXES.items() if prefixes <= set(known)][:1]


def _mirror(part: tuple[str, str]) -> tuple[str, str]:
    prefix, span_type = part
    return _MIRRORED.get(prefix, prefix), span_type
