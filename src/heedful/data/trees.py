"""Dependency trees of CoNLL-U files: the words of each sentence, the head of each word and the relation to it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from heedful.data.conllu import COLUMNS, ConllU
from heedful.data.files import iterate_lines
from heedful.data.label_base import Sentence
from heedful.data.number import is_count
from heedful.errors import DataError, shown, unquoted

ROOT: Final = "root"
"""The relation of the word that has no head."""
_HEAD, _RELATION = COLUMNS.index("head"), COLUMNS.index("deprel")


@dataclass(frozen=True)
class Tree:
    """One sentence with its dependency tree.

    >>> Tree(("dogs", "bark"), (1, None), ("nsubj", "root")).heads
    (1, None)
    """

    words: tuple[str, ...]
    heads: tuple[int | None, ...]
    """The index of the head of each word, from 0; None of the root."""
    relations: tuple[str, ...]
    """The relation of each word to its head, without its subtype: nsubj of nsubj:pass."""


def read_trees(path: str | Path) -> list[Tree]:
    """Read the dependency trees of a CoNLL-U file, plain or gzipped.

    Raises: DataError naming file and line, for a malformed line, a head that is no word of the sentence, a missing
        relation, and a file without sentences.
    """
    path = Path(path)
    found = [
        _tree(sentence)
        for sentence in ConllU("deprel").read(path, iterate_lines(path))
        if sentence.tokens
    ]
    if not found:
        raise DataError("the file holds no sentences; give a CoNLL-U file with trees.", path=path)
    return found


def _tree(sentence: Sentence) -> Tree:
    rows = [sentence.lines[row].split("\t") for row in sentence.rows]
    heads = []
    for token, fields in enumerate(rows):
        text = fields[_HEAD]
        if not is_count(text) or int(text) > len(rows) or int(text) == token + 1:
            raise sentence.error(
                token,
                f"the head is {unquoted(text)}; expected the id of another word of the sentence, 1 to {len(rows)}, or "
                "0 for the root.",
            )
        heads.append(int(text) - 1 if int(text) else None)
    relations = [fields[_RELATION].partition(":")[0] for fields in rows]
    for token, relation in enumerate(relations):
        if relation in ("", "_"):
            raise sentence.error(
                token,
                f"the relation is {shown(rows[token][_RELATION])}; fill in the column deprel.",
            )
    return Tree(sentence.tokens, tuple(heads), tuple(relations))
