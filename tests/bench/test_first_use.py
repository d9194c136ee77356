"""`python -m benchmarks.first_use`: an operation is compiled anew in a process of its own."""

from __future__ import annotations

import sys

import pytest

from benchmarks import first_use
from heedful.errors import HeedfulError, RunError


def test_kernels_are_compiled_though_they_are_stored(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["first_use", "entmax", "--kernels"])
    first_use.main()
    head, operation, *kernels = capsys.readouterr().out.splitlines()
    assert head.split() == ["operation", "forward", "backward", "(CPU", "seconds)"]
    name, forward, backward, *_ = operation.split()
    assert name == "entmax"
    assert float(forward) > 0.3  # importing the compiler alone takes more
    assert float(backward) > 0.1
    assert [line.split()[0] for line in kernels] == [
        "sparse_kernel.weights_by_row",
        "sparse_kernel.gradient_by_row",
    ]


def test_a_name_that_is_no_operation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["first_use", "entmix"])
    with pytest.raises(HeedfulError, match="entmax"):
        first_use.main()


def test_a_process_that_fails_says_why() -> None:
    with pytest.raises(RunError, match="KeyError: 'no_such_operation'|no_such_operation"):
        first_use.measured("no_such_operation")
