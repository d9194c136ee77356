"""Habits that a reader relies on: nothing below the command prints or reads the environment, functions stay short."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from tests.architecture.sources import PACKAGE, label, source_files

LONG_FILE = 300
LONG_FILES = {
    "src/heedful/config.py": "one section of settings after the other",
    "src/heedful/nn/convert.py": "each of PyTorch's modules to its counterpart and back",
    "src/heedful/nn/scores.py": "a module for each score, one after the other",
    "src/heedful/ops/backends/additive/pair.py": "the one definition of the additive pair and its gradients",
    "src/heedful/ops/backends/edges/pair.py": "what one edge computes, in every pass",
    "src/heedful/tasks/table.py": "an entry for each task, one after the other",
}
"""Files longer than that which hold one idea all the same, and which."""
LONGEST_FUNCTION = 40


class LongFileWarning(UserWarning):
    """A file past `LONG_FILE` lines: is it two ideas?"""


BELOW_THE_COMMAND = [
    path
    for path in source_files()
    if path.relative_to(PACKAGE).parts[0] not in {"cli", "__main__.py"}
]

SETTINGS_OF_NUMBA = "src/heedful/ops/jit/cache.py"
"""Numba's own settings, which it reads from the environment, decide which instructions compiled code holds."""


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count the lines of a function's body without its docstring."""
    body = function.body
    if ast.get_docstring(function) is not None:
        body = body[1:]
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def faults(paths: list[Path], find: Callable[[ast.Module], Iterable[str]]) -> dict[str, list[str]]:
    """What `find` finds in each file, of the files in which it finds anything."""
    found = {label(path): sorted(find(tree_of(path))) for path in paths}
    return {name: each for name, each in found.items() if each}


@pytest.mark.filterwarnings("always::tests.architecture.test_habits.LongFileWarning")
def test_long_files_are_known() -> None:
    lines = {
        label(path): len(path.read_text(encoding="utf-8").splitlines()) for path in source_files()
    }
    long = {name for name, count in lines.items() if count > LONG_FILE}
    for name in sorted(long - LONG_FILES.keys()):
        warnings.warn(f"{name} has {lines[name]} lines: one idea?", LongFileWarning, stacklevel=1)
    assert LONG_FILES.keys() <= lines.keys(), "a file that is listed is gone"


def test_functions_are_short() -> None:
    def long(tree: ast.Module) -> Iterator[str]:
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = body_lines(node)
                if lines > LONGEST_FUNCTION:
                    yield f"{node.name}, line {node.lineno}: {lines} lines"

    assert faults(source_files(), long) == {}


def test_nothing_below_the_command_prints_or_reads_the_environment() -> None:
    def used(tree: ast.Module) -> Iterator[str]:
        for node in ast.walk(tree):
            loads = isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
            if loads and node.id in {"print", "input"}:
                yield f"{node.id}, line {node.lineno}"
            if isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv"}:
                yield f"{node.attr}, line {node.lineno}"

    found = faults(BELOW_THE_COMMAND, used)
    assert all(each.startswith("environ, ") for each in found.pop(SETTINGS_OF_NUMBA))
    assert found == {}


def test_nothing_is_pickled() -> None:
    def pickles(tree: ast.Module) -> Iterator[str]:
        modules = {"pickle", "cloudpickle", "joblib", "dill", "marshal", "shelve"}
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                yield from {alias.name.split(".")[0] for alias in node.names} & modules
            elif isinstance(node, ast.ImportFrom):
                yield from {node.module or ""} & modules
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                yield from {ast.unparse(node.func)} & {"torch.load", "torch.save"}

    assert faults(source_files(), pickles) == {}


def test_ops_own_no_parameters() -> None:
    def modules(tree: ast.Module) -> Iterator[str]:
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                yield from (
                    node.name for base in node.bases if ast.unparse(base).endswith("Module")
                )

    ops = [path for path in source_files() if path.relative_to(PACKAGE).parts[0] == "ops"]
    assert faults(ops, modules) == {}
