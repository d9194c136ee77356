"""The gates of an explanation: the model runs once more, and what its recurrent layers do is recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch

from heedful.answers.base import HeadAnswer
from heedful.answers.text_base import TextAnswer
from heedful.answers.transcript import TranscribedText
from heedful.decode.evaluation_mode import evaluation_mode
from heedful.errors import OptionError
from heedful.explore.explanation import Explanation
from heedful.explore.gates.draw import layer_gates
from heedful.explore.gates.record import GateRecorder, recording_gates
from heedful.explore.saliency import explained
from heedful.tasks.alignment import BEGIN, encode_pair
from heedful.tasks.predictor import Predictor


def with_gates(
    predictor: Predictor, explanation: Explanation, *, unit: int | None = None
) -> Explanation:
    """Return the explanation with the gates of its encoder and decoder, token by token.

    Args:
        predictor: the model that was explained.
        explanation: of one input.
        unit: the unit of each layer that is shown beside the mean, from 0; None: the one that changes most.

    Raises: OptionError for a model without LSTM or GRU, a ranker of replies, or a unit that does not exist.
    """
    recorder, tokens = _pass(predictor, explanation)
    return replace(explanation, gates=layer_gates(recorder.records, tokens, unit))


def _pass(
    predictor: Predictor, explanation: Explanation
) -> tuple[GateRecorder, Mapping[str, Sequence[str]]]:
    """Run the model on the input and, of a text that it writes, its target."""
    inputs, answer, model = predictor.input, predictor.answer, predictor.model
    if isinstance(answer, TranscribedText):
        return _transcript_pass(predictor, explanation)
    if isinstance(answer, TextAnswer):
        assert explanation.target is not None
        pair = encode_pair(predictor, explanation.input, explanation.target)
        with evaluation_mode(model), torch.no_grad(), recording_gates(model) as recorder:
            model(pair.source, pair.source_lengths, pair.target)
        return recorder, {"encoder": pair.source_pieces, "decoder": pair.target_pieces}
    if not isinstance(answer, HeadAnswer):
        raise OptionError(
            "gates are shown of labels, numbers, translations, replies and transcripts; leave gates out for this model."
        )
    batch = predictor.to_device(inputs.collate(inputs.encode([explanation.input])))
    model = explained(predictor)
    with evaluation_mode(model), torch.no_grad(), recording_gates(model) as recorder:
        model(batch)
    return recorder, {"encoder": inputs.positions(explanation.input)}


def _transcript_pass(
    predictor: Predictor, explanation: Explanation
) -> tuple[GateRecorder, Mapping[str, Sequence[str]]]:
    inputs, model, vocabulary = predictor.input, predictor.model, predictor.answer.vocabulary
    batch = predictor.to_device(inputs.collate(inputs.encode([explanation.input])))
    [encoded] = predictor.answer.encode([explanation.target])
    target = torch.tensor([encoded[:-1].tolist()], device=batch.lengths.device)
    with evaluation_mode(model), torch.no_grad(), recording_gates(model) as recorder:
        states = model.states(batch)
        if model.decoder is not None:
            model.decoder.decode(model.memory(states), target)
    pieces = [vocabulary.pieces[token] for token in encoded[1:-1].tolist()]
    return recorder, {
        "encoder": inputs.positions(explanation.input),
        "decoder": (BEGIN, *pieces),
    }
