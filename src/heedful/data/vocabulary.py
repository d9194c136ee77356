"""Vocabularies: texts to ids and back, over Hugging Face tokenizers."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

from tokenizers import Tokenizer

from heedful.data import words as word_rules
from heedful.data.encoding import Encoding, traced
from heedful.data.learning import LEARNERS
from heedful.data.pieces import (
    RESERVED,
    Merges,
    bpe_tokenizer,
    character_tokenizer,
    unigram_tokenizer,
    word_tokenizer,
)
from heedful.data.words import SPACE_MARK, normalise, starts_unspaced
from heedful.errors import DataError, OptionError, RunError, unknown_choice

UNKNOWN_TEXT = "⁇"
"""What an unknown piece is decoded to."""

_FORMAT = "heedful vocabulary 1"


@dataclass(frozen=True)
class Vocabulary:
    """The pieces that texts are cut into, and their ids.

    Ids 0 to 3 are padding, unknown, begin and end; no text is ever encoded to 0, 2 or 3, whatever it holds.
    Texts are first brought to `heedful.data.words.normalise`'s form, which is what `decode` gives back.
    Two vocabularies are equal when they encode everything alike.

    Example:
        >>> vocabulary = Vocabulary.train(["low lower", "new newer"], kind="bpe", size=40)
        >>> vocabulary.decode(vocabulary.encode("newer  low").ids)
        'newer low'
        >>> vocabulary.encode("newer low").words[-1]
        1
    """

    kind: str
    """One of `KINDS`: bpe, unigram, word, char."""
    lowercase: bool
    learned: tuple[str, ...]
    """The pieces of ids 4, 5, ..."""
    merges: Merges = ()
    """bpe: the merges in the order in which they were learned."""
    scores: tuple[float, ...] = ()
    """unigram: the log-probability of each learned piece."""

    pad_id: ClassVar[int] = 0
    unk_id: ClassVar[int] = 1
    begin_id: ClassVar[int] = 2
    end_id: ClassVar[int] = 3

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
        """Learn a vocabulary from texts. The same texts always give the same vocabulary.

        Args:
            lines: the texts. For a vocabulary shared by source and target, give both.
            kind: "bpe" (byte-pair encoding), "unigram", "word" or "char".
            size: the most pieces wanted, the four reserved ones included; few texts give fewer.
            min_frequency: how often a character, a word or a byte pair must stand in the texts to count.
            lowercase: whether upper and lower case are one.

        Raises:
            OptionError: an unknown kind, a size below 5, a min_frequency below 1.
            DataError: there is no text in the lines, or nothing in it that is frequent enough.
        """
        if kind not in LEARNERS:
            raise unknown_choice("vocabulary kind", kind, LEARNERS)
        if size <= len(RESERVED):
            raise OptionError(
                f"a vocabulary size of {size} leaves no room: {len(RESERVED)} ids are reserved; "
                "take a larger size."
            )
        if min_frequency < 1:
            raise OptionError(f"min_frequency is {min_frequency}; 1 or more is wanted.")
        if isinstance(lines, str):
            raise OptionError("lines is one string; a list of lines is wanted.")
        texts = [_marked(normalise(line, lowercase=lowercase), kind) for line in lines]
        if not any(texts):
            raise DataError("there is no text to learn a vocabulary from; every line is empty.")
        found = LEARNERS[kind](texts, size, min_frequency)
        if not found.pieces:
            raise DataError(
                f"nothing in the text stands there {min_frequency} times or more; take a lower "
                "min_frequency."
            )
        return cls(kind, lowercase, found.pieces, found.merges, found.scores)

    @cached_property
    def pieces(self) -> tuple[str, ...]:
        """The piece of each id, for display."""
        return ("<pad>", UNKNOWN_TEXT, "<s>", "</s>", *self.learned)

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        return KINDS[self.kind](self)

    def __len__(self) -> int:
        return len(RESERVED) + len(self.learned)

    def words(self, text: str) -> list[str]:
        """Return the words that `Encoding.words` counts; see `heedful.data.words.words`."""
        return word_rules.words(normalise(text, lowercase=self.lowercase))

    def encode(self, text: str) -> Encoding:
        """Cut a text into pieces."""
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: Iterable[str]) -> list[Encoding]:
        """Cut many texts into pieces, on all cores."""
        marked = self._prepared(texts)
        found = self._tokenizer.encode_batch(marked, add_special_tokens=False)
        return [
            traced(text, item.ids, item.offsets) for text, item in zip(marked, found, strict=True)
        ]

    def encode_ids(self, texts: Iterable[str]) -> list[list[int]]:
        """Return the ids alone, of many texts: what training needs, several times faster."""
        found = self._tokenizer.encode_batch(self._prepared(texts), add_special_tokens=False)
        return [item.ids for item in found]

    def _prepared(self, texts: Iterable[str]) -> list[str]:
        return [_marked(normalise(text, lowercase=self.lowercase), self.kind) for text in texts]

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of ids: padding, begin and end are left out, unknown pieces are "⁇".

        Raises:
            OptionError: an id that is not in the vocabulary.
        """
        text = "".join(self._texts(ids)).replace(SPACE_MARK, " ")
        return " ".join(text.split())

    def trace(self, ids: Sequence[int]) -> Encoding:
        """Say which word of `words(decode(ids))` each of these very ids belongs to.

        Encoding the decoded text would not do: a model may cut a word in another way than `encode`.
        Padding, begin and end belong to word -1.

        Raises:
            OptionError: an id that is not in the vocabulary.
        """
        texts = self._texts(ids)
        offsets = []
        position = 0
        for text in texts:
            offsets.append((position, position + len(text)))
            position += len(text)
        return traced("".join(texts), list(ids), offsets)

    def _texts(self, ids: Iterable[int]) -> list[str]:
        reserved = ("", UNKNOWN_TEXT, "", "")
        found = []
        for index in ids:
            if not 0 <= index < len(self):
                raise OptionError(f"id {index} is not in this vocabulary of {len(self):,} pieces.")
            found.append(
                reserved[index] if index < len(RESERVED) else self.learned[index - len(RESERVED)]
            )
        return found

    def save(self, path: str | Path) -> None:
        """Write the vocabulary as JSON: the same vocabulary always gives the same bytes."""
        content = {
            "format": _FORMAT,
            "kind": self.kind,
            "lowercase": self.lowercase,
            "pieces": self.learned,
            "merges": self.merges,
            "scores": self.scores,
        }
        text = json.dumps(content, ensure_ascii=False, indent=0)
        Path(path).write_text(text + "\n", encoding="utf-8", newline="\n")

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a vocabulary that `save` wrote.

        Raises:
            RunError: the file is missing, damaged, or something else.
        """
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise RunError(f"{path}: the vocabulary cannot be read: {error.strerror}.") from None
        except (ValueError, RecursionError) as error:
            raise RunError(
                f"{path}: the vocabulary is damaged or cut short ({error}); copy it again."
            ) from None
        if not isinstance(content, dict) or content.get("format") != _FORMAT:
            raise RunError(f"{path}: not a vocabulary that Heedful wrote ({_FORMAT!r} is wanted).")
        return cls._checked(path, content)

    @classmethod
    def _checked(cls, path: str | Path, content: dict[str, Any]) -> Self:
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
            raise RunError(f"{path}: the vocabulary is damaged: its parts do not fit together.")
        pairs = tuple((left, right) for left, right in merges)
        return cls(kind, lowercase, tuple(pieces), pairs, tuple(scores))


def _are_pieces(found: Any) -> bool:
    return (
        isinstance(found, list)
        and all(isinstance(piece, str) and piece and " " not in piece for piece in found)
        and len(set(found)) == len(found)
    )


def _are_merges(found: Any, pieces: list[str]) -> bool:
    known = set(pieces)
    return isinstance(found, list) and all(
        isinstance(merge, list)
        and len(merge) == 2
        and all(isinstance(part, str) and part in known for part in merge)
        and "".join(merge) in known
        for merge in found
    )


def _are_scores(found: Any, number: int) -> bool:
    return (
        isinstance(found, list)
        and len(found) == number
        and all(isinstance(score, float) and math.isfinite(score) for score in found)
    )


def _marked(text: str, kind: str) -> str:
    # A first word is written as it is elsewhere, after a space; characters need no such help, and text
    # in a script without spaces has no spaces elsewhere either.
    start = SPACE_MARK if text and kind != "char" and not starts_unspaced(text) else ""
    return start + text.replace(" ", SPACE_MARK)


KINDS: dict[str, Callable[[Vocabulary], Tokenizer]] = {
    "bpe": lambda vocabulary: bpe_tokenizer(vocabulary.learned, vocabulary.merges),
    "unigram": lambda vocabulary: unigram_tokenizer(vocabulary.learned, vocabulary.scores),
    "word": lambda vocabulary: word_tokenizer(vocabulary.learned),
    "char": lambda vocabulary: character_tokenizer(vocabulary.learned),
}
