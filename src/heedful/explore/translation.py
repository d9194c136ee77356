"""Record the attention weights of a translation model for a source and a target text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from heedful.decode.align import align
from heedful.decode.evaluation_mode import evaluation_mode
from heedful.errors import DataError, unknown_choice
from heedful.explore.record import Tokens, recording
from heedful.explore.schema import AttentionRecord
from heedful.explore.subword_merging import merge_words
from heedful.inputs.pieces import SpelledText
from heedful.tasks.alignment import BEGIN, END, PairTensors, encode_pair
from heedful.tasks.predictor import Predictor

SALIENCY: Final = "gradient × input saliency (this model has no attention)"
"""`AttentionRecord.measure` if the model has no attention."""

Units = Literal["auto", "words", "pieces"]
UNITS: Final = ("auto", "words", "pieces")


def record_translation(
    predictor: Predictor, source: Any, target: str, *, units: Units = "auto"
) -> list[AttentionRecord]:
    """Return the attention weights of the model for translating `source` into `target`.

    The target is decoded by teacher forcing, so it may be the model's own translation or a reference. In
    cross-attention, row t has the weights for predicting token t; in the decoder's self-attention, rows and
    columns are the input tokens of the decoder, from the begin token on. A model without attention has one
    record of gradient × input saliency instead, with the `measure` `SALIENCY`.

    Args:
        predictor: a trained model of translation or of replies.
        source: a text, or an exchange of a dialogue.
        target: a text.
        units: "words" merges subwords into words, "pieces" keeps the vocabulary's pieces, "auto" merges
            unless the vocabulary is of characters.

    Raises:
        DataError: a text has no words.
        OptionError: `units` is unknown.
    """
    if units not in UNITS:
        raise unknown_choice("units", units, UNITS)
    spelled = predictor.input.spelled(source)
    for name, words in (("source", "".join(spelled.words)), ("target", target)):
        if not words.strip():
            raise DataError(f"the {name} has no words to explain; give a text that has some.")
    tensors = encode_pair(predictor, source, target)
    if predictor.model.has_attention:
        records = _attention(predictor, tensors)
    else:
        records = [_saliency(predictor, tensors)]
    return merge_pair(records, predictor, source, target, tensors, units)


def merge_pair(
    records: Sequence[AttentionRecord],
    predictor: Predictor,
    source: Any,
    target: str,
    tensors: PairTensors,
    units: Units = "auto",
) -> list[AttentionRecord]:
    """Merge records of the pieces of a pair, encoded as `tensors`, into words, as `record_translation` does."""
    spelled, vocabulary = predictor.input.spelled(source), predictor.answer.vocabulary
    spelled_target = SpelledText(
        tensors.target_pieces[1:], tensors.target_words, tuple(vocabulary.words(target))
    )
    source_axis = word_axis(spelled, predictor.input.vocabulary.kind, units)
    target_axis = word_axis(spelled_target, vocabulary.kind, units)
    axes = {
        "encoder": (source_axis.with_end(), source_axis.with_end()),
        "decoder": (target_axis.with_begin(), target_axis.with_begin()),
        "cross": (target_axis.with_end(), source_axis.with_end()),
    }
    return [_merge_axes(record, *axes[record.kind]) for record in records]


def _attention(predictor: Predictor, tensors: PairTensors) -> list[AttentionRecord]:
    inputs = (tensors.source, tensors.source_lengths, tensors.target)
    with evaluation_mode(predictor.model), recording(predictor.model) as recorder:
        predictor.model(*inputs)
    tokens = pair_tokens(tensors)
    return recorder.records({kind: tokens[kind] for kind in recorder.kinds})


def pair_tokens(tensors: PairTensors) -> Tokens:
    """Return kind -> (query pieces, key pieces) of an encoded pair."""
    predicted = (*tensors.target_pieces[1:], END)
    return {
        "encoder": (tensors.source_pieces, tensors.source_pieces),
        "decoder": (tensors.target_pieces, tensors.target_pieces),
        "cross": (predicted, tensors.source_pieces),
    }


def _saliency(predictor: Predictor, tensors: PairTensors) -> AttentionRecord:
    alignment = align(predictor.model, tensors.source, tensors.source_lengths, tensors.target)
    return AttentionRecord(
        module_path="",
        kind="cross",
        layer=0,
        query_tokens=(*tensors.target_pieces[1:], END),
        key_tokens=tensors.source_pieces,
        weights=alignment.weights.detach().float().cpu().numpy(),
        measure=SALIENCY,
    )


@dataclass(frozen=True)
class WordAxis:
    """The words of a query or key axis, and the word index of each token."""

    index: tuple[int, ...]
    words: tuple[str, ...]

    def with_end(self) -> WordAxis:
        """Append the end token as a word of its own."""
        return WordAxis((*self.index, len(self.words)), (*self.words, END))

    def with_begin(self) -> WordAxis:
        """Prepend the begin token as a word of its own."""
        return WordAxis((0, *(index + 1 for index in self.index)), (BEGIN, *self.words))


def word_axis(text: SpelledText, kind: str, units: Units) -> WordAxis:
    """Return the words of a text, numbered without gaps.

    Words that share a piece, as in scripts without spaces, become one word.

    Args:
        text: the pieces and words.
        kind: the kind of the vocabulary.
        units: see `record_translation`.
    """
    if units == "pieces" or (units == "auto" and kind == "char"):
        return WordAxis(tuple(range(len(text.pieces))), text.pieces)
    starts = sorted(set(text.word_ids))
    ends = [*starts[1:], len(text.words)]
    spans = tuple("".join(text.words[start:end]) for start, end in zip(starts, ends, strict=True))
    return WordAxis(tuple(starts.index(word) for word in text.word_ids), spans)


def _merge_axes(record: AttentionRecord, queries: WordAxis, keys: WordAxis) -> AttentionRecord:
    return merge_words(
        record,
        queries=queries.index,
        keys=keys.index,
        query_words=queries.words,
        key_words=keys.words,
    )
