"""Span F1, conlleval and strict: against a conlleval of our own, seqeval's modes, and published examples."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import product

import pytest
import seqeval.scheme
from seqeval.metrics import f1_score

from heedful.answers.span_metrics import score_spans
from heedful.data.spans import SCHEMES
from tests.data.test_spans import NAMES, written

Sentence = list[str]


def conlleval(got: list[Sentence], wanted: list[Sentence]) -> float:
    """F1 by the rules of conlleval.pl: a chunk is right if it begins, ends and is named as the true one."""
    right = found = true = 0
    for one, other in zip(got, wanted, strict=True):
        chunks, truth = chunks_of(one), chunks_of(other)
        right, found, true = right + len(chunks & truth), found + len(chunks), true + len(truth)
    return 2 * right / (found + true) if found + true else 0.0


def chunks_of(labels: Sentence) -> set[tuple[int, int, str]]:
    """Return (first, last, type) of each chunk: `startOfChunk` and `endOfChunk` of conlleval.pl."""
    found = set()
    first, before, kind = 0, "O", ""
    for position, label in enumerate([*labels, "O"]):
        mark, _, now = label.partition("-")
        ends = before != "O" and (before in "ES" or mark in "BSO" or kind != now)
        if ends:
            found.add((first, position - 1, kind))
        if mark != "O" and (before == "O" or ends):
            first = position
        before, kind = mark, now
    return found


def random_labels(marks: str, number: int = 200) -> list[Sentence]:
    rng = random.Random(number + len(marks))
    labels = ["O", *(f"{mark}-{kind}" for mark in marks for kind in "XY")]
    return [rng.choices(labels, k=rng.randint(1, 7)) for _ in range(number)]


def random_spans(scheme: str, number: int = 200) -> list[Sentence]:
    """Write random spans in a scheme."""
    rng = random.Random(number)
    found = []
    for _ in range(number):
        spans, place = [], 0
        while place < 8:
            end = min(8, place + rng.randint(1, 3))
            if rng.random() < 0.6:
                spans.append((place, end, rng.choice("XY")))
            place = end
        found.append(list(written(spans, 8, scheme)))
    return found


def test_published_examples() -> None:
    # seqeval's README: 0.50
    wanted = [["O", "O", "O", "B-MISC", "I-MISC", "I-MISC", "O"], ["B-PER", "I-PER", "O"]]
    got = [["O", "O", "B-MISC", "I-MISC", "I-MISC", "I-MISC", "O"], ["B-PER", "I-PER", "O"]]
    assert score_spans(got, wanted).conlleval == 0.5
    # seqeval's README, by mode: 1.0 by default, 0 in strict mode with IOB2
    found = score_spans([["I-NP", "I-NP", "O"]], [["B-NP", "I-NP", "O"]])
    assert (found.conlleval, found.strict, found.violations) == (1.0, 0.0, 1)
    # CoNLL-2003, eng.train, as published: IOB1
    train = [
        ["I-ORG", "O", "I-MISC", "O", "O", "O", "I-MISC", "O", "O"],
        ["I-PER", "I-PER"],
        ["I-LOC", "O"],
    ]
    found = score_spans(train, train)
    assert (found.scheme, found.conlleval, found.strict) == ("IOB", 1.0, 1.0)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_both_countings_are_one_where_labels_keep_to_the_scheme(scheme: str) -> None:
    wanted, got = random_spans(scheme), random_spans(scheme)[1:] + random_spans(scheme)[:1]
    found = score_spans(got, wanted)
    assert found.scheme == scheme
    assert found.violations == 0
    assert found.conlleval == pytest.approx(found.strict)
    assert 0 < found.conlleval < 1
    canonical = str.maketrans(NAMES.get(scheme, "BIES"), "BIES")
    one, other = (
        [[e[0].translate(canonical) + e[1:] for e in s] for s in x] for x in (got, wanted)
    )
    assert found.conlleval == pytest.approx(conlleval(one, other))


@pytest.mark.parametrize("scheme", ["BIO", "IOB", "BIOES"])
def test_labels_that_break_the_scheme_count_as_conlleval_counts_them(scheme: str) -> None:
    wanted, got = random_spans(scheme), random_labels("BIES" if scheme == "BIOES" else "BI")
    got = [(one + ["O"] * 8)[:8] for one in got]
    found = score_spans(got, wanted)
    assert found.scheme == scheme
    assert found.violations
    assert found.conlleval == pytest.approx(conlleval(got, wanted))
    names = {"BIO": "IOB2", "IOB": "IOB1", "BIOES": "IOBES"}
    strict = f1_score(wanted, got, mode="strict", scheme=getattr(seqeval.scheme, names[scheme]))
    assert found.strict == pytest.approx(strict)


@pytest.mark.parametrize("form", ["{0}_{1}", "{1}-{0}", "{1}_{0}", "{0}:{1}"])
@pytest.mark.parametrize("lower", [False, True])
@pytest.mark.parametrize("scheme", ["BIO", "IOB", "BIOES", "BILOU", "BMES"])
def test_the_notation_changes_nothing(form: str, lower: bool, scheme: str) -> None:
    def again(label: str) -> str:
        label = label if label == "O" else form.format(*label.split("-"))
        return label.lower() if lower else label

    wanted, got = random_spans(scheme), random_spans(scheme)[1:] + random_spans(scheme)[:1]
    plain = score_spans(got, wanted)
    rewritten = [[[again(e) for e in s] for s in x] for x in (got, wanted)]
    found = score_spans(*rewritten)
    assert [replace(each, label=each.label.upper()) for each in found.types] == list(plain.types)
    assert replace(found, types=plain.types) == plain


def test_bare_prefixes_have_spans() -> None:
    wanted = [["B", "I", "O", "B"], ["O", "B", "I", "I"]]
    found = score_spans([["B", "I", "O", "B"], ["O", "B", "I", "O"]], wanted)
    assert found.conlleval == pytest.approx(2 / 3)
    segmented = score_spans([list("BESBE")], [list("BEBME")])
    assert (segmented.scheme, segmented.conlleval) == ("BMES", pytest.approx(0.4))


def test_labels_of_another_scheme_are_counted_and_break_it() -> None:
    for one, other in product(("BIO", "IOB", "BIOES"), repeat=2):
        found = score_spans(random_spans(one), random_spans(other))
        assert found.conlleval == 1.0
        assert (found.strict == 1.0) == (one == other)


def test_no_scheme_no_scores() -> None:
    assert score_spans([["A"]], [["A"]]).problem is None
    found = score_spans([["B-X", "I-X", "0"]], [["B-X", "I-X", "0"]])
    assert (found.conlleval, found.strict, found.violations, found.scheme) == (None,) * 4
    assert found.problem is not None
    assert "the label '0' marks no span" in found.problem
