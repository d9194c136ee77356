"""Gradient × input saliency: how much each position of an input changes a prediction."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, Final

import torch
from torch import Tensor, nn

from heedful.decode.evaluation_mode import evaluation_mode
from heedful.models.model import Ensemble, Model
from heedful.tasks.predictor import Predictor

SALIENCY: Final = "gradient × input saliency (the encoder has no attention)"
"""`AttentionRecord.measure` if the encoder has no attention weights."""


def explained(predictor: Predictor) -> Any:
    """Return the model, or the ensemble of those of its networks that read the positions to be labelled."""
    members = [each for each in predictor.model.members if predictor.input.explains(each)]
    return predictor.model if len(members) == len(predictor.model.members) else Ensemble(members)


def saliency(predictor: Predictor, example: Any, prediction: Any) -> Tensor:
    """Return gradient × input of a prediction for each position, (rows, positions), each row summing to 1.

    As in `record_prediction`, also of an encoder with attention; the mean over the networks of an ensemble.
    """
    rows = predictor.answer.row_names(predictor.input.positions(example), prediction)
    batch = predictor.to_device(predictor.input.collate(predictor.input.encode([example])))
    return gradient_saliency(predictor, batch, rows, prediction)


def gradient_saliency(
    predictor: Predictor, batch: Any, rows: Sequence[str], prediction: Any
) -> Tensor:
    """Return gradient × input saliency (rows, positions) of the batch of one example, the mean over the networks."""
    each = [
        _saliency(predictor, one, batch, rows, prediction) for one in explained(predictor).members
    ]
    return torch.stack(each).mean(dim=0)


def _saliency(
    predictor: Predictor, model: Model, batch: Any, rows: Sequence[str], prediction: Any
) -> Tensor:
    """Return saliency (rows, positions), each row summing to 1.

    The batch has one copy of the input per row, so that one backward pass gives the gradients of all rows.
    """
    with evaluation_mode(model):
        with torch.no_grad():
            features = model.inputs(batch)
        with _differentiable_layers(model.encoder), torch.enable_grad():
            copies = features.expand(len(rows), -1, -1).clone().requires_grad_()
            total = predictor.answer.explained_score(model, copies, batch, prediction)
            (gradient,) = torch.autograd.grad(total, copies)
    relevance = (gradient * features).sum(-1).abs()
    tiny = torch.finfo(relevance.dtype).tiny
    shares: Tensor = relevance / relevance.sum(-1, keepdim=True).clamp(min=tiny)
    return shares


@contextlib.contextmanager
def _differentiable_layers(encoder: nn.Module) -> Iterator[None]:
    """Put PyTorch's recurrent layers into training mode, which oneDNN and cuDNN want for a backward pass.

    Nothing is dropped between them.
    """
    layers = [module for module in encoder.modules() if isinstance(module, nn.RNNBase)]
    dropped = [layer.dropout for layer in layers]
    for layer in layers:
        layer.train()
        layer.dropout = 0.0
    try:
        yield
    finally:
        for layer, probability in zip(layers, dropped, strict=True):
            layer.dropout = probability
