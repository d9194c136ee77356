"""Tables of word vectors: of a trained run, of a Hugging Face model, or of a file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from heedful.data.lexicon import RESERVED
from heedful.data.vectors import read_vectors
from heedful.errors import DataError, OptionError, nearest, shown, unknown_choice
from heedful.inputs.pieces import Pieces
from heedful.inputs.text import Text
from heedful.inputs.tokens import Tokens
from heedful.tasks.predictor import Predictor

MOST_OF_A_FILE: Final = 50_000
"""Of a file of vectors the first words are read, which are its most frequent ones, and those asked for."""
_SPECIAL: Final = 4
"""Ids of a `Vocabulary` before its first piece."""


@dataclass(frozen=True, eq=False)
class WordVectors:
    """Words and a vector for each, the most frequent first.

    >>> table = WordVectors("colours", ("red", "green"), np.eye(2))
    >>> table.index("green")
    1
    """

    name: str
    words: tuple[str, ...]
    values: NDArray[np.floating[Any]]
    """(words, width)."""

    def index(self, word: str) -> int:
        """Return the place of a word.

        Raises: DataError for a word without a vector, with the nearest one.
        """
        for spelling in (word, word.lower()):
            if spelling in self.words:
                return self.words.index(spelling)
        near = nearest(word, self.words)
        hint = f"; did you mean {shown(near)}?" if near else "."
        raise DataError(
            f"{shown(word)} has no vector among the {len(self.words):,} words of {self.name}{hint}"
        )


def tables_of(source: str | Path, wanted: Sequence[str] = ()) -> dict[str, WordVectors]:
    """Return name -> table of a run folder, a folder of a Hugging Face model, or a file of vectors.

    Args:
        source: the folder or file; files are in the text format of word2vec, GloVe and fastText.
        wanted: words that are read from a file wherever they stand in it.

    Raises: OptionError for a model without embeddings of words; DataError for an invalid file; RunError for a damaged
        run.
    """
    # Imported here, as only Hugging Face models need it.
    from heedful.explore.transformers_explain import is_transformer

    path = Path(source)
    if is_transformer(path):
        return {"tokens": _of_transformer(path)}
    if path.is_dir():
        from heedful.tasks.runs import task_of

        return run_tables(task_of(path).load(path))
    found = read_vectors(path, set(wanted), others=MOST_OF_A_FILE)
    return {"file": WordVectors(path.name, found.words, found.values)}


def chosen_table(tables: dict[str, WordVectors], name: str | None) -> WordVectors:
    """Return a table by its name, or the first.

    Raises: OptionError for an unknown name.
    """
    if name is None:
        return next(iter(tables.values()))
    if name not in tables:
        raise unknown_choice("table of vectors", name, tables)
    return tables[name]


def run_tables(predictor: Predictor) -> dict[str, WordVectors]:
    """Return the tables of a trained model: "words" and "vectors" (pre-trained), or "source" and "target".

    Raises: OptionError for a model without embeddings of words.
    """
    found = {each.name: each for each in _run_tables(predictor)}
    if not found:
        raise OptionError(
            f"a model of the task {predictor.task.name!r} has no embeddings of words; give one of tokens or texts, or "
            "a file of vectors."
        )
    return found


def _run_tables(predictor: Predictor) -> Iterator[WordVectors]:
    inputs, model = predictor.input, predictor.model
    if isinstance(inputs, Text | Tokens):
        tokens = inputs.tokens if isinstance(inputs, Text) else inputs
        module: Any = model.members[0].inputs
        for name, embedding in (("words", module.words), ("vectors", module.vectors)):
            if embedding is not None:
                yield _table(name, tokens.words.entries, embedding.weight[RESERVED:])
    elif isinstance(inputs, Pieces):
        for name, vocabulary in (
            ("source", inputs.vocabulary),
            ("target", predictor.answer.vocabulary),
        ):
            embedding = getattr(model, f"{name}_embedding", None)
            if embedding is not None:
                yield _table(name, vocabulary.pieces[_SPECIAL:], embedding.weight[_SPECIAL:])


def _table(name: str, words: Sequence[str], values: torch.Tensor) -> WordVectors:
    # Words that have a pre-trained vector alone come last, and have no learned one.
    rows = min(len(words), len(values))
    return WordVectors(name, tuple(words[:rows]), values[:rows].detach().float().cpu().numpy())


def _of_transformer(folder: Path) -> WordVectors:
    from heedful.explore.transformers_record import load_transformer, token_text

    model, tokenizer = load_transformer(folder)
    weight = model.get_input_embeddings().weight
    tokens = tokenizer.convert_ids_to_tokens(list(range(min(len(tokenizer), len(weight)))))
    return _table("tokens", [token_text(token) for token in tokens], weight)
