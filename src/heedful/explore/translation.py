"""Record what a translator attends to for one pair of texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from heedful.data.vocabulary import Vocabulary
from heedful.decode.align import align
from heedful.decode.evaluating import evaluating
from heedful.errors import DataError, unknown_choice
from heedful.explore.record import Tokens, recording
from heedful.explore.schema import AttentionRecord
from heedful.explore.words import merge_words
from heedful.tasks.alignment import BEGIN, END, PairTensors, encode_pair
from heedful.tasks.predictor import Predictor

SALIENCY: Final = "gradient × input saliency (this model has no attention)"
"""What is measured where there are no attention weights to show."""

Units = Literal["auto", "words", "pieces"]
UNITS: Final = ("auto", "words", "pieces")


def record_translation(
    predictor: Predictor, source: str, target: str, *, units: Units = "auto"
) -> list[AttentionRecord]:
    """Return every attention of the model as it reads `source` and writes `target`.

    The target is decoded with every token given, so it may be the model's own translation, whatever the
    search, or a reference. In cross-attention row t is what the model looked at to write token t; in the
    decoder's self-attention rows and columns are the tokens it had read, from the begin token on.
    A model without attention has one record instead, of gradient × input saliency, and its `measure`
    says so.

    Args:
        predictor: a trained translator.
        source, target: the two texts.
        units: "words" merges sub-words to words, "pieces" keeps the vocabulary's pieces, "auto" merges
            unless the vocabulary is of characters, where words would hide what was looked at.

    Raises:
        DataError: a text without words.
        OptionError: unknown units.
    """
    if units not in UNITS:
        raise unknown_choice("units", units, UNITS)
    for name, text in (("source", source), ("target", target)):
        if not text.strip():
            raise DataError(f"the {name} has no words to explain; give a text that has some.")
    tensors = encode_pair(predictor, source, target)
    if predictor.model.has_attention:
        records = _attention(predictor, tensors)
    else:
        records = [_saliency(predictor, tensors)]
    read, written = predictor.input.vocabulary, predictor.answer.vocabulary
    source_axis = _merger(read, source, tensors.source_words, units)
    target_axis = _merger(written, target, tensors.target_words, units)
    axes = {
        "encoder": (source_axis.ending(), source_axis.ending()),
        "decoder": (target_axis.beginning(), target_axis.beginning()),
        "cross": (target_axis.ending(), source_axis.ending()),
    }
    return [_merge(record, *axes[record.kind]) for record in records]


def _attention(predictor: Predictor, tensors: PairTensors) -> list[AttentionRecord]:
    inputs = (tensors.source, tensors.source_lengths, tensors.target)
    with evaluating(predictor.model), recording(predictor.model) as recorder:
        predictor.model(*inputs)
    written = (*tensors.target_pieces[1:], END)
    tokens: Tokens = {
        "encoder": (tensors.source_pieces, tensors.source_pieces),
        "decoder": (tensors.target_pieces, tensors.target_pieces),
        "cross": (written, tensors.source_pieces),
    }
    return recorder.records({kind: tokens[kind] for kind in recorder.kinds})


def _saliency(predictor: Predictor, tensors: PairTensors) -> AttentionRecord:
    aligned = align(predictor.model, tensors.source, tensors.source_lengths, tensors.target)
    return AttentionRecord(
        module_path="",
        kind="cross",
        layer=0,
        query_tokens=(*tensors.target_pieces[1:], END),
        key_tokens=tensors.source_pieces,
        weights=aligned.weights.detach().float().cpu().numpy(),
        measure=SALIENCY,
    )


@dataclass(frozen=True)
class _Axis:
    """For each token of an axis the index of its word, and the words."""

    index: tuple[int, ...]
    words: tuple[str, ...]

    def ending(self) -> _Axis:
        """With the end token as a word of its own."""
        return _Axis((*self.index, len(self.words)), (*self.words, END))

    def beginning(self) -> _Axis:
        """With the begin token as a word of its own."""
        return _Axis((0, *(index + 1 for index in self.index)), (BEGIN, *self.words))


def _merger(vocabulary: Vocabulary, text: str, index: Sequence[int], units: Units) -> _Axis:
    """Number the words of a text without gaps.

    A piece that spans several words of a script without spaces makes one word of them.
    """
    if units == "pieces" or (units == "auto" and vocabulary.kind == "char"):
        pieces = vocabulary.encode(text).pieces
        return _Axis(tuple(range(len(pieces))), tuple(pieces))
    words = vocabulary.words(text)
    starts = sorted(set(index))
    ends = [*starts[1:], len(words)]
    spans = tuple("".join(words[start:end]) for start, end in zip(starts, ends, strict=True))
    return _Axis(tuple(starts.index(word) for word in index), spans)


def _merge(record: AttentionRecord, queries: _Axis, keys: _Axis) -> AttentionRecord:
    return merge_words(
        record,
        queries=queries.index,
        keys=keys.index,
        query_words=queries.words,
        key_words=keys.words,
    )
