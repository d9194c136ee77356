"""Align the words of a generated text with those of its source."""

from __future__ import annotations

from typing import Final, NamedTuple

from torch import Tensor

from heedful.answers.alignment import Alignment, merge_pieces
from heedful.decode.align import align
from heedful.errors import DataError
from heedful.tasks.predictor import Predictor

BEGIN: Final = "<begin>"
END: Final = "<end>"
"""How the two tokens that stand for no text are shown."""


class PairTensors(NamedTuple):
    """One encoded pair, ready for an encoder–decoder, with the names of its tokens."""

    source: Tensor
    """(1, source), the end token last."""
    source_lengths: Tensor
    target: Tensor
    """(1, target), the begin token first, without the end token: what the decoder reads."""
    target_lengths: Tensor
    source_pieces: tuple[str, ...]
    target_pieces: tuple[str, ...]
    source_words: tuple[int, ...]
    """The word that each piece belongs to; the end token has none."""
    target_words: tuple[int, ...]
    """The word that each piece after the begin token belongs to."""


def encode_pair(predictor: Predictor, source: str, target: str) -> PairTensors:
    """Encode one pair: ids, lengths and the pieces that the ids stand for."""
    inputs, answer = predictor.input, predictor.answer
    read = predictor.to_device(inputs.collate(inputs.encode([source])))
    [target_ids] = answer.encode([target])
    written = predictor.to_device(answer.collate([target_ids[:-1]]))
    source_encoding = inputs.vocabulary.encode(source)
    target_encoding = answer.vocabulary.encode(target)
    return PairTensors(
        source=read.ids,
        source_lengths=read.lengths,
        target=written.ids,
        target_lengths=written.lengths,
        source_pieces=(*source_encoding.pieces, END),
        target_pieces=(BEGIN, *target_encoding.pieces),
        source_words=tuple(source_encoding.word_ids),
        target_words=tuple(target_encoding.word_ids),
    )


def align_words(predictor: Predictor, source: str, target: str) -> Alignment:
    """Align the words of a target with those of its source: what each looked at, or, without attention, depends on.

    Works for any target: the model's translation, whatever the search, or a reference. The target is decoded with
    every token given. Pieces become words by summing over source pieces and averaging over target pieces; what falls
    to the end token belongs to no word.

    Raises: DataError for a text without words.

    >>> from heedful.data.files import Pairs
    >>> from heedful.tasks.translate import TASK, TranslationConfig
    >>> config = TranslationConfig.model_validate({"model": {"kind": "gru", "embedding": 8, "hidden": 8}})
    >>> predictor = TASK.learn(config, Pairs(["ein Hund rennt", "ein Mann"], ["a dog runs", "a man"]))
    >>> alignment = align_words(predictor, "ein Mann rennt", "a man runs")
    >>> alignment.source_words, len(alignment.weights), alignment.method
    (['ein', 'Mann', 'rennt'], 3, 'attention')
    """
    for name, text in (("source", source), ("target", target)):
        if not text.strip():
            raise DataError(f"the {name} has no words to align")
    tensors = encode_pair(predictor, source, target)
    aligned = align(predictor.model, tensors.source, tensors.source_lengths, tensors.target)
    source_words = predictor.input.vocabulary.words(source)
    target_words = predictor.answer.vocabulary.words(target)
    merged = merge_pieces(
        aligned.weights[0].detach().float().cpu(),
        predictor.input.vocabulary.encode(source),
        len(source_words),
        predictor.answer.vocabulary.encode(target),
        len(target_words),
    )
    return Alignment(source_words, target_words, merged.tolist(), aligned.method)
