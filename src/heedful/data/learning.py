"""Learning the pieces of a vocabulary from text, one function a kind."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

from tokenizers import trainers

from heedful.data.pieces import (
    RESERVED,
    Merges,
    bpe_tokenizer,
    unigram_tokenizer,
    word_tokenizer,
)

_LONGEST_PIECE = 16
_ROUNDS = 4


class Learned(NamedTuple):
    """What a kind of vocabulary keeps of its training text."""

    pieces: tuple[str, ...]
    merges: Merges = ()
    scores: tuple[float, ...] = ()


def learn_bpe(texts: list[str], size: int, min_frequency: int) -> Learned:
    """Byte-pair encoding: join the most frequent neighbours until there are `size` pieces."""
    alphabet = _alphabet(texts, size, min_frequency)
    tokenizer = bpe_tokenizer((), ())
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=min_frequency,
        special_tokens=list(RESERVED),
        # The whole alphabet is given: where the trainer limits it, it breaks ties at random.
        initial_alphabet=list(alphabet),
        limit_alphabet=len(alphabet),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer, length=len(texts))
    model = _model(tokenizer)
    pieces = sorted(model["vocab"], key=model["vocab"].__getitem__)[len(RESERVED) :]
    return Learned(tuple(pieces), tuple((left, right) for left, right in model["merges"]))


def learn_unigram(texts: list[str], size: int, min_frequency: int) -> Learned:
    """Unigram language model: start from many substrings, drop those that are missed least."""
    alphabet = set(_alphabet(texts, size, min_frequency))
    counts: Counter[str] = Counter()
    cutter = unigram_tokenizer((), ()).pre_tokenizer
    for text in texts:
        # Where a rare character was left out of the alphabet, its surroundings still count.
        known = text if alphabet.issuperset(text) else _blanked(text, alphabet)
        for part in known.split():
            counts.update(cut for cut, _ in cutter.pre_tokenize_str(part))
    pieces = _unigram_pieces(counts, size) | alphabet
    return _unigram_scores(pieces, counts, size - len(RESERVED))


def _blanked(text: str, alphabet: set[str]) -> str:
    return "".join(character if character in alphabet else " " for character in text)


def _unigram_pieces(counts: Counter[str], size: int) -> set[str]:
    tokenizer = unigram_tokenizer((), ())
    trainer = trainers.UnigramTrainer(
        vocab_size=size,
        special_tokens=list(RESERVED),
        unk_token=RESERVED[1],
        max_piece_length=_LONGEST_PIECE,
        show_progress=False,
    )
    # One stretch of text a line, so that the trainer sees nothing else.
    cuts = [cut for cut in sorted(counts) for _ in range(counts[cut])]
    tokenizer.train_from_iterator(cuts, trainer, length=len(cuts))
    return {piece for piece, _ in _model(tokenizer)["vocab"]} - set(RESERVED)


def _unigram_scores(known: set[str], counts: Counter[str], room: int) -> Learned:
    """Fit the log-probabilities of the pieces, of which `room` at most are kept, all single characters among them.

    The trainer adds floating-point numbers in the order in which its threads finish, so the last digits of
    its scores differ between runs. Here pieces are counted in whole numbers: each round cuts
    every stretch of text in its likeliest way and counts the pieces used (hard expectation–maximisation).
    """
    used: Counter[str] = Counter()
    for cut, count in counts.items():
        for start in range(len(cut)):
            for end in range(start + 1, min(len(cut), start + _LONGEST_PIECE) + 1):
                if cut[start:end] in known:
                    used[cut[start:end]] += count
    pieces = sorted(known, key=lambda piece: (len(piece) > 1, -used[piece], piece))[:room]
    cuts = sorted(counts)
    for _ in range(_ROUNDS):
        tokenizer = unigram_tokenizer(tuple(pieces), _log_shares(pieces, used))
        used = Counter()
        for cut, found in zip(cuts, tokenizer.encode_batch(cuts), strict=True):
            for piece in found.tokens:
                used[piece] += counts[cut]
    scores = dict(zip(pieces, _log_shares(pieces, used), strict=True))
    pieces = sorted(pieces, key=lambda piece: (-scores[piece], piece))
    return Learned(tuple(pieces), scores=tuple(scores[piece] for piece in pieces))


def _log_shares(pieces: list[str], used: Counter[str]) -> tuple[float, ...]:
    # Half a use for what was never used: a character must stay possible wherever it is needed.
    total = sum(used[piece] or 0.5 for piece in pieces)
    return tuple(round(math.log((used[piece] or 0.5) / total), 6) for piece in pieces)


def learn_words(texts: list[str], size: int, min_frequency: int) -> Learned:
    """The most frequent words."""
    tokenizer = word_tokenizer(())
    trainer = trainers.WordLevelTrainer(
        vocab_size=size,
        min_frequency=min_frequency,
        special_tokens=list(RESERVED),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer, length=len(texts))
    vocabulary = _model(tokenizer)["vocab"]
    return Learned(tuple(sorted(vocabulary, key=vocabulary.__getitem__)[len(RESERVED) :]))


def learn_characters(texts: list[str], size: int, min_frequency: int) -> Learned:
    """The most frequent characters."""
    return Learned(_alphabet(texts, size, min_frequency))


def _alphabet(texts: list[str], size: int, min_frequency: int) -> tuple[str, ...]:
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(text)
    frequent = [character for character, count in counts.items() if count >= min_frequency]
    frequent.sort(key=lambda character: (-counts[character], character))
    return tuple(frequent[: size - len(RESERVED)])


def _model(tokenizer: Any) -> dict[str, Any]:
    model: dict[str, Any] = json.loads(tokenizer.to_str())["model"]
    return model


LEARNERS: dict[str, Callable[[list[str], int, int], Learned]] = {
    "bpe": learn_bpe,
    "unigram": learn_unigram,
    "word": learn_words,
    "char": learn_characters,
}
