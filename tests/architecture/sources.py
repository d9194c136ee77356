"""The source files of the package as syntax trees, and what each imports."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "heedful"


class Import(NamedTuple):
    """One imported module, by its full dotted name, and the line that imports it."""

    module: str
    line: int


def source_files() -> list[Path]:
    """Return every Python file of the package."""
    return sorted(PACKAGE.rglob("*.py"))


def label(path: Path) -> str:
    """Name a file relative to the repository, for messages and test ids."""
    return path.relative_to(ROOT).as_posix()


def dotted(path: Path) -> str:
    """Return the module name of a source file."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path, tree: ast.Module | None = None) -> Iterator[Import]:
    """Yield all that a file imports, at any depth and under TYPE_CHECKING too.

    `from heedful.ops import masks` yields `heedful.ops` and `heedful.ops.masks`: whether the second is a
    module or a name in the first, both lie in the same layer. `from heedful import ops` yields
    `heedful.ops` alone, since naming a part through the package is no use of the package's top.
    """
    tree = tree or ast.parse(path.read_text(encoding="utf-8"))
    package = dotted(path).split(".")
    if path.name != "__init__.py":
        package = package[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = ".".join(package[: len(package) - node.level + 1] + ([base] if base else []))
            if base != "heedful":
                yield Import(base, node.lineno)
            yield from (Import(f"{base}.{alias.name}", node.lineno) for alias in node.names)
