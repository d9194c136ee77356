"""The other measures of an explanation: the model runs once more, with gradients."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from heedful.answers.base import HeadAnswer
from heedful.answers.text_base import TextAnswer
from heedful.answers.transcript import TranscribedText
from heedful.decode.evaluation_mode import evaluation_mode
from heedful.errors import OptionError
from heedful.explore.call_detail import CallDetail
from heedful.explore.erasure import erasures
from heedful.explore.explanation import Explanation
from heedful.explore.measures import other_measures
from heedful.explore.predicted import prediction_labels
from heedful.explore.record import Recorder, Tokens, recording
from heedful.explore.saliency import explained
from heedful.explore.steps import steps_of
from heedful.explore.translation import merge_pair, pair_tokens
from heedful.tasks.alignment import PairTensors, encode_pair
from heedful.tasks.predictor import Predictor


def with_measures(
    predictor: Predictor, explanation: Explanation, *, steps: bool = False
) -> Explanation:
    """Return the explanation with records of norms, contributions, rollout and gradient × attention, or with steps.

    With the measures comes the faithfulness of each, by erasure (`explore.erasure`).

    The score whose gradient is taken is that of the prediction, or the log-probability of the target. They have the
    tokens of the explanation.

    Raises: OptionError for recordings that are transcribed, images, graphs and ranked replies, whose explanations are
        no matrices of tokens, and for models without attention.
    """
    if (
        predictor.input.is_graph
        or explanation.view is not None
        or explanation.graph is not None
        or isinstance(predictor.answer, TranscribedText)
        or not isinstance(predictor.answer, HeadAnswer | TextAnswer)
    ):
        raise OptionError(
            "other measures are there for texts, tokens, molecules and series; leave measures out for this input."
        )
    pair = None
    if explanation.target is not None:
        pair = encode_pair(predictor, explanation.input, explanation.target)
        recorder, labels, total = _translation_pass(predictor, pair)
    else:
        assert isinstance(predictor.answer, HeadAnswer)
        recorder, labels, total = _prediction_pass(predictor, explanation)
    if not recorder.kinds:
        raise OptionError("the model has no attention to measure; leave measures and steps out.")
    records = recorder.records({kind: labels[kind] for kind in recorder.kinds})
    details = recorder.details()
    if steps:
        return replace(explanation, steps=steps_of(records, details))
    measured = other_measures(records, details, _gradients(details, total))
    if explanation.target is not None and pair is not None:
        measured = merge_pair(measured, predictor, explanation.input, explanation.target, pair)
    found = erasures(predictor, explanation, [*explanation.records, *measured])
    return replace(explanation, measures=tuple(measured), erasure=found)


def _prediction_pass(
    predictor: Predictor, explanation: Explanation
) -> tuple[Recorder, Tokens, Tensor]:
    inputs, answer, model = predictor.input, predictor.answer, explained(predictor)
    positions = inputs.positions(explanation.input)
    rows = answer.row_names(positions, explanation.prediction)
    batch = predictor.to_device(inputs.collate(inputs.encode([explanation.input])))
    with _with_gradients(model), recording(model, details=True) as recorder:
        total = torch.zeros(())
        for member in model.members:
            features = member.inputs(batch)
            score = answer.explained_score(member, features, batch, explanation.prediction)
            total = total.to(score.device) + score
    labels = prediction_labels(positions, rows, each=answer.per_position)
    return recorder, labels, total


def _translation_pass(
    predictor: Predictor, tensors: PairTensors
) -> tuple[Recorder, Tokens, Tensor]:
    model = predictor.model
    inputs = (tensors.source, tensors.source_lengths, tensors.target)
    with _with_gradients(model), recording(model, details=True) as recorder:
        logits = model.output(model(*inputs).states)
    wanted = tensors.target[:, 1:, None]
    total = logits[:, :-1].log_softmax(-1).gather(-1, wanted).sum()
    return recorder, pair_tokens(tensors), total


def _gradients(details: Mapping[str, CallDetail], total: Tensor) -> dict[str, Tensor]:
    """Return path -> gradient of the total by the output of its attention, (heads, queries, values)."""
    used = {path: each for path, each in details.items() if each.source.requires_grad}
    if not used:
        return {}
    sources = [each.source for each in used.values()]
    found = torch.autograd.grad(total, sources, allow_unused=True)
    return {
        path: gradient.detach().float().cpu().reshape(detail.output.shape)
        for (path, detail), gradient in zip(used.items(), found, strict=True)
        if gradient is not None
    }


@contextmanager
def _with_gradients(model: Any) -> Iterator[None]:
    """Evaluation mode in which gradients can be taken: oneDNN's LSTM has them in training mode only."""
    with evaluation_mode(model), torch.enable_grad():
        for module in model.modules():
            if isinstance(module, nn.RNNBase):
                module.train()
        yield
