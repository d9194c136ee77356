"""Log-probabilities of given outputs."""

from __future__ import annotations

import torch
from torch import Tensor

from heedful.decode.evaluation_mode import evaluation_mode
from heedful.errors import ShapeError
from heedful.models.base import DecoderState, EncoderDecoder


def score_tokens(
    model: EncoderDecoder[DecoderState],
    source: Tensor,
    source_lengths: Tensor,
    target: Tensor,
    target_lengths: Tensor,
) -> Tensor:
    r"""Return :math:`\log p(y_t \mid y_{<t}, x)` of each token of given outputs.

    Args:
        model: any encoder–decoder; it runs in evaluation mode.
        source: token ids (batch, source), padded on the right.
        source_lengths: (batch,).
        target: token ids (batch, target), with begin and end tokens, padded on the right.
        target_lengths: (batch,).

    Returns:
        (batch, target - 1), float32: of the tokens after the begin token, the end token's among them; 0 at padding.

    Raises:
        ShapeError: the target is not (batch, target) with the batch size of the source and two or more tokens.

    >>> from heedful.models import RecurrentConfig, RecurrentEncoderDecoder
    >>> model = RecurrentEncoderDecoder(RecurrentConfig(embedding=8, hidden=8), 20, 20)
    >>> source, target = torch.tensor([[4, 5, 6]]), torch.tensor([[2, 7, 9, 3]])
    >>> score_tokens(model, source, torch.tensor([3]), target, torch.tensor([4])).shape
    torch.Size([1, 3])
    """
    if target.dim() != 2 or target.shape[0] != source.shape[0] or target.shape[1] < 2:
        raise ShapeError(
            f"target tokens have shape {tuple(target.shape)}; expected ({source.shape[0]}, 2 or more), with begin and "
            "end tokens."
        )
    with evaluation_mode(model), torch.inference_mode():
        states = model(source, source_lengths, target[:, :-1]).states
        labels = target[:, 1:]
        places = torch.arange(labels.shape[1], device=labels.device)
        kept = places < target_lengths.to(labels.device)[:, None] - 1
        logits = model.output(states[kept]).float()
        found = logits.gather(1, labels[kept][:, None])[:, 0] - torch.logsumexp(logits, dim=1)
        return torch.zeros(labels.shape, device=labels.device).masked_scatter(kept, found)
