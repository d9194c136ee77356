"""Subword, word and character vocabularies: text to ids and back, by Hugging Face tokenizers."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

from tokenizers import Tokenizer

from heedful.atomic_files import write_text
from heedful.data import words as word_rules
from heedful.data.encoding import Encoding, align_to_words
from heedful.data.hf_tokenizers import (
    RESERVED,
    Merges,
    bpe_tokenizer,
    character_tokenizer,
    unigram_tokenizer,
    word_tokenizer,
)
from heedful.data.packed_texts import PackedTexts
from heedful.data.vocabulary_training import LEARNERS
from heedful.data.words import RULES, SPACE_MARK, normalise, starts_unspaced
from heedful.errors import DataError, OptionError, RunError, shown, unknown_choice
from heedful.stored_files import read_json

UNKNOWN_TEXT = "⁇"
"""Decoded form of an unknown piece."""

_FORMATS = {f"heedful vocabulary {rules}": rules for rules in range(1, RULES + 1)}
"""Format of a file -> the version of the rules that it was learned by."""


@dataclass(frozen=True)
class Vocabulary:
    """The pieces that texts are tokenized into, and their ids.

    Ids 0 to 3 are padding, unknown, begin and end; no text is ever encoded to 0, 2 or 3. Texts are first
    normalised by `heedful.data.words.normalise`; `decode` returns that form. Equal vocabularies encode every
    text equally.

    Example:
        >>> vocabulary = Vocabulary.train(["low lower", "new newer"], kind="bpe", size=40)
        >>> vocabulary.decode(vocabulary.encode("newer  low").ids)
        'newer low'
        >>> vocabulary.encode("newer low").word_ids[-1]
        1
    """

    kind: str
    """One of `KINDS`: bpe, unigram, word, char."""
    lowercase: bool
    learned: tuple[str, ...]
    """The pieces of ids 4, 5, ..."""
    merges: Merges = ()
    """bpe: the merges, in the order learned."""
    scores: tuple[float, ...] = ()
    """unigram: the log-probability of each learned piece."""
    rules: int = RULES
    """Version of the rules by which texts are normalised and split, see `heedful.data.words.RULES`."""

    pad_id: ClassVar[int] = 0
    unk_id: ClassVar[int] = 1
    begin_id: ClassVar[int] = 2
    end_id: ClassVar[int] = 3
    reserved_count: ClassVar[int] = len(RESERVED)
    """Ids below it are no pieces of text."""

    @classmethod
    def train(
        cls,
        lines: Iterable[str],
        *,
        kind: str = "bpe",
        size: int = 10_000,
        min_frequency: int = 1,
        lowercase: bool = False,
    ) -> Self:
        """Learn a vocabulary from texts, deterministically.

        Args:
            lines: the texts, which are read once and not kept. For a vocabulary shared by source and target, give both.
            kind: "bpe" (byte-pair encoding), "unigram", "word" or "char".
            size: the maximum number of pieces, including the four reserved ones.
            min_frequency: how often a character, word or byte pair must occur to be used.
            lowercase: whether to lower-case the texts.

        Raises:
            OptionError: an unknown kind, a size below 5, a min_frequency below 1.
            DataError: all lines are empty, or nothing occurs often enough.
        """
        if kind not in LEARNERS:
            raise unknown_choice("vocabulary kind", kind, LEARNERS)
        if size <= len(RESERVED):
            raise OptionError(
                f"a vocabulary size of {size} leaves no room: {len(RESERVED)} ids are reserved; "
                "choose a larger size."
            )
        if min_frequency < 1:
            raise OptionError(f"min_frequency is {min_frequency}; it must be 1 or more.")
        if isinstance(lines, str):
            raise OptionError("lines is a single string; pass a list of strings.")
        texts = PackedTexts.of(
            _with_space_marks(normalise(line, lowercase=lowercase), kind) for line in lines
        )
        if not any(texts):
            raise DataError("there is no text to learn a vocabulary from; every line is empty.")
        learned = LEARNERS[kind](texts, size, min_frequency)
        if not learned.pieces:
            raise DataError(
                f"nothing in the text occurs {min_frequency} times or more; lower min_frequency."
            )
        return cls(kind, lowercase, learned.pieces, learned.merges, learned.scores)

    @cached_property
    def pieces(self) -> tuple[str, ...]:
        """The piece of each id, for display."""
        return ("<pad>", UNKNOWN_TEXT, "<s>", "</s>", *self.learned)

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        return KINDS[self.kind](self)

    def __len__(self) -> int:
        return len(RESERVED) + len(self.learned)

    def normalise(self, text: str) -> str:
        """Return the form of a text that is encoded and decoded."""
        return normalise(text, lowercase=self.lowercase, rules=self.rules)

    def words(self, text: str) -> list[str]:
        """Return the words that `Encoding.word_ids` indexes; see `heedful.data.words.words`."""
        return word_rules.words(self.normalise(text))

    def encode(self, text: str) -> Encoding:
        """Encode a text."""
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: Iterable[str]) -> list[Encoding]:
        """Encode many texts, on all cores."""
        marked = self._preprocess(texts)
        encodings = self._tokenizer.encode_batch(marked, add_special_tokens=False)
        return [
            align_to_words(text, item.ids, item.offsets)
            for text, item in zip(marked, encodings, strict=True)
        ]

    def encode_ids(self, texts: Iterable[str]) -> list[list[int]]:
        """Return only the ids of many texts; several times faster than `encode_batch`."""
        marked = self._preprocess(texts)
        encodings = self._tokenizer.encode_batch_fast(marked, add_special_tokens=False)
        return [item.ids for item in encodings]

    def pretokens(self, text: str) -> list[str]:
        """Return the parts of a text, joined from pieces, that no piece reaches beyond."""
        splitter = self._tokenizer.pre_tokenizer
        return [part for part, _ in splitter.pre_tokenize_str(text)]

    def _preprocess(self, texts: Iterable[str]) -> list[str]:
        return [_with_space_marks(self.normalise(text), self.kind) for text in texts]

    def decode(self, ids: Iterable[int], unknown: Iterable[str] = ()) -> str:
        """Decode ids to text; padding, begin and end are dropped, unknown pieces become "⁇".

        Args:
            ids: any number of ids.
            unknown: what stands for each unknown piece instead, in order.

        Raises:
            OptionError: an id is not in the vocabulary.
        """
        known = list(ids)
        texts, copied = self._texts(known), iter(unknown)
        for place, index in enumerate(known):
            if index == self.unk_id:
                texts[place] = next(copied, texts[place])
        text = "".join(texts).replace(SPACE_MARK, " ")
        return " ".join(text.split())

    def align_ids(self, ids: Sequence[int]) -> Encoding:
        """Return the word of `words(decode(ids))` that each given id belongs to.

        Re-encoding the decoded text would not do: a model may segment a word differently from `encode`.
        Padding, begin and end get word -1.

        Raises:
            OptionError: an id is not in the vocabulary.
        """
        texts = self._texts(ids)
        offsets = []
        position = 0
        for text in texts:
            offsets.append((position, position + len(text)))
            position += len(text)
        return align_to_words("".join(texts), list(ids), offsets)

    def _texts(self, ids: Iterable[int]) -> list[str]:
        reserved = ("", UNKNOWN_TEXT, "", "")
        texts = []
        for index in ids:
            if not 0 <= index < len(self):
                raise OptionError(f"id {index} is not in this vocabulary of {len(self):,} pieces.")
            texts.append(
                reserved[index] if index < len(RESERVED) else self.learned[index - len(RESERVED)]
            )
        return texts

    def save(self, path: str | Path) -> None:
        """Write the vocabulary as JSON. The output is deterministic."""
        content = {
            "format": f"heedful vocabulary {self.rules}",
            "kind": self.kind,
            "lowercase": self.lowercase,
            "pieces": self.learned,
            "merges": self.merges,
            "scores": self.scores,
        }
        text = json.dumps(content, ensure_ascii=False, indent=0)
        write_text(Path(path), text + "\n")

    def token_names(self) -> list[str]:
        """Return the unique name of each id in the file of `save_tokenizer`."""
        return [str(self._tokenizer.id_to_token(each)) for each in range(len(self))]

    def save_tokenizer(self, path: Path) -> None:
        """Write the tokenizer as the library tokenizers reads it; it takes texts whose spaces are `SPACE_MARK`."""
        write_text(path, self.tokenizer_json() + "\n")

    def tokenizer_json(self) -> str:
        """Return the tokenizer as JSON of the library tokenizers."""
        return self._tokenizer.to_str(pretty=True)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Load a vocabulary written by `save`.

        Raises:
            RunError: the file is missing, damaged, or in another format.
        """
        content = read_json(Path(path))
        if not isinstance(content, dict) or content.get("format") not in tuple(_FORMATS):
            raise RunError(
                f"{path}: not a vocabulary written by Heedful (expected format {shown(list(_FORMATS)[-1])})."
            )
        return cls._validated(path, content)

    @classmethod
    def _validated(cls, path: str | Path, content: dict[str, Any]) -> Self:
        names = ("kind", "lowercase", "pieces", "merges", "scores")
        parts: list[Any] = [content.get(name) for name in names]
        kind, lowercase, pieces, merges, scores = parts
        if not (
            kind in tuple(KINDS)
            and isinstance(lowercase, bool)
            and _are_pieces(pieces)
            and _are_merges(merges, pieces if kind == "bpe" else [])
            and _are_scores(scores, len(pieces) if kind == "unigram" else 0)
        ):
            raise RunError(
                f"{path}: the vocabulary is damaged: its parts are inconsistent; copy it again."
            )
        pairs = tuple((left, right) for left, right in merges)
        return cls(
            kind, lowercase, tuple(pieces), pairs, tuple(scores), _FORMATS[content["format"]]
        )


def _are_pieces(value: Any) -> bool:
    return (
        isinstance(value, list)
        and all(isinstance(piece, str) and piece and " " not in piece for piece in value)
        and len(set(value)) == len(value)
    )


def _are_merges(value: Any, pieces: list[str]) -> bool:
    known = set(pieces)
    return isinstance(value, list) and all(
        isinstance(merge, list)
        and len(merge) == 2
        and all(isinstance(part, str) and part in known for part in merge)
        and "".join(merge) in known
        for merge in value
    )


def _are_scores(value: Any, expected_count: int) -> bool:
    return (
        isinstance(value, list)
        and len(value) == expected_count
        and all(isinstance(score, float) and math.isfinite(score) for score in value)
    )


def _with_space_marks(text: str, kind: str) -> str:
    # The leading mark makes a first word equal to the same word after a space. Characters do not need it,
    # nor do scripts without spaces.
    start = SPACE_MARK if text and kind != "char" and not starts_unspaced(text) else ""
    return start + text.replace(" ", SPACE_MARK)


KINDS: dict[str, Callable[[Vocabulary], Tokenizer]] = {
    "bpe": lambda vocabulary: bpe_tokenizer(
        vocabulary.learned, vocabulary.merges, vocabulary.rules
    ),
    "unigram": lambda vocabulary: unigram_tokenizer(
        vocabulary.learned, vocabulary.scores, vocabulary.rules
    ),
    "word": lambda vocabulary: word_tokenizer(vocabulary.learned, vocabulary.rules),
    "char": lambda vocabulary: character_tokenizer(vocabulary.learned, vocabulary.rules),
}
"""Vocabulary kind -> its tokenizer."""
