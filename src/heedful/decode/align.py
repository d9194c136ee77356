"""Which source positions each output token depends on, for every architecture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from heedful.decode.evaluating import evaluating
from heedful.errors import ShapeError
from heedful.models.base import DecoderState, EncoderDecoder


@dataclass(frozen=True, eq=False)
class Aligned:
    """How much each output token owes to each source position."""

    weights: Tensor
    """(batch, target, source); row i is about token i + 1; rows sum to 1 (with attention: as its normalizer
    makes them) and are 0 at source padding."""
    method: Literal["attention", "gradient"]
    """"attention": the model's own attention weights; "gradient": how the token's log-probability answers to
    the source embeddings, for a model without attention."""


def align(
    model: EncoderDecoder[DecoderState],
    source: Tensor,
    source_lengths: Tensor,
    target_tokens: Tensor,
) -> Aligned:
    """Align output tokens that are already known (decoded by any search, or given) with the source.

    The target is decoded once more with every token given, so hypotheses of a beam search align too. A model
    with attention answers with the mean over heads of the weights of its `alignment_layer`. One without is
    asked by gradient times input, |Σ_d x_jd · ∂ log p(y_{i+1}) / ∂x_jd| for the embedding x_j of source position
    j, each row divided by its sum (Simonyan et al. 2014; for translation Ding et al. 2019).

    Args:
        model: any encoder–decoder; it is put in evaluation mode for the call.
        source: token ids (batch, source), padded on the right.
        source_lengths: (batch,).
        target_tokens: (batch, target), the begin token first, padded on the right. The last row of the weights
            is about the token that would come next: with gradients, the one that the model finds likeliest.

    Raises:
        ShapeError: the target is not (batch, target) with the batch of the source, or is empty.

    >>> from heedful.models import RecurrentConfig, RecurrentEncoderDecoder
    >>> config = RecurrentConfig(embedding=8, hidden=8, attention="none")
    >>> model = RecurrentEncoderDecoder(config, 20, 20)
    >>> aligned = align(model, torch.tensor([[4, 5, 6]]), torch.tensor([3]), torch.tensor([[2, 9]]))
    >>> aligned.method, aligned.weights.shape
    ('gradient', torch.Size([1, 2, 3]))
    """
    if target_tokens.dim() != 2 or target_tokens.shape[0] != source.shape[0]:
        wanted = f"({source.shape[0]}, target)"
        raise ShapeError(f"target tokens have shape {tuple(target_tokens.shape)}; wanted {wanted}.")
    if target_tokens.shape[1] == 0:
        raise ShapeError("target tokens are empty; wanted at least the begin token.")
    with evaluating(model):
        if model.has_attention:
            weights = _attention(model, source, source_lengths, target_tokens)
            return Aligned(weights, "attention")
        return Aligned(_gradient(model, source, source_lengths, target_tokens), "gradient")


def _attention(
    model: EncoderDecoder[DecoderState], source: Tensor, lengths: Tensor, target: Tensor
) -> Tensor:
    with torch.no_grad():
        weights: Tensor = model(source, lengths, target, return_weights=True).weights
    return weights[:, model.alignment_layer].mean(dim=1).float()


def _gradient(
    model: EncoderDecoder[DecoderState], source: Tensor, lengths: Tensor, target: Tensor
) -> Tensor:
    # Fused GPU recurrences refuse a backward pass in evaluation mode; the plain ones do not.
    plain = torch.backends.cudnn.flags(enabled=False)
    with torch.inference_mode(False), torch.enable_grad(), plain:
        # Tensors made in inference mode cannot be kept for a backward pass; copies can.
        source, lengths, target = source.clone(), lengths.clone(), target.clone()
        with _Captured(model.source_embedding) as captured:
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
    real = torch.arange(source.shape[1], device=source.device) < lengths.to(source.device)[:, None]
    relevance = relevance.float() * real.unsqueeze(1)
    total = relevance.sum(dim=-1, keepdim=True)
    even = real.unsqueeze(1) / lengths.to(source.device)[:, None, None]
    return torch.where(total > 0, relevance / total.clamp_min(torch.finfo(total.dtype).tiny), even)


class _Captured:
    """Makes the first output of an embedding a leaf that gradients can be asked for.

    The source is what a model embeds first, also where source and target share an embedding.
    """

    embedded: Tensor

    def __init__(self, embedding: nn.Embedding):
        self.handle = embedding.register_forward_hook(self._keep)

    def _keep(self, _module: nn.Module, _inputs: Any, embedded: Tensor) -> Tensor | None:
        if hasattr(self, "embedded"):
            return None
        self.embedded = embedded.detach().requires_grad_()
        return self.embedded

    def __enter__(self) -> _Captured:
        return self

    def __exit__(self, *_error: object) -> None:
        self.handle.remove()
