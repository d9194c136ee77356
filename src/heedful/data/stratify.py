"""Stratified choice of examples: the same share of each label, also where examples have several."""

from __future__ import annotations

import random
from collections.abc import Sequence


def stratified_rows(answers: Sequence[Sequence[str]], share: float, seed: int) -> set[int]:
    """Return a random choice of examples that holds about the same share of each label.

    Examples with one label each are drawn label by label; counts are rounded down, so the rarest stay. Otherwise the
    examples of the rarest label are dealt out first, each to the part that still lacks most of that label (iterative
    stratification, Sechidis et al. 2011); examples without labels come last.

    >>> answers = [("a",)] * 40 + [("a", "b")] * 20 + [()] * 20
    >>> chosen = [answers[row] for row in stratified_rows(answers, 0.25, 0)]
    >>> [chosen.count(each) for each in (("a",), ("a", "b"), ())]
    [10, 5, 5]
    """
    rng = random.Random(seed)
    if all(len(labels) == 1 for labels in answers):
        return _by_answer(answers, share, rng)
    chosen = _iterative(answers, share, rng)
    bare = [row for row, labels in enumerate(answers) if not labels]
    return chosen | set(rng.sample(bare, int(len(bare) * share)))


def _iterative(answers: Sequence[Sequence[str]], share: float, rng: random.Random) -> set[int]:
    rows_of: dict[str, set[int]] = {}
    for row, labels in enumerate(answers):
        for label in labels:
            rows_of.setdefault(label, set()).add(row)
    # for each part, rest and choice: how many examples of each label it lacks, and how many in all
    parts = (1 - share, share)
    lacks = [{label: part * len(rows) for label, rows in rows_of.items()} for part in parts]
    total = [part * len(set().union(*rows_of.values())) for part in parts]
    chosen: set[int] = set()
    while rows_of:
        label = min(rows_of, key=lambda each: (len(rows_of[each]), each))
        rows = sorted(rows_of[label])
        rng.shuffle(rows)
        for row in rows:
            part = int((lacks[1][label], total[1]) > (lacks[0][label], total[0]))
            if part:
                chosen.add(row)
            total[part] -= 1
            for each in answers[row]:
                lacks[part][each] -= 1
                rows_of[each].discard(row)
        rows_of = {each: left for each, left in rows_of.items() if left}
    return chosen


def _by_answer(answers: Sequence[Sequence[str]], share: float, rng: random.Random) -> set[int]:
    groups: dict[tuple[str, ...], list[int]] = {}
    for row, labels in enumerate(answers):
        groups.setdefault(tuple(labels), []).append(row)
    chosen: set[int] = set()
    for key in sorted(groups):
        chosen.update(rng.sample(groups[key], int(len(groups[key]) * share)))
    return chosen
