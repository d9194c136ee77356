"""Habits that a reader relies on: nothing below the command prints or reads the environment, files stay short."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.architecture.sources import PACKAGE, label, source_files

LONGEST_FILE = 300
LONGEST_FUNCTION = 40

BELOW_THE_COMMAND = [
    path
    for path in source_files()
    if path.relative_to(PACKAGE).parts[0] not in {"cli", "__main__.py"}
]


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count the lines of a function's body without its docstring."""
    body = function.body
    if ast.get_docstring(function) is not None:
        body = body[1:]
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


@pytest.mark.parametrize("path", source_files(), ids=label)
def test_a_file_holds_one_idea(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST_FILE


@pytest.mark.parametrize("path", source_files(), ids=label)
def test_functions_are_short(path: Path) -> None:
    functions = (
        node
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    long = {f"{f.name}, line {f.lineno}": body_lines(f) for f in functions}
    assert {name: lines for name, lines in long.items() if lines > LONGEST_FUNCTION} == {}


@pytest.mark.parametrize("path", BELOW_THE_COMMAND, ids=label)
def test_nothing_below_the_command_prints_or_reads_the_environment(path: Path) -> None:
    used = {
        f"{node.id if isinstance(node, ast.Name) else node.attr}, line {node.lineno}"
        for node in ast.walk(tree_of(path))
        if (isinstance(node, ast.Name) and node.id in {"print", "input"})
        or (isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv"})
    }
    assert used == set()


@pytest.mark.parametrize("path", source_files(), ids=label)
def test_nothing_is_pickled(path: Path) -> None:
    tree = tree_of(path)
    imported = {
        alias.name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    } | {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    calls = {
        ast.unparse(node.func)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    }
    assert imported & {"pickle", "cloudpickle", "joblib", "dill", "marshal", "shelve"} == set()
    assert calls & {"torch.load", "torch.save"} == set()


@pytest.mark.parametrize(
    "path", [p for p in source_files() if p.relative_to(PACKAGE).parts[0] == "ops"], ids=label
)
def test_ops_own_no_parameters(path: Path) -> None:
    bases = {
        ast.unparse(base)
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.ClassDef)
        for base in node.bases
    }
    assert not any(base.endswith("Module") for base in bases)
