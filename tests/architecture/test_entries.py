"""An algorithm's folder has few entries: what lies behind them is imported inside the folder alone."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.architecture.sources import PACKAGE, dotted, imports, label, source_files

ENTRIES = {"heedful.ops.backends.edges": {"attend", "backend", "dropout"}}
"""For each folder, the modules that others may import."""
FOR_OTHERS = {
    "heedful.ops.backends.additive.steps",  # a decoder's steps, planned and observed
    "heedful.ops.backends.base",
    "heedful.ops.backends.edges.attend",  # attention on graphs, planned and observed
}
"""What is imported from outside `ops`."""


def behind_an_entry(path: Path, tree: ast.Module | None = None) -> list[str]:
    """Return what a file imports from inside a folder that is not its own."""
    found = []
    for module, line in imports(path, tree):
        for folder, entries in ENTRIES.items():
            outside = not dotted(path).startswith(folder)
            inner = module.removeprefix(f"{folder}.").split(".")[0]
            if outside and module.startswith(f"{folder}.") and inner not in entries:
                found.append(
                    f"{label(path)}:{line} imports {module}; its entries are {sorted(entries)}"
                )
    return found


def test_only_entries_are_imported() -> None:
    assert [wrong for path in source_files() for wrong in behind_an_entry(path)] == []


def test_nothing_outside_ops_imports_a_backend_but_by_an_entry() -> None:
    outside = [path for path in source_files() if PACKAGE / "ops" not in path.parents]
    used = {
        module
        for path in outside
        for module, _ in imports(path)
        if module.startswith("heedful.ops.backends.")
    }
    modules = {dotted(path) for path in source_files()}
    found = {next(m for m in (u, u.rpartition(".")[0]) if m in modules) for u in used}
    assert found <= FOR_OTHERS, found - FOR_OTHERS


@pytest.mark.parametrize(
    ("place", "line", "wrong"),
    [
        ("nn/graph.py", "from heedful.ops.backends.edges.launch import run_forward", 2),
        ("nn/graph.py", "from heedful.ops.backends.edges import launch", 1),
        ("nn/graph.py", "from heedful.ops.backends.edges.attend import attend_edges", 0),
        ("ops/backends/edges/operator.py", "from heedful.ops.backends.edges import launch", 0),
    ],
)
def test_the_check_itself_finds_a_wrong_import(place: str, line: str, wrong: int) -> None:
    assert len(behind_an_entry(PACKAGE / place, ast.parse(line))) == wrong
