"""Span schemes: detection and violations, also against an enumeration of all valid sequences."""

from __future__ import annotations

from itertools import product

import pytest

from heedful.data.spans import detect_scheme, first_violation, is_span_labels


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
    assert detect_scheme(sentences) == scheme


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
    assert first_violation(scheme, labels) == place


def written(spans: list[tuple[int, int, str]], length: int, scheme: str) -> tuple[str, ...]:
    """Write spans (first, after the last, kind), in order, as labels."""
    labels = ["O"] * length
    for number, (first, end, kind) in enumerate(spans):
        labels[first:end] = [f"I-{kind}"] * (end - first)
        touching = number and spans[number - 1][1:] == (first, kind)
        if scheme != "IOB" or touching:
            labels[first] = f"B-{kind}"
        if scheme == "BIOES":
            labels[end - 1] = f"{'S' if end - first == 1 else 'E'}-{kind}"
    return tuple(labels)


def all_spans(first: int, length: int) -> list[list[tuple[int, int, str]]]:
    """Return every way to lay spans of two kinds from a place on."""
    if first >= length:
        return [[]]
    found = all_spans(first + 1, length)
    for end in range(first + 1, length + 1):
        found += [[(first, end, kind), *rest] for kind in "XY" for rest in all_spans(end, length)]
    return found


@pytest.mark.parametrize("scheme", ["BIO", "IOB", "BIOES"])
def test_what_is_legal_is_what_some_spans_are_written_as(scheme: str) -> None:
    marks = "BIES" if scheme == "BIOES" else "BI"
    labels = ["O", *(f"{mark}-{kind}" for mark in marks for kind in "XY")]
    legal = {written(each, 3, scheme) for each in all_spans(0, 3)}
    for tried in product(labels, repeat=3):
        assert (first_violation(scheme, tried) is None) == (tried in legal), tried
