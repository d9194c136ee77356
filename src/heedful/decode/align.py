"""Alignment of output tokens with source positions, by attention weights or by gradient × input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from heedful.decode.evaluation_mode import evaluation_mode
from heedful.errors import ShapeError
from heedful.models.base import DecoderState, EncoderDecoder


@dataclass(frozen=True, eq=False)
class AlignmentWeights:
    """The relevance of each source position for each output token."""

    weights: Tensor
    """(batch, target, source); row i is for predicting token i + 1. Rows are 0 at source padding and sum to 1 (for
    attention weights: if the normalizer's do)."""
    method: Literal["attention", "gradient"]
    """"attention": the model's attention weights; "gradient": gradient × input of the token's log-probability with
    respect to the source embeddings, for a model without attention."""


def align(
    model: EncoderDecoder[DecoderState],
    source: Tensor,
    source_lengths: Tensor,
    target_tokens: Tensor,
) -> AlignmentWeights:
    """Align known output tokens, such as a hypothesis of beam search or a reference, with the source.

    The target is decoded by teacher forcing. For a model with attention, the result is the mean over heads of the
    attention weights of its `alignment_layer`. Without attention, it is gradient × input,
    |Σ_d x_jd · ∂ log p(y_{i+1}) / ∂x_jd| for the embedding x_j of source position j, each row divided by its sum
    (Simonyan et al. 2014; for translation Ding et al. 2019).

    Args:
        model: any encoder–decoder; it runs in evaluation mode.
        source: token ids (batch, source), padded on the right.
        source_lengths: (batch,).
        target_tokens: (batch, target), the begin token first, padded on the right. The last row of the weights
            is for the token after the target; by gradient: the most probable one.

    Raises:
        ShapeError: the target is empty, or not (batch, target) with the batch size of the source.

    >>> from heedful.models import RecurrentConfig, RecurrentEncoderDecoder
    >>> config = RecurrentConfig(embedding=8, hidden=8, attention="none")
    >>> model = RecurrentEncoderDecoder(config, 20, 20)
    >>> alignment = align(model, torch.tensor([[4, 5, 6]]), torch.tensor([3]), torch.tensor([[2, 9]]))
    >>> alignment.method, alignment.weights.shape
    ('gradient', torch.Size([1, 2, 3]))
    """
    if target_tokens.dim() != 2 or target_tokens.shape[0] != source.shape[0]:
        expected = f"({source.shape[0]}, target)"
        raise ShapeError(
            f"target tokens have shape {tuple(target_tokens.shape)}; expected {expected}."
        )
    if target_tokens.shape[1] == 0:
        raise ShapeError("target tokens are empty; expected at least the begin token.")
    with evaluation_mode(model):
        if model.has_attention:
            weights = _attention(model, source, source_lengths, target_tokens)
            return AlignmentWeights(weights, "attention")
        return AlignmentWeights(_gradient(model, source, source_lengths, target_tokens), "gradient")


def _attention(
    model: EncoderDecoder[DecoderState], source: Tensor, lengths: Tensor, target: Tensor
) -> Tensor:
    with torch.no_grad():
        weights: Tensor = model(source, lengths, target, return_weights=True).weights
    return weights[:, model.alignment_layer].mean(dim=1).float()


def _gradient(
    model: EncoderDecoder[DecoderState], source: Tensor, lengths: Tensor, target: Tensor
) -> Tensor:
    # cuDNN's recurrent layers have no backward pass in evaluation mode; PyTorch's own have.
    without_cudnn = torch.backends.cudnn.flags(enabled=False)
    with torch.inference_mode(False), torch.enable_grad(), without_cudnn:
        # Inference tensors cannot be saved for a backward pass; copies can.
        source, lengths, target = source.clone(), lengths.clone(), target.clone()
        with _EmbeddingCapture(model.source_embedding) as captured:
            decoded = model(source, lengths, target)
        logits = model.output(decoded.states).float()
        following = torch.cat([target[:, 1:], logits[:, -1:].argmax(dim=-1)], dim=1)
        chosen = torch.log_softmax(logits, dim=-1).gather(2, following.unsqueeze(2)).squeeze(2)
        rows = []
        for position in range(target.shape[1]):
            total = chosen[:, position].sum()
            gradient = torch.autograd.grad(total, captured.embedded, retain_graph=True)[0]
            rows.append((gradient * captured.embedded).sum(dim=-1).abs().detach())
    relevance = torch.stack(rows, dim=1)
    valid = torch.arange(source.shape[1], device=source.device) < lengths.to(source.device)[:, None]
    relevance = relevance.float() * valid.unsqueeze(1)
    total = relevance.sum(dim=-1, keepdim=True)
    uniform = valid.unsqueeze(1) / lengths.to(source.device)[:, None, None]
    return torch.where(
        total > 0, relevance / total.clamp_min(torch.finfo(total.dtype).tiny), uniform
    )


class _EmbeddingCapture:
    """Context manager that replaces the first output of an embedding by a leaf tensor that requires a gradient.

    The first output is that of the source, also if source and target share an embedding.
    """

    embedded: Tensor

    def __init__(self, embedding: nn.Embedding):
        self.handle = embedding.register_forward_hook(self._capture)

    def _capture(self, _module: nn.Module, _inputs: Any, embedded: Tensor) -> Tensor | None:
        if hasattr(self, "embedded"):
            return None
        self.embedded = embedded.detach().requires_grad_()
        return self.embedded

    def __enter__(self) -> _EmbeddingCapture:
        return self

    def __exit__(self, *_error: object) -> None:
        self.handle.remove()
