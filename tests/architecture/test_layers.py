"""The one-way rule: each part imports what lies below it, and nothing above or beside it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.architecture.sources import PACKAGE, dotted, imports, label, source_files

FILES = {"atomic_files", "run_folder", "run_lock", "stored_files", "strict_json"}
BELOW_INPUTS = {"errors", "ops", "nn", "models", "decode", "data", "config", *FILES}
BELOW_TASKS = BELOW_INPUTS | {"inputs", "answers"}
MAY_IMPORT = {
    "errors": set(),
    # How numbers are written to files and pipes.
    "strict_json": set(),
    # A process for a measurement or a training, and the pipes between.
    "worker_process": {"errors", "strict_json"},
    "ops": {"errors"},
    "nn": {"errors", "ops"},
    "models": {"errors", "ops", "nn"},
    "decode": {"errors", "ops", "nn", "models"},
    # Files that may come from strangers.
    "stored_files": {"errors"},
    "data": {"errors", "atomic_files", "run_lock", "stored_files", "strict_json"},
    # Used by inputs and above.
    "config": {"errors", "models", "stored_files"},
    "atomic_files": {"errors"},
    "run_lock": {"errors"},
    "run_folder": {"errors", "atomic_files", "run_lock", "stored_files"},
    "inputs": BELOW_INPUTS,
    # The target of a generated text is encoded with the vocabulary of its source.
    "answers": BELOW_INPUTS | {"inputs"},
    "tasks": BELOW_TASKS,
    "training": BELOW_TASKS | {"tasks"},
    # Draws what is no attention, such as roles of heads, as every other plot.
    "explore": BELOW_TASKS | {"tasks", "plots"},
    # The style of every plot.
    "plots": {"errors", "atomic_files"},
    # Measures what the library computes, from single calls to a model's training step.
    "bench": {"errors", "worker_process", "ops", "nn", "models", "plots"},
    # Measures what encoders can and cannot do, with the clock and the number formats of bench, over
    # the features of sounds.
    "probe": {"errors", "ops", "nn", "models", "data", "config", "bench", "plots"},
    # Trains each contender and draws what it came to.
    "compare": BELOW_TASKS | {"tasks", "training", "explore"},
    # Runs worker processes and predictions on other machines.
    "cluster": BELOW_TASKS | {"tasks", "worker_process"},
    # Writes trained models for other engines.
    "export": BELOW_TASKS | {"tasks"},
    # Answers requests over HTTP with trained models.
    "serve": BELOW_TASKS | {"tasks", "explore"},
    "cli": BELOW_TASKS
    | {
        "api",
        "tasks",
        "training",
        "explore",
        "bench",
        "cluster",
        "compare",
        "plots",
        "probe",
        "serve",
        "export",
        "worker_process",
    },
    # What `heedful.load` and `heedful.train` are; the command is a layer over them.
    "api": BELOW_TASKS | {"tasks", "training", "explore"},
    # `attend` in models of transformers.
    "hf": {"errors", "ops"},
    # Public names of the values that `attend` takes.
    "masks": {"ops"},
    "normalizers": {"ops"},
    "positions": {"ops"},
    "scores": {"ops"},
    # The top of the package offers the library; the command and what only it needs are imported by name.
    "__init__": {
        "api",
        "errors",
        "ops",
        "nn",
        "models",
        "hf",
        "masks",
        "normalizers",
        "positions",
        "scores",
    },
    "__main__": {"cli"},
}


def part(module: str) -> str:
    """Return which part of the package a module belongs to."""
    names = module.split(".")
    return names[1] if len(names) > 1 else "__init__"


def wrong_imports(path: Path, tree: ast.Module | None = None) -> list[str]:
    """Return, for one file, every import that the layers forbid."""
    own = path.stem if path.parent == PACKAGE else part(dotted(path))
    allowed = MAY_IMPORT[own] | {own}
    return [
        f"{label(path)}:{line} imports {module}; {own} may import {sorted(allowed)}"
        for module, line in imports(path, tree)
        # `import heedful` and `from heedful import attend` name no part, and so count as the top
        if module.split(".")[0] == "heedful" and part(module) not in allowed
    ]


def test_imports_go_down_only() -> None:
    assert [wrong for path in source_files() for wrong in wrong_imports(path)] == []


OPS_LEVELS: tuple[tuple[str, ...], ...] = (
    ("static", "validate", "blas", "observe", "cells", "double_backward", "constant", "grid"),
    ("finite", "rows"),
    ("jit",),
    ("csr", "products", "recurrence", "softmax_loss", "dropping", "decoding"),
    ("positions",),
    ("masks", "normalizers", "scores"),
    ("call", "signature"),
    ("arguments",),
    ("backends.base",),
    ("backends.reference",),
    ("backends.additive",),
    ("backends.chunked",),
    ("backends.plain", "backends.torch_kernels"),
    ("backends.edges", "backends.sdpa"),
    ("backends.band", "backends.flex"),
    ("backends.decode",),
    ("backends.additive.backend",),
    ("backends",),
    ("plan",),
    ("attend", "band_weights"),
)
"""The parts of ops from the lowest up: each may import those above it in this list, and its own files."""
KERNELS = "backends"
"""Where kernels lie: from outside ops, nothing of it is imported but what `BACKEND_ENTRIES` names."""


def level(module: str) -> tuple[int, str]:
    """The level of a module of ops, and the entry of `OPS_LEVELS` that names it: the longest that does."""
    name = module.removeprefix("heedful.ops").removeprefix(".")
    found = [
        (len(entry), number, entry)
        for number, entries in enumerate(OPS_LEVELS)
        for entry in entries
        if name == entry or name.startswith(f"{entry}.")
    ]
    assert found, f"{module} is on no level: add it to OPS_LEVELS"
    _, number, entry = max(found)
    return number, entry


def wrong_imports_inside_ops(path: Path, tree: ast.Module | None = None) -> list[str]:
    """Return, for one file of ops, every import from its own level or a higher one."""
    modules = {dotted(other) for other in source_files()}
    own = level(dotted(path))
    wrong = []
    for module, line in imports(path, tree):
        while module not in modules and "." in module:
            module = module.rpartition(".")[0]
        if not module.startswith("heedful.ops."):
            continue
        other = level(module)
        if other[1] != own[1] and other[0] >= own[0]:
            wrong.append(f"{label(path)}:{line}: {own[1]} imports {other[1]}, which is no lower")
    return wrong


def ops_files() -> list[Path]:
    return [
        path
        for path in source_files()
        if ((PACKAGE / "ops") in path.parents and path.name != "__init__.py")
        or path == PACKAGE / "ops" / "backends" / "__init__.py"
    ]


def test_imports_inside_ops_go_down_only() -> None:
    assert [wrong for path in ops_files() for wrong in wrong_imports_inside_ops(path)] == []


@pytest.mark.parametrize(
    ("place", "line"),
    [
        ("ops/masks/edges.py", "from heedful.ops.backends.edges import pair"),
        ("ops/scores/additive.py", "from heedful.ops.backends.additive.scores import fast_pair"),
        ("ops/jit/kernel.py", "from heedful.ops.masks import Mask"),
        ("ops/backends/sdpa/backend.py", "from heedful.ops.backends import BACKENDS"),
        ("ops/backends/sdpa/backend.py", "from heedful.ops.plan import choose"),
        ("ops/backends/base.py", "from heedful.ops.backends.reference import Reference"),
    ],
)
def test_the_check_inside_ops_finds_a_wrong_import(place: str, line: str) -> None:
    assert wrong_imports_inside_ops(PACKAGE / place, ast.parse(line))


def test_every_part_has_a_rule() -> None:
    parts = {
        p.stem
        for p in PACKAGE.iterdir()
        if p.suffix == ".py" or (p.is_dir() and any(p.glob("*.py")))
    }
    assert parts <= set(MAY_IMPORT)


@pytest.mark.parametrize(
    ("place", "line"),
    [
        ("ops/attend.py", "from heedful.nn import attention"),
        ("ops/backends/flex.py", "from ...nn import attention"),
        ("nn/attention.py", "from ..models.base import Decoded"),
        ("data/files.py", "import heedful.ops.masks"),
        ("training/loop.py", "from heedful import explore"),
        ("explore/record.py", "from ..training import loop"),
        ("tasks/translate.py", "def late():\n    from heedful.cli import main"),
        ("answers/base.py", "from heedful.tasks.base import Task"),
        ("inputs/text.py", "from heedful.answers.label import Label"),
        ("run_folder.py", "from heedful.tasks import table"),
        ("errors.py", "from . import ops"),
        ("tasks/translate.py", "from heedful import attend"),
        ("nn/attention.py", "import heedful"),
    ],
)
def test_the_check_itself_finds_a_wrong_import(place: str, line: str) -> None:
    assert wrong_imports(PACKAGE / place, ast.parse(line))


def module_of(name: str, modules: set[str]) -> str | None:
    """Return the module that an import names, which may be a name inside it."""
    while name not in modules and "." in name:
        name = name.rpartition(".")[0]
    return name if name in modules else None


def circles(part: str) -> list[tuple[str, ...]]:
    """Return the groups of modules of a part that import each other, at any depth."""
    files = [path for path in source_files() if (PACKAGE / part) in path.parents]
    modules = {dotted(path) for path in files}
    graph = {
        dotted(path): {
            found
            for module, _ in imports(path)
            if (found := module_of(module, modules)) and found != dotted(path)
        }
        for path in files
    }

    def reached(start: str) -> set[str]:
        found, waiting = set[str](), [start]
        while waiting:
            for each in graph[waiting.pop()] - found:
                found.add(each)
                waiting.append(each)
        return found

    all_reached = {module: reached(module) for module in graph}
    groups = {
        tuple(sorted(other for other in all_reached[module] if module in all_reached[other]))
        for module in graph
        if module in all_reached[module]
    }
    return sorted(groups)


@pytest.mark.parametrize("part", ["cli", "tasks", "inputs", "answers", "compare", "training"])
def test_no_modules_import_each_other_in_a_circle(part: str) -> None:
    assert circles(part) == []
