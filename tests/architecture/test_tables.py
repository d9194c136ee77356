"""The names of a table are written once: nothing else lists them, whether as a Literal, a collection or a text."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from heedful.models.encoders import ENCODERS
from heedful.nn import ACTIVATIONS, NORMALIZER_BUILDERS, NORMS, POSITIONS
from heedful.ops.masks import MASKS
from heedful.ops.normalizers import NORMALIZERS
from heedful.ops.scores import SCORES
from tests.architecture.sources import PACKAGE, label, source_files

TABLES = {
    "ACTIVATIONS": ACTIVATIONS,
    "ENCODERS": ENCODERS,
    "MASKS": MASKS,
    "NORMALIZERS": NORMALIZERS,
    "NORMALIZER_BUILDERS": NORMALIZER_BUILDERS,
    "NORMS": NORMS,
    "POSITIONS": POSITIONS,
    "SCORES": SCORES,
}
ALLOWED = {
    (
        "src/heedful/cli/probe.py",
        "ENCODERS",
    ): "the encoders that are probed by default: some of them",
    (
        "src/heedful/export/ct2.py",
        "ACTIVATIONS",
    ): "those that another engine has",
}


def names_in(node: ast.AST) -> set[str]:
    """Return the texts that stand together: in a collection, a Literal, or a text with commas."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return set(re.split(r"[,\s]+|\bor\b", node.value.strip(" .")))
    parts: list[ast.expr | None] = []
    if isinstance(node, ast.Tuple | ast.List | ast.Set):
        parts = [*node.elts]
    elif isinstance(node, ast.Dict):
        parts = [*node.keys]
    values = [part.value for part in parts if isinstance(part, ast.Constant)]
    return {value for value in values if isinstance(value, str)}


def listed(node: ast.AST, defined: str = "") -> Iterator[tuple[int, set[str], str]]:
    """Yield every list of texts that is no docstring: its line, the texts, and the variable it defines."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return
    if isinstance(node, ast.Assign | ast.AnnAssign):
        target = node.targets[0] if isinstance(node, ast.Assign) else node.target
        defined = ast.unparse(target)
    if texts := names_in(node):
        assert isinstance(node, ast.expr)
        yield node.lineno, texts, defined
    for child in ast.iter_child_nodes(node):
        yield from listed(child, defined)


def second_lists(path: Path, source: str) -> list[str]:
    """Return where a file lists at least half of the names of a table, outside of the table's definition."""
    return [
        f"{label(path)}:{line} lists {sorted(texts & set(names))}; read them from {table}"
        for line, texts, defined in listed(ast.parse(source))
        for table, names in TABLES.items()
        if len(texts & set(names)) >= max(2, (len(names) + 1) // 2)
        and defined != table
        and (label(path), table) not in ALLOWED
    ]


def test_names_are_written_once() -> None:
    found = {
        label(path): second_lists(path, path.read_text(encoding="utf-8")) for path in source_files()
    }
    assert {name: lists for name, lists in found.items() if lists} == {}


@pytest.mark.parametrize(
    "source",
    [
        'Score = Literal["dot", "scaled_dot", "bilinear", "low_rank", "cosine"]',
        'normalizer: Literal["softmax", "sparsemax", "entmax", "relu"] = Field("softmax")',
        'NAMES = ("sinusoidal", "learned", "rotary", "alibi")',
        'help = "none, window, convolution, ngrams, rnn, lstm, gru, attention or transformer."',
        'if norm in {"pre", "post"}: pass',
        'MAKERS = {"relu": relu, "gelu": gelu}',
        'SCORES_OF_MINE = ["dot", "scaled_dot", "bilinear", "additive", "cosine"]',
    ],
)
def test_the_check_itself_finds_a_second_list(source: str) -> None:
    assert len(second_lists(PACKAGE / "models/config.py", source)) >= 1


@pytest.mark.parametrize(
    "source",
    [
        'NORMS = ("pre", "post")',
        'ACTIVATIONS: dict[str, Activation] = {"relu": relu, "gelu": gelu}',
        'kind: Literal["dot", "additive"]',
        '"""One of dot, scaled_dot, bilinear, low_rank, cosine."""',
    ],
)
def test_the_check_itself_lets_definitions_pass(source: str) -> None:
    assert second_lists(PACKAGE / "models/config.py", source) == []


def test_what_is_allowed_is_there() -> None:
    for (place, table), _ in ALLOWED.items():
        names = set(TABLES[table])
        tree = ast.parse((PACKAGE.parents[1] / place).read_text(encoding="utf-8"))
        assert any(len(texts & names) > 1 for _, texts, _ in listed(tree))
