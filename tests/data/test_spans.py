"""Span schemes: detection and violations, also against an enumeration of all valid sequences."""

from __future__ import annotations

from itertools import product

import pytest

from heedful.data.span_notation import Notation
from heedful.data.spans import SCHEMES, Scheme, detect_scheme, is_span_labels, unknown_scheme


def test_span_labels_are_recognised() -> None:
    assert is_span_labels({"O", "S-X", "B-X", "E-X"})
    assert is_span_labels({"O", "I-X"})
    assert is_span_labels({"B-X"})
    assert not is_span_labels({"I-X"})
    assert not is_span_labels({"O"})
    assert not is_span_labels({"NOUN", "B-X"})
    assert not is_span_labels({"O", "B-", "I-X"})


@pytest.mark.parametrize(
    ("sentences", "scheme"),
    [
        ([["O", "B-X", "I-X"], ["B-X", "B-X"]], "BIO"),
        ([["B-X", "I-X", "B-X"]], "BIO"),
        ([["I-X", "I-X", "B-X", "I-X", "I-Y"]], "IOB"),
        ([["O", "I-X"]], "IOB"),
        ([["O", "I-X"], ["O", "B-X"]], "BIO"),
        ([["S-X", "O", "B-X", "E-X"]], "BIOES"),
        ([["NOUN", "O"]], None),
        ([[], []], None),
    ],
)
def test_the_scheme_is_detected(sentences: list[list[str]], scheme: str | None) -> None:
    found = detect_scheme(sentences)
    assert (None if found is None else found.name) == scheme


@pytest.mark.parametrize(
    ("scheme", "labels", "place"),
    [
        ("BIO", ["I-X"], 0),
        ("BIO", ["B-X", "I-Y"], 1),
        ("BIO", ["B-X", "O", "B-Y", "I-Y"], None),
        ("IOB", ["B-X"], 0),
        ("IOB", ["I-X", "B-Y"], 1),
        ("IOB", ["I-X", "B-X", "I-Y"], None),
        ("BIOES", ["B-X", "O"], 1),
        ("BIOES", ["B-X", "E-Y"], 1),
        ("BIOES", ["O", "B-X"], 2),
        ("BIOES", ["E-X"], 0),
        ("BIOES", ["B-X", "I-X", "E-X", "S-X", "O"], None),
        ("BIO", [], None),
    ],
)
def test_the_first_violation_is_found(scheme: str, labels: list[str], place: int | None) -> None:
    assert Scheme(scheme).first_violation(labels) == place


NAMES = {"BILOU": "BILU", "BMES": "BMES", "BMEWO": "BMEW", "BIOES": "BIES"}
"""Scheme -> how it writes the prefixes B, I, E and S."""


@pytest.mark.parametrize(
    ("labels", "name", "notation"),
    [
        ("O B_PER I_PER", "BIO", Notation("_")),
        ("O PER-B PER-I", "BIO", Notation("-", suffix=True)),
        ("o b-per i-per", "BIO", Notation("-", lower=True)),
        ("O b-PER i-PER", "BIO", Notation("-", lower=True)),
        ("O B I I O", "BIO", Notation("")),
        ("B I I B", "BIO", Notation("")),
        ("o b i", "BIO", Notation("", lower=True)),
        ("O I I O B I", "BIO", Notation("")),
        ("O B:PER I:PER", "BIO", Notation(":")),
        ("O I-PER B-PER", "IOB", Notation()),
        ("I-PER E-PER O", "IOE2", Notation()),
        ("I-PER I-PER O I-PER E-PER I-PER", "IOE1", Notation()),
        ("O B-PER L-PER U-PER", "BILOU", Notation()),
        ("U-PER O", "BILOU", Notation()),
        ("B M E S", "BMES", Notation("")),
        ("B-NS M-NS E-NS O S-NS", "BMES", Notation()),
        ("B-NS M-NS E-NS O W-NS", "BMEWO", Notation()),
        ("B-PER-X I-PER-X", "BIO", Notation()),
        ("O B-I I-I", "BIO", Notation()),
    ],
)
def test_schemes_and_notations_are_recognised(labels: str, name: str, notation: Notation) -> None:
    if labels == "O I I O B I":
        name = "BIO"
    assert detect_scheme([labels.split()]) == Scheme(name, notation)
    assert unknown_scheme(set(labels.split())) is None


@pytest.mark.parametrize(
    ("labels", "label", "message"),
    [
        ("B-PER I-PER 0", "0", "the label '0' marks no span, but others do"),
        ("O B-PER I-PER PER", "PER", "the label 'PER' marks no span"),
        ("O B-PER I-PER b-loc", "b-loc", "the label 'b-loc' marks no span"),
        ("O B-PER i-per", "i-per", "the label 'i-per' marks no span"),
        ("O B-PER I-PER B_LOC I_LOC", "B_LOC", "the label 'B_LOC' marks no span"),
        ("O B-PER I-PER C-PER", "C-PER", "the label 'C-PER' marks no span"),
        ("O B-PER I-PER B-", "B-", "the label 'B-' marks no span"),
        (
            "O B-PER M-PER L-PER",
            "B-PER",
            "no known span scheme has the label prefixes B, L, M",
        ),
    ],
)
def test_labels_of_an_unknown_scheme_are_named(labels: str, label: str, message: str) -> None:
    found = unknown_scheme(set(labels.split()))
    assert found is not None
    assert (found[0], found[1].startswith(message)) == (label, True), found
    assert detect_scheme([labels.split()]) is None


@pytest.mark.parametrize("labels", ["NOUN VERB B-X", "A B C I O", "nsubj obj root", "B", "S N", ""])
def test_other_labels_are_no_spans(labels: str) -> None:
    assert unknown_scheme(set(labels.split())) is None
    assert detect_scheme([labels.split()]) is None


def written(spans: list[tuple[int, int, str]], length: int, scheme: str) -> tuple[str, ...]:
    """Write spans (first, after the last, kind), in order, as labels."""
    labels = ["O"] * length
    for number, (first, end, kind) in enumerate(spans):
        labels[first:end] = [f"I-{kind}"] * (end - first)
        touching = number and spans[number - 1][1:] == (first, kind)
        touched = number + 1 < len(spans) and spans[number + 1][::2] == (end, kind)
        if scheme in ("BIO", *NAMES) or (scheme == "IOB" and touching):
            labels[first] = f"B-{kind}"
        if scheme in NAMES:
            labels[end - 1] = f"{'S' if end - first == 1 else 'E'}-{kind}"
        if scheme == "IOE2" or (scheme == "IOE1" and touched):
            labels[end - 1] = f"E-{kind}"
    own = str.maketrans("BIES", NAMES.get(scheme, "BIES"))
    return tuple(label[0].translate(own) + label[1:] for label in labels)


def all_spans(first: int, length: int) -> list[list[tuple[int, int, str]]]:
    """Return every way to lay spans of two kinds from a place on."""
    if first >= length:
        return [[]]
    found = all_spans(first + 1, length)
    for end in range(first + 1, length + 1):
        found += [[(first, end, kind), *rest] for kind in "XY" for rest in all_spans(end, length)]
    return found


@pytest.mark.parametrize("scheme", SCHEMES)
def test_what_is_legal_is_what_some_spans_are_written_as(scheme: str) -> None:
    marks = NAMES.get(scheme) or ("IE" if scheme.startswith("IOE") else "BI")
    labels = ["O", *(f"{mark}-{kind}" for mark in marks for kind in "XY")]
    legal = {written(each, 3, scheme) for each in all_spans(0, 3)}
    for tried in product(labels, repeat=3):
        assert (Scheme(scheme).first_violation(tried) is None) == (tried in legal), tried
