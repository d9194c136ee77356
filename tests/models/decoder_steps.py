"""Steps of a Transformer's decoder against its layers over whole targets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from heedful.models import FrequencyConfig, TransformerConfig, TransformerEncoderDecoder

SIZES = {"heads": 2, "encoder_layers": 1, "decoder_layers": 3}
Batch = tuple[Tensor, Tensor, Tensor]
"""Source, its lengths, target."""


def build_model(options: dict[str, Any], *, frequency: bool) -> TransformerEncoderDecoder:
    """Return a small model of random weights, in evaluation mode."""
    torch.manual_seed(0)
    weighed = FrequencyConfig(down_weight=0.1) if frequency else None
    config = TransformerConfig(**{**SIZES, **options})
    model = TransformerEncoderDecoder(config, 20, 30, weighed).eval()
    if frequency:
        model.source_frequencies.copy_(torch.rand(20))
    return model


def build_batch(lengths: Sequence[int]) -> Batch:
    """Return sources of these lengths and targets of 40 tokens."""
    generator = torch.Generator().manual_seed(0)
    source = torch.randint(4, 20, (len(lengths), max(lengths)), generator=generator)
    target = torch.randint(4, 30, (len(lengths), 40), generator=generator)
    return source, torch.tensor(lengths), target


def check_steps(
    model: TransformerEncoderDecoder,
    exact: TransformerEncoderDecoder,
    batch: Batch,
    order: Sequence[int],
    kind: type[Any],
    *,
    states_within: dict[str, float],
    weights_within: dict[str, float],
) -> None:
    """Compare 39 steps of a model, of hypotheses in an order, with the layers of `exact` over the whole target.

    `kind` is the class that the states of the steps are to have.
    """
    source, lengths, target = batch
    rows = torch.tensor(order)
    whole = exact(source[rows], lengths[rows], target[rows], return_weights=True)
    assert whole.weights is not None
    own, dtype = model.output_layer()[0].dtype, whole.states.dtype
    state: Any = model.start(source, lengths)
    assert isinstance(state, kind)
    _, state = model.step(target[:, 0], state)
    state = state.select(rows)
    for step in range(1, 40):
        token = target[rows, step]
        if step % 3:
            states, state = model.step(token, state)
        else:
            states, state, weights = model.step_with_weights(token, state)
            assert weights.dtype == own
            wanted = whole.weights[:, model.alignment_layer, :, step].mean(dim=1)
            torch.testing.assert_close(weights.to(dtype), wanted, **weights_within)
        assert states.dtype == own
        torch.testing.assert_close(states.to(dtype), whole.states[:, step], **states_within)
        if step == 20:
            state = state.select(torch.arange(len(rows)))
