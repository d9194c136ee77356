"""Align the words of a generated text with those of its source."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from heedful.answers.alignment import Alignment, merge_pieces
from heedful.decode.align import align
from heedful.decode.evaluation_mode import evaluation_mode
from heedful.errors import DataError
from heedful.tasks.predictor import Predictor

BEGIN: Final = "<begin>"
END: Final = "<end>"
"""Display names of the begin and end tokens."""


class PairTensors(NamedTuple):
    """One encoded pair as input of an encoder–decoder, with its pieces."""

    source: Tensor
    """(1, source), ending with the end token."""
    source_lengths: Tensor
    target: Tensor
    """(1, target), the input of the decoder: starts with the begin token and has no end token."""
    target_lengths: Tensor
    source_pieces: tuple[str, ...]
    target_pieces: tuple[str, ...]
    source_words: tuple[int, ...]
    """Word index of each source piece; the end token has none."""
    target_words: tuple[int, ...]
    """Word index of each target piece after the begin token."""


def encode_pair(predictor: Predictor, source: Any, target: str) -> PairTensors:
    """Encode a source, a text or an exchange of a dialogue, and a target to ids, lengths and pieces."""
    inputs, answer = predictor.input, predictor.answer
    source_batch = predictor.to_device(inputs.collate(inputs.encode([source])))
    [target_ids] = answer.encode([target])
    target_batch = predictor.to_device(answer.collate([target_ids[:-1]]))
    spelled = inputs.spelled(source)
    target_encoding = answer.vocabulary.encode(target)
    return PairTensors(
        source=source_batch.ids,
        source_lengths=source_batch.lengths,
        target=target_batch.ids,
        target_lengths=target_batch.lengths,
        source_pieces=(*spelled.pieces, END),
        target_pieces=(BEGIN, *target_encoding.pieces),
        source_words=spelled.word_ids,
        target_words=tuple(target_encoding.word_ids),
    )


def align_by_head(predictor: Predictor, source: str, target: str) -> NDArray[np.float64]:
    """Return the cross-attention from each target word to each source word; words are those of `Vocabulary.words`.

    Of a model without attention there is one layer with one head, of gradient × input.

    Returns: (layers, heads, target words, source words).

    Raises: DataError for a blank text.
    """
    _check_words(source, target)
    tensors = encode_pair(predictor, source, target)
    model, inputs = predictor.model, (tensors.source, tensors.source_lengths, tensors.target)
    if model.has_attention:
        with evaluation_mode(model), torch.inference_mode():
            weights = model(*inputs, return_weights=True).weights[0]
    else:
        weights = align(model, *inputs).weights[0][None, None]
    vocabularies = predictor.input.vocabulary, predictor.answer.vocabulary
    texts = list(zip(vocabularies, (source, target), strict=True))
    encodings = [vocabulary.encode(text) for vocabulary, text in texts]
    sizes = [len(vocabulary.words(text)) for vocabulary, text in texts]
    merged = [
        [
            merge_pieces(head.float().cpu(), encodings[0], sizes[0], encodings[1], sizes[1])
            for head in layer
        ]
        for layer in weights
    ]
    return np.array([[head.numpy() for head in layer] for layer in merged], dtype=np.float64)


def _check_words(source: str, target: str) -> None:
    for name, text in (("source", source), ("target", target)):
        if not text.strip():
            raise DataError(f"the {name} has no words to align")


def align_words(predictor: Predictor, source: str, target: str) -> Alignment:
    """Align the words of any target, a translation or a reference, with those of its source.

    Weights are attention weights, or gradient × input for a model without attention, under teacher forcing. They
    are summed over the pieces of a source word and averaged over those of a target word; the end token is dropped.

    Raises: DataError for a blank text.

    >>> from heedful.data.files import Pairs
    >>> from heedful.tasks.translate import TASK, TranslationConfig
    >>> config = TranslationConfig.model_validate({"model": {"kind": "gru", "embedding": 8, "hidden": 8}})
    >>> predictor = TASK.learn(config, Pairs(["ein Hund rennt", "ein Mann"], ["a dog runs", "a man"]))
    >>> alignment = align_words(predictor, "ein Mann rennt", "a man runs")
    >>> alignment.source_words, len(alignment.weights), alignment.method
    (['ein', 'Mann', 'rennt'], 3, 'attention')
    """
    _check_words(source, target)
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
