"""Long preparations report how far they are; short ones report nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from heedful.data import preparation
from heedful.data.preparation import (
    Preparing,
    in_chunks,
    report_chunks,
    report_items,
    reporting_preparation,
)


@pytest.fixture
def advance(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Move a clock that stands still otherwise."""
    now = [100.0]
    monkeypatch.setattr(preparation.time, "monotonic", lambda: now[0])

    def forward(seconds: float) -> None:
        now[0] += seconds

    return forward


def run(advance: Callable[[float], None], seconds: float, total: int | None) -> list[Preparing]:
    """Return the reports of ten chunks of two items that take `seconds` each."""
    reports: list[Preparing] = []
    with reporting_preparation(reports.append):
        for _ in report_chunks(in_chunks(range(20), 2), "encoding", "texts", total):
            advance(seconds)
    return reports


def test_a_second_passes_before_the_first_report(advance: Callable[[float], None]) -> None:
    assert run(advance, 0.09, None) == []
    first, *rest = run(advance, 0.25, 20)
    assert first == Preparing(action="encoding", unit="texts", done=8, total=20, seconds=1.0)
    # every half second, and not for the last chunk: then the action is over
    assert [each.done for each in rest] == [12, 16]
    assert [each.done for each in run(advance, 0.25, None)] == [8, 12, 16, 20]


def test_items_come_unchanged_and_are_counted(advance: Callable[[float], None]) -> None:
    reports: list[Preparing] = []
    with reporting_preparation(reports.append):
        for item in report_items(range(25_000), "reading", "lines"):
            if item == 3:
                advance(2)
    assert [(each.done, each.seconds) for each in reports] == [(10_000, 2)]
    assert list(report_items("abc", "reading", "lines")) == ["a", "b", "c"]


def test_without_a_receiver_nothing_is_reported(advance: Callable[[float], None]) -> None:
    reports = run(advance, 0, None)
    for _ in report_chunks([[1], [2]], "encoding", "texts"):
        advance(5)
    assert reports == []
