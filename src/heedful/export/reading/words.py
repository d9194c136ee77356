"""Texts as ids of words, and of the characters of each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from heedful.data.words import SPACE_MARK
from heedful.export.program import Given
from heedful.export.reading.base import BATCH, LENGTH, Code, Reading
from heedful.models.encoders.inputs import PADDING, TokenBatch

LONGEST = 7


class WordsReading(Reading):
    """`words` (batch, length), ids of the words of `vocabulary.json` from 2, with 1 for an unknown word and 0 for
    padding, and, of a model that reads spellings, `characters` (batch, length, longest), the same of the characters of
    each word.
    """

    @property
    def reads_characters(self) -> bool:
        """Whether the model reads the spellings of words."""
        return bool(self.predictor.config.inputs.characters != "none")

    @property
    def given(self) -> Sequence[Given]:
        words = Given("words", ("batch", "length"), torch.full((BATCH, LENGTH), 2))
        if not self.reads_characters:
            return [words]
        ids = torch.full((BATCH, LENGTH, LONGEST), 1)
        return [words, Given("characters", ("batch", "length", "longest"), ids)]

    def batch(self, *tensors: Tensor) -> Any:
        words = tensors[0]
        characters = tensors[1] if self.reads_characters else words[..., None]
        lengths = (words != PADDING).sum(1)
        spellings = characters.flatten(0, 1)
        # Every word has a spelling of its own: equal ones would have to be found in the data.
        places = torch.arange(spellings.shape[0]).view_as(words)
        counts = (spellings != PADDING).sum(1).clamp(min=1)
        return TokenBatch(words, lengths, places, spellings, counts)

    @property
    def _pieces(self) -> Any:
        tokenizer = getattr(self.input, "tokenizer", None)
        return None if tokenizer is None else tokenizer.pieces

    def code(self) -> Code:
        imports: list[str] = []
        lines = ['known = {word: n for n, word in enumerate(vocabulary["words"], 2)}']
        lower = ""
        if self._pieces is not None:
            imports.append("from tokenizers import Tokenizer")
            lines.append(f'text = "{SPACE_MARK}" + "a good film".replace(" ", "{SPACE_MARK}")')
            lines.append('tokens = Tokenizer.from_file("tokenizer.json").encode(text).tokens')
        else:
            lines.append('tokens = "a good film".split()  # see below')
            lower = ".lower()" if self.predictor.config.vocabulary.lowercase else ""
        lines.append(f"words = np.array([[known.get(token{lower}, 1) for token in tokens]])")
        if self.reads_characters:
            lines += [
                'letters = {each: n for n, each in enumerate(vocabulary["characters"], 2)}',
                "characters = np.zeros((1, len(tokens), max(map(len, tokens))), dtype=np.int64)",
                "for n, token in enumerate(tokens):",
                "    characters[0, n, : len(token)] = [letters.get(each, 1) for each in token]",
            ]
        return Code(imports, lines)

    @property
    def notes(self) -> str:
        tokenizer = getattr(self.input, "tokenizer", None)
        kind = "space" if tokenizer is None else tokenizer.kind
        split = {
            "word": "Tokens are words and signs: `isn't it?` is `isn't`, `it`, `?`; each character of Chinese is one.",
            "space": "Tokens are what stands between white space.",
            "char": f"Tokens are characters, with {SPACE_MARK} for a space: replace `.split()` by that.",
        }.get(kind, "Tokens are sub-words of `tokenizer.json`.")
        return (
            f"{split} Texts are in Unicode's form NFC. Ids: 0 padding, 1 unknown. `words` is padded with 0 at the end; "
            f"`characters`, if the model reads them, are those of each word.{self._longest}"
        )

    @property
    def _longest(self) -> str:
        longest = getattr(self.input, "max_length", None)
        return f" Of a text of more than {longest} tokens leave out the middle." if longest else ""

    def save(self, folder: Path) -> None:
        super().save(folder)
        if self._pieces is not None:
            self._pieces.save_tokenizer(folder / "tokenizer.json")
