"""Self-attention between the words of a sentence that is already split, whatever a model splits it into."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from heedful.answers.base import HeadAnswer
from heedful.answers.text_base import TextAnswer
from heedful.decode.evaluation_mode import evaluation_mode
from heedful.errors import OptionError
from heedful.explore.difference import plain_token
from heedful.explore.record import recording
from heedful.explore.schema import AttentionRecord
from heedful.explore.subword_merging import merge_words
from heedful.inputs.pieces import Pieces
from heedful.inputs.text import Text
from heedful.inputs.tokens import Tokens
from heedful.tasks.predictor import Predictor

SPECIAL = -1
"""The word of a token that belongs to none, such as an end token."""


class WordAttention(NamedTuple):
    """The self-attention of every layer between the words of one sentence."""

    layers: list[NDArray[np.float64]]
    """(heads, words, words) each: the sum over the pieces of the key, the mean over the pieces of the query."""
    allowed: NDArray[np.bool_] | None
    """(words, words), what may be attended to; None: everything."""


Reader = Callable[[Sequence[str]], WordAttention | None]
"""Words of a sentence -> the attention between them; None where tokens cannot be mapped to words."""


def word_reader(run: str | Path) -> Reader:
    """Return what reads sentences with the model of a run folder, or of a folder of Hugging Face.

    Raises: OptionError for a model without self-attention over words; RunError for a damaged folder.
    """
    # Imported here, as only Hugging Face models need it.
    from heedful.explore.transformers_explain import is_transformer

    if is_transformer(Path(run)):
        return _transformer_reader(run)
    from heedful.tasks.runs import task_of

    return predictor_reader(task_of(run).load(run))


def predictor_reader(predictor: Predictor) -> Reader:
    """Return what reads sentences with a trained model of tokens or texts.

    Raises: OptionError for a model of other inputs.
    """
    inputs, answer = predictor.input, predictor.answer
    if not isinstance(inputs, Tokens | Text | Pieces) or not isinstance(
        answer, HeadAnswer | TextAnswer
    ):
        raise OptionError(
            f"the heads of a model of the task {predictor.task.name!r} do not look at words; give a model of tokens or "
            "texts."
        )

    def read(words: Sequence[str]) -> WordAttention | None:
        example: Any = list(words) if isinstance(inputs, Tokens) else " ".join(words)
        index = _word_index(inputs, example, words)
        return None if index is None else _on_words(_records(predictor, example), index, words)

    return read


def _records(predictor: Predictor, example: Any) -> list[AttentionRecord]:
    """Return the records of the encoder's self-attention."""
    model = predictor.model
    batch = predictor.to_device(predictor.input.collate(predictor.input.encode([example])))
    with evaluation_mode(model), torch.no_grad(), recording(model) as recorder:
        if isinstance(predictor.answer, TextAnswer):
            model.encode(batch.ids, batch.lengths)
        else:
            model(batch)
    records = recorder.records() if recorder.kinds else []
    return _checked([record for record in records if record.kind == "encoder"])


def _checked(records: list[AttentionRecord]) -> list[AttentionRecord]:
    if not records:
        raise OptionError(
            "the model has no self-attention over its input, so it has no heads with roles; give one with attention "
            "in its encoder, such as a transformer."
        )
    return records


def _word_index(
    inputs: Tokens | Text | Pieces, example: Any, words: Sequence[str]
) -> list[int] | None:
    """Return the word of each position of an example."""
    if isinstance(inputs, Tokens):
        return list(range(len(words)))
    if isinstance(inputs, Text):
        return word_of_tokens(inputs.positions(example), words)
    spelled = inputs.spelled(example)
    of_own = word_of_tokens(spelled.words, words)
    if of_own is None:
        return None
    return [*(of_own[word] for word in spelled.word_ids), SPECIAL]


def word_of_tokens(tokens: Sequence[str], words: Sequence[str]) -> list[int] | None:
    """Return the word in which each token begins, aligned on characters; None if they spell another text.

    Case, spaces and marks of sub-words are ignored.

    >>> word_of_tokens(["▁Do", "n't", "▁go"], ["do", "n't", "go"])
    [0, 1, 2]
    >>> word_of_tokens(["<unk>"], ["do"])
    """
    spelled = [plain_token(token).lower() for token in tokens]
    plain = [plain_token(word).lower() for word in words]
    if "".join(spelled) != "".join(plain):
        return None
    owners = [number for number, word in enumerate(plain) for _ in word]
    found, place = [], 0
    for token in spelled:
        found.append(owners[min(place, len(owners) - 1)])
        place += len(token)
    return found


def _on_words(
    records: Sequence[AttentionRecord], index: Sequence[int], words: Sequence[str]
) -> WordAttention | None:
    """Merge records of positions to words; None where a word has no position."""
    kept = [place for place, word in enumerate(index) if word != SPECIAL]
    owners = [index[place] for place in kept]
    fits = all(len(record.query_tokens) == len(index) for record in records)
    if not fits or sorted(set(owners)) != list(range(len(words))) or owners != sorted(owners):
        return None
    names = [str(place) for place in kept]
    merged = []
    for record in records:
        cells = np.ix_(range(record.heads), kept, kept)
        part = AttentionRecord(
            record.module_path, record.kind, record.layer, names, names, record.weights[cells],
            mask=record.allowed[cells],
        )  # fmt: skip
        merged.append(
            merge_words(part, queries=owners, keys=owners, query_words=words, key_words=words)
        )
    masks = [record.mask for record in merged]
    allowed = None
    if any(mask is not None for mask in masks):
        allowed = np.any([record.allowed.any(axis=0) for record in merged], axis=0)
    return WordAttention([record.weights.astype(np.float64) for record in merged], allowed)


def _transformer_reader(folder: str | Path) -> Reader:
    """Return what reads sentences, joined by spaces, with a Hugging Face model.

    Raises: OptionError for a folder that cannot be loaded, or a tokenizer that does not say where its tokens stand.
    """
    from heedful.explore.transformers_record import load_transformer, record_transformer

    model, tokenizer = load_transformer(folder)
    if not tokenizer.is_fast:
        raise OptionError(
            f"the tokenizer of {folder} does not say which characters its tokens stand for; convert it to a fast "
            "tokenizer (tokenizer.json)."
        )

    def read(words: Sequence[str]) -> WordAttention | None:
        encoded = tokenizer(" ".join(words), return_tensors="pt", return_offsets_mapping=True)
        inputs = {
            name: encoded[name] for name in ("input_ids", "attention_mask") if name in encoded
        }
        if model.config.is_encoder_decoder:
            inputs["decoder_input_ids"] = torch.tensor([[model.config.decoder_start_token_id]])
        records = record_transformer(model, inputs)
        size = inputs["input_ids"].shape[1]
        own = [each for each in records if each.kind != "cross" and len(each.key_tokens) == size]
        index = word_of_spans(encoded["offset_mapping"][0].tolist(), words)
        return _on_words(_checked(own), index, words)

    return read


def word_of_spans(spans: Sequence[Sequence[int]], words: Sequence[str]) -> list[int]:
    """Return the word, of those joined by single spaces, in which each span of characters begins.

    A space before a word belongs to it; an empty span is `SPECIAL`.

    >>> word_of_spans([(0, 0), (0, 3), (3, 6), (6, 8)], ["dogs", "bark"])
    [-1, 0, 0, 1]
    """
    owners: list[int] = []
    for number, word in enumerate(words):
        owners += [number] * (len(word) + (number > 0))
    text = " ".join(words)
    found = []
    for start, end in spans:
        # A token such as " bark" begins with the word, not with the space before it.
        first = start
        while first < end and text[first].isspace():
            first += 1
        found.append(SPECIAL if start >= end else owners[min(first, end - 1)])
    return found
