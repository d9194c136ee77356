"""Words and phrases that no output holds, whatever tokens they are spelled by."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

from heedful.decode.hypotheses import ActiveHypotheses


class BannedPhrases:
    """Outputs do not hold any of some phrases as whole words.

    The text of a hypothesis is compared, not its tokens, since a model may spell a word by other tokens than those its
    vocabulary would choose. A word that only begins like a banned one stays possible: what is excluded is the end of
    the word. Where each token ends a word, the token that completes the phrase is excluded.

    Args:
        texts: the text of each token, with a space before what begins a word.
        end: id of the end token.
        phrases: as they would stand in a text.
        ends_words: whether a phrase is complete with its last character, whatever follows; else a letter or digit
            after it makes it part of another word.

    >>> import torch
    >>> texts = ["", "", "", "", " the", " cat", "s", "."]
    >>> banned = BannedPhrases(texts, 3, ["cat"], ends_words=False)
    >>> rows = ActiveHypotheses.first(1, 2, torch.device("cpu"))
    >>> rows = ActiveHypotheses(rows.sentence, rows.rank, torch.tensor([[2, 4, 5]]), rows.scores)
    >>> logits = torch.zeros(1, 8)
    >>> banned.exclude(logits, rows)
    >>> logits.isfinite().nonzero()[:, 1].tolist()
    [0, 1, 2, 6]
    """

    def __init__(self, texts: Sequence[str], end: int, phrases: Sequence[str], *, ends_words: bool):
        self.texts, self.phrases, self.ends_words = texts, list(phrases), ends_words
        self.closing = [end, *(n for n, text in enumerate(texts) if text and not _goes_on(text))]
        self._completing = {
            (phrase, place): self._find(phrase, place)
            for phrase in self.phrases
            for place in range(len(phrase))
        }

    def exclude(self, logits: Tensor, hypotheses: ActiveHypotheses) -> None:
        """Set the logits of tokens that would complete a phrase to -inf, in place."""
        for row, tokens in enumerate(hypotheses.tokens[:, 1:].tolist()):
            text = " " + "".join(self.texts[token] for token in tokens)
            if excluded := self._excluded(text):
                logits[row, list(excluded)] = -math.inf

    def _excluded(self, text: str) -> set[int]:
        """Return the tokens that must not follow a text, which begins with a space."""
        found: set[int] = set()
        for phrase in self.phrases:
            for place in range(len(phrase)):
                if _ends_with(text, phrase[:place]):
                    found.update(self._completing[phrase, place])
            if not self.ends_words and _ends_with(text, phrase):
                found.update(self.closing)
            found.update(self._completing_alone(phrase))
        return found

    def _completing_alone(self, phrase: str) -> list[int]:
        """Return the tokens that hold the phrase after a space of their own."""
        key = (phrase, -1)
        if key not in self._completing:
            self._completing[key] = [
                number
                for number, text in enumerate(self.texts)
                if (place := f" {text[1:]}".find(f" {phrase}")) >= 0
                and text[place : place + 1] == " "
                and self._is_complete(text[place + 1 + len(phrase) :])
            ]
        return self._completing[key]

    def _find(self, phrase: str, place: int) -> list[int]:
        """Return the tokens that complete a phrase of which the first `place` characters are there."""
        rest = phrase[place:]
        return [
            number
            for number, text in enumerate(self.texts)
            if text.startswith(rest) and self._is_complete(text[len(rest) :])
        ]

    def _is_complete(self, after: str) -> bool:
        """Whether a phrase is complete before the rest of a token."""
        if not after:
            return self.ends_words
        return self.ends_words or not _goes_on(after)


def _goes_on(text: str) -> bool:
    """Whether a text goes on with the word before it."""
    return text[0].isalnum()


def _ends_with(text: str, beginning: str) -> bool:
    """Whether a text ends with the beginning of a phrase, after the end of another word."""
    if not text.endswith(beginning):
        return False
    before = text[: len(text) - len(beginning)]
    return not before or not before[-1].isalnum()
