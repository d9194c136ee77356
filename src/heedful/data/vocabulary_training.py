"""Training of vocabularies from text, one function per kind."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from tokenizers import Tokenizer, trainers

from heedful.data.hf_tokenizers import (
    RESERVED,
    Merges,
    bpe_tokenizer,
    unigram_tokenizer,
    word_tokenizer,
)
from heedful.data.preparation import in_chunks, report_chunks, report_items

Trainer = trainers.BpeTrainer | trainers.WordLevelTrainer

_LEARNING = "learning the vocabulary"
_MAX_PIECE_LENGTH = 16
_EM_ROUNDS = 4


class Learned(NamedTuple):
    """A trained vocabulary: its pieces, BPE merges and unigram scores."""

    pieces: tuple[str, ...]
    merges: Merges = ()
    scores: tuple[float, ...] = ()


def learn_bpe(texts: Sequence[str], size: int, min_frequency: int) -> Learned:
    """Byte-pair encoding: merge the most frequent adjacent pairs until there are `size` pieces."""
    alphabet = _alphabet(texts, size, min_frequency)
    tokenizer = bpe_tokenizer((), ())
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=min_frequency,
        special_tokens=list(RESERVED),
        # Pass the whole alphabet: where the trainer limits it, it breaks ties at random.
        initial_alphabet=list(alphabet),
        limit_alphabet=len(alphabet),
        show_progress=False,
    )
    _train(tokenizer, texts, trainer)
    model = _model_of(tokenizer)
    pieces = sorted(model["vocab"], key=model["vocab"].__getitem__)[len(RESERVED) :]
    return Learned(tuple(pieces), tuple((left, right) for left, right in model["merges"]))


def learn_unigram(texts: Sequence[str], size: int, min_frequency: int) -> Learned:
    """Unigram language model: start from many substrings, prune those that lower the likelihood least."""
    alphabet = set(_alphabet(texts, size, min_frequency))
    counts: Counter[str] = Counter()
    pre_tokenizer = unigram_tokenizer((), ()).pre_tokenizer
    for text in report_items(texts, _LEARNING, "texts", len(texts)):
        # A rare character outside the alphabet becomes a space, so that the text around it still counts.
        known = text if alphabet.issuperset(text) else _blank_unknown(text, alphabet)
        for part in known.split():
            counts.update(pretoken for pretoken, _ in pre_tokenizer.pre_tokenize_str(part))
    pieces = _unigram_pieces(counts, size) | alphabet
    return _unigram_scores(pieces, counts, size - len(RESERVED))


def _blank_unknown(text: str, alphabet: set[str]) -> str:
    return "".join(character if character in alphabet else " " for character in text)


def _unigram_pieces(counts: Counter[str], size: int) -> set[str]:
    tokenizer = unigram_tokenizer((), ())
    trainer = trainers.UnigramTrainer(
        vocab_size=size,
        special_tokens=list(RESERVED),
        unk_token=RESERVED[1],
        max_piece_length=_MAX_PIECE_LENGTH,
        show_progress=False,
    )
    # One pre-token per line, so that no piece crosses pre-tokens.
    lines = (pretoken for pretoken in sorted(counts) for _ in range(counts[pretoken]))
    tokenizer.train_from_iterator(lines, trainer, length=counts.total())
    return {piece for piece, _ in _model_of(tokenizer)["vocab"]} - set(RESERVED)


def _unigram_scores(candidates: set[str], counts: Counter[str], max_pieces: int) -> Learned:
    """Fit the log-probabilities of at most `max_pieces` candidates; single characters are always kept.

    The trainer sums floats in the order in which its threads finish, so its scores are not reproducible.
    Here pieces are counted as integers: each round segments every pre-token in the most probable way and
    counts the pieces used (hard expectation–maximisation).
    """
    used: Counter[str] = Counter()
    for pretoken, count in counts.items():
        for start in range(len(pretoken)):
            for end in range(start + 1, min(len(pretoken), start + _MAX_PIECE_LENGTH) + 1):
                if pretoken[start:end] in candidates:
                    used[pretoken[start:end]] += count
    pieces = sorted(candidates, key=lambda piece: (len(piece) > 1, -used[piece], piece))
    pieces = pieces[:max_pieces]
    pretokens = sorted(counts)
    for _ in range(_EM_ROUNDS):
        tokenizer = unigram_tokenizer(tuple(pieces), _log_probabilities(pieces, used))
        used = Counter()
        for pretoken, encoding in zip(pretokens, tokenizer.encode_batch(pretokens), strict=True):
            for piece in encoding.tokens:
                used[piece] += counts[pretoken]
    scores = dict(zip(pieces, _log_probabilities(pieces, used), strict=True))
    pieces = sorted(pieces, key=lambda piece: (-scores[piece], piece))
    return Learned(tuple(pieces), scores=tuple(scores[piece] for piece in pieces))


def _log_probabilities(pieces: list[str], used: Counter[str]) -> tuple[float, ...]:
    # Unused pieces count half: every character must keep a finite score.
    total = sum(used[piece] or 0.5 for piece in pieces)
    return tuple(round(math.log((used[piece] or 0.5) / total), 6) for piece in pieces)


def learn_words(texts: Sequence[str], size: int, min_frequency: int) -> Learned:
    """Keep the most frequent words."""
    tokenizer = word_tokenizer(())
    trainer = trainers.WordLevelTrainer(
        vocab_size=size,
        min_frequency=min_frequency,
        special_tokens=list(RESERVED),
        show_progress=False,
    )
    _train(tokenizer, texts, trainer)
    vocabulary = _model_of(tokenizer)["vocab"]
    return Learned(tuple(sorted(vocabulary, key=vocabulary.__getitem__)[len(RESERVED) :]))


def learn_characters(texts: Sequence[str], size: int, min_frequency: int) -> Learned:
    """Keep the most frequent characters."""
    return Learned(_alphabet(texts, size, min_frequency))


def _alphabet(texts: Sequence[str], size: int, min_frequency: int) -> tuple[str, ...]:
    counts: Counter[str] = Counter()
    for chunk in report_chunks(in_chunks(texts), "counting characters", "texts", len(texts)):
        counts.update("".join(chunk))
    frequent = [character for character, count in counts.items() if count >= min_frequency]
    frequent.sort(key=lambda character: (-counts[character], character))
    return tuple(frequent[: size - len(RESERVED)])


def _train(tokenizer: Tokenizer, texts: Sequence[str], trainer: Trainer) -> None:
    chunks = report_chunks(in_chunks(texts), _LEARNING, "texts", len(texts))
    tokenizer.train_from_iterator(chunks, trainer, length=len(texts))


def _model_of(tokenizer: Any) -> dict[str, Any]:
    model: dict[str, Any] = json.loads(tokenizer.to_str())["model"]
    return model


LEARNERS: dict[str, Callable[[Sequence[str], int, int], Learned]] = {
    "bpe": learn_bpe,
    "unigram": learn_unigram,
    "word": learn_words,
    "char": learn_characters,
}
"""Vocabulary kind -> `train(texts, size, min_frequency)`."""
