"""Turns of a dialogue as an input: sub-word pieces, with a token for the speaker before each turn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from heedful.data.batching import pad_ids
from heedful.data.dialogue.turns import SPEAKERS, Exchange
from heedful.data.packed_ids import Ids
from heedful.data.preparation import in_chunks, report_chunks
from heedful.data.vocabulary import Vocabulary
from heedful.inputs.base import Input
from heedful.inputs.pieces import SOURCE_VOCABULARY, SpelledText
from heedful.models.two_towers import TokenSequence

OLDEST: Final = 15
"""Turns that are so many turns old, or older, are of one age."""


class TurnBatch(NamedTuple):
    """Histories as ids, right-padded, and replies as pieces, without begin and end tokens, where they are known."""

    ids: Tensor
    """(batch, length), long."""
    lengths: Tensor
    """(batch,), long."""
    ages: Tensor
    """(batch, length), long: how many turns ago each token was said, 0 for the last turn."""
    reply_ids: Tensor
    """(batch, reply length), long."""
    reply_lengths: Tensor
    """(batch,), long; 0 where the reply is not known."""


class EncodedExchange(NamedTuple):
    """The ids and ages of a history, and the ids of its reply."""

    ids: Ids
    ages: Ids
    reply: Ids


@dataclass(frozen=True)
class Turns(Input[Exchange, EncodedExchange]):
    """The last turns before a reply as ids: of each its speaker, then its pieces; at the end an end token.

    A history of more than `max_tokens` tokens loses its oldest ones. With `max_turns=0` a model sees no history, and
    learns how replies are in general.

    Reads the section vocabulary, data.max_turns and data.max_length.

    >>> from heedful.data.dialogue.turns import USER, Turn
    >>> turns = Turns(Vocabulary.train(["are you free ?", "yes"], kind="word", min_frequency=1), 4, 64)
    >>> said = Exchange((Turn(USER, "are you free ?"),), "yes")
    >>> turns.positions(said), [len(part) for part in turns.encode([said])[0]]
    (['user:', '▁are', '▁you', '▁free', '▁?'], [6, 6, 1])
    """

    vocabulary: Vocabulary
    max_turns: int
    max_tokens: int

    @classmethod
    def of(cls, config: Any, vocabulary: Vocabulary) -> Self:
        """Build the input from a vocabulary of turns and replies."""
        return cls(vocabulary, config.data.max_turns, config.data.max_length)

    @classmethod
    def learn(cls, config: Any, examples: Sequence[Exchange]) -> Self:
        texts = [turn.text for each in examples for turn in each.history[-1:]]
        return cls.of(
            config, config.vocabulary.train([*texts, *(each.reply or "" for each in examples)])
        )

    @classmethod
    def load(cls, config: Any, folder: Path) -> Self:
        return cls.of(config, Vocabulary.load(folder / SOURCE_VOCABULARY))

    def save(self, folder: Path) -> None:
        self.vocabulary.save(folder / SOURCE_VOCABULARY)

    @classmethod
    def notices(cls, config: Any, examples: int) -> list[str]:
        turns, tokens = config.data.max_turns, config.data.max_length
        if not turns:
            return ["no history is read (data.max_turns = 0)"]
        return [
            f"of a history the last {turns} turns and of these the last {tokens} tokens are read (data.max_turns, "
            "data.max_length)"
        ]

    @property
    def size(self) -> int:
        """The number of ids: those of the vocabulary, then one for each speaker."""
        return len(self.vocabulary) + len(SPEAKERS)

    def encode(self, examples: Sequence[Exchange]) -> list[EncodedExchange]:
        known: dict[str, list[int]] = {}
        encoded = []
        for chunk in report_chunks(in_chunks(examples), "encoding", "replies", len(examples)):
            texts = {
                text
                for each in chunk
                for text in (*(t.text for t in self._kept(each)), each.reply or "")
            }
            new = sorted(texts - known.keys())
            known.update(zip(new, self.vocabulary.encode_ids(new), strict=True))
            encoded += [self._encode(each, known) for each in chunk]
            # Turns of a dialogue are near each other.
            known = {text: known[text] for text in texts}
        return encoded

    def _kept(self, example: Exchange) -> Sequence[Any]:
        return example.history[len(example.history) - min(self.max_turns, len(example.history)) :]

    def _encode(self, example: Exchange, known: dict[str, list[int]]) -> EncodedExchange:
        ids: list[int] = []
        ages: list[int] = []
        kept = self._kept(example)
        for number, turn in enumerate(kept):
            own = [len(self.vocabulary) + SPEAKERS.index(turn.speaker), *known[turn.text]]
            ids += own
            ages += [min(OLDEST, len(kept) - 1 - number)] * len(own)
        reply = np.array(known[example.reply or ""], dtype=np.int32)
        if self.max_turns and not any(turn.text.strip() for turn in kept):
            return EncodedExchange(reply[:0], reply[:0], reply)
        first = max(0, len(ids) + 1 - self.max_tokens)
        return EncodedExchange(
            np.array([*ids, self.vocabulary.end_id][first:], dtype=np.int32),
            np.array([*ages, 0][first:], dtype=np.int32),
            reply,
        )

    def length(self, encoded: EncodedExchange) -> int:
        return len(encoded.ids)

    def collate(self, encoded: Sequence[EncodedExchange]) -> TurnBatch:
        pad = self.vocabulary.pad_id
        ids, lengths = pad_ids([each.ids for each in encoded], pad)
        ages, _ = pad_ids([each.ages for each in encoded], 0)
        replies, reply_lengths = pad_ids([each.reply for each in encoded], pad)
        return TurnBatch(ids, lengths, ages, replies, reply_lengths)

    @property
    def can_hide(self) -> bool:
        return True

    def hide(self, encoded: EncodedExchange, positions: Sequence[int]) -> EncodedExchange:
        """Return an exchange in which some tokens of the history are unknown."""
        ids = encoded.ids.copy()
        ids[list(positions)] = self.vocabulary.unk_id
        return encoded._replace(ids=ids)

    def sizes(self) -> dict[str, int]:
        return {"vocabulary": len(self.vocabulary)}

    def spelled(self, example: Exchange) -> SpelledText:
        """Return the pieces of the history that the model reads, and the words they belong to."""
        pieces: list[str] = []
        word_ids: list[int] = []
        words: list[str] = []
        for turn in self._kept(example):
            encoding = self.vocabulary.encode(turn.text)
            pieces += [f"{turn.speaker}:", *encoding.pieces]
            word_ids += [len(words), *(len(words) + 1 + each for each in encoding.word_ids)]
            words += [f"{turn.speaker}:", *self.vocabulary.words(turn.text)]
        # The end token is one of the tokens that are kept.
        first = max(0, len(pieces) + 1 - self.max_tokens)
        return SpelledText(tuple(pieces[first:]), tuple(word_ids[first:]), tuple(words))

    def positions(self, example: Exchange) -> list[str]:
        return list(self.spelled(example).pieces)

    def title(self, example: Exchange) -> str:
        return " | ".join(f"{turn.speaker}: {turn.text}" for turn in self._kept(example))


def history_tokens(batch: TurnBatch) -> TokenSequence:
    """Return the histories of a batch, as the towers of a ranker read them."""
    return TokenSequence(batch.ids, batch.lengths, batch.ages)


def distinct_replies(batch: TurnBatch) -> tuple[Tensor, Tensor, Tensor]:
    """Return the distinct replies of a batch: ids (distinct, length), lengths (distinct,), and the place of each row's.

    >>> ids = torch.tensor([[5, 6], [7, 0], [5, 6]])
    >>> one = torch.ones(3, 1, dtype=torch.long)
    >>> replies, lengths, place = distinct_replies(TurnBatch(one, one[:, 0], one, ids, torch.tensor([2, 1, 2])))
    >>> replies.shape, lengths.tolist(), place.tolist()
    (torch.Size([2, 2]), [2, 1], [0, 1, 0])
    """
    ids, place = torch.unique(batch.reply_ids, dim=0, return_inverse=True)
    lengths = batch.reply_lengths.new_zeros(len(ids)).scatter(0, place, batch.reply_lengths)
    return ids, lengths, place
