"""Dependency trees of CoNLL-U files."""

from __future__ import annotations

from pathlib import Path

import pytest

from heedful.data.trees import Tree, read_trees
from heedful.errors import DataError


def row(number: str, word: str, head: str, relation: str) -> str:
    return f"{number}\t{word}\t_\t_\t_\t_\t{head}\t{relation}\t_\t_\n"


def test_words_heads_and_relations(tmp_path: Path) -> None:
    file = tmp_path / "trees.conllu"
    file.write_text(
        "# text = ranges and empty nodes are no words\n"
        + row("1-2", "don't", "_", "_")
        + row("1", "do", "3", "aux:pass")
        + row("2", "n't", "3", "advmod")
        + row("2.1", "gone", "_", "_")
        + row("3", "go", "0", "root")
        + "\n"
    )
    assert read_trees(file) == [
        Tree(("do", "n't", "go"), (2, 2, None), ("aux", "advmod", "root")),
    ]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            row("1", "go", "3", "obj"),
            r"trees.conllu, line 1: the head is 3; expected the id of another",
        ),
        (row("1", "go", "1", "obj"), r"the head is 1; expected"),
        (row("1", "go", "_", "obj"), r"the head is _; expected"),
        (row("1", "go", "-1", "obj"), r"the head is -1; expected"),
        (row("1", "go", "0", "_"), r"(?i)column 'deprel' is empty|the relation is '_'"),
        ("\n", r"holds no sentences|empty"),
    ],
)
def test_what_is_no_tree_is_an_error(tmp_path: Path, rows: str, message: str) -> None:
    file = tmp_path / "trees.conllu"
    file.write_text(rows + "\n")
    with pytest.raises(DataError, match=message):
        read_trees(file)
