"""A call whose signature is known enters few functions in few files."""

from __future__ import annotations

import pytest

from benchmarks.hops import cases, entered

PLAIN, OTHERS = (8, 5), (60, 14)
"""(functions, files) at most: of a call that PyTorch's kernel serves as it is, and of every other."""


@pytest.mark.parametrize("name", cases())
def test_a_call_enters_few_functions_in_few_files(name: str) -> None:
    functions, files = PLAIN if name == "plain" else OTHERS
    found = entered(cases()[name])
    assert 3 <= found.calls <= functions, found.functions
    assert 2 <= found.files <= files, found.functions


def test_functions_are_counted() -> None:
    def nothing() -> None:
        """Enter nothing of the package."""

    assert entered(nothing).calls == 0
