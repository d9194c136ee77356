"""Other measures than the weight: norms, contributions, rollout, gradient × attention."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from heedful.explore.call_detail import CallDetail
from heedful.explore.schema import AttentionRecord

NORM: Final = "norm of what is added, ‖α v W‖"
CONTRIBUTION: Final = "contribution to the head's output"
ROLLOUT: Final = "attention rollout up to this layer"
GRADIENT: Final = "gradient × attention"

NOTES: Final = {
    NORM: "the length of the vector that each position adds to the output: a large weight on a short vector adds "
    "little (Kobayashi et al. 2020)",
    CONTRIBUTION: "the part of each position's vector that points along the head's output, divided by the length of "
    "that, so that a row sums to 1; negative: against it",
    ROLLOUT: "products of the mean over heads and half the identity; assumes that all heads matter alike, that half of "
    "each state passes unchanged, and that feed-forward parts mix nothing (Abnar and Zuidema 2020)",
    GRADIENT: "the weight times the gradient of the predicted score by it; positive: more of this weight raises the "
    "score",
}
"""Measure -> what it is, and what it assumes."""

Maps = NDArray[np.floating[Any]]


def added_vectors(detail: CallDetail) -> Tensor:
    """Return what a value adds for a weight of 1: v W, (heads, keys, width); v itself without a projection."""
    if detail.projection is None:
        return detail.value
    return detail.value @ detail.projection


def norms(detail: CallDetail) -> Maps:
    r"""Return :math:`\|\alpha_{ij} v_j W\|` (heads, queries, keys).

    Kobayashi et al. 2020, https://aclanthology.org/2020.emnlp-main.574/. W is the head's part of the output projection.
    """
    lengths = added_vectors(detail).norm(dim=-1)
    found: Maps = (detail.weights * lengths[:, None]).numpy()
    return found


def contributions(detail: CallDetail) -> Maps:
    r"""Return :math:`\alpha_{ij} \langle v_j W, o_i \rangle / \|o_i\|^2` for :math:`o_i = \sum_j \alpha_{ij} v_j W`.

    A row sums to 1, except where the output is 0.
    """
    added = added_vectors(detail)
    output = detail.weights @ added
    along = output @ added.transpose(-1, -2)
    length = output.square().sum(dim=-1, keepdim=True)
    tiny = torch.finfo(length.dtype).tiny
    found: Maps = (detail.weights * along / length.clamp(min=tiny)).numpy()
    return found


def gradient_times_attention(detail: CallDetail, gradient: Tensor) -> Maps:
    r"""Return the weights times the gradient of a score s by them.

    .. math:: \alpha_{ij} \, \partial s / \partial \alpha_{ij}
        = \alpha_{ij} \langle \partial s / \partial o_i, v_j \rangle

    Args:
        detail: of the call.
        gradient: of the score by the output, (heads, queries, values).
    """
    found: Maps = (detail.weights * (gradient @ detail.value.transpose(-1, -2))).numpy()
    return found


def rollouts(layers: Sequence[AttentionRecord]) -> list[AttentionRecord]:
    r"""Return of each layer how much of each input position has reached each position after it.

    .. math:: R_l = \tfrac{1}{2}(A_l + I) R_{l-1}, \quad R_0 = I

    for the mean :math:`A_l` over heads, rows divided by their sums (https://arxiv.org/abs/2005.00928).

    >>> one = AttentionRecord("a", "encoder", 0, "xy", "xy", [[[0.0, 1.0], [0.0, 1.0]]])
    >>> rollouts([one, replace(one, layer=1)])[1].weights.tolist()
    [[[0.25, 0.75], [0.0, 1.0]]]
    """
    found = []
    product = np.eye(len(layers[0].query_tokens)) if layers else np.eye(0)
    for layer in layers:
        mixed = (layer.weights.mean(axis=0, dtype=np.float64) + np.eye(len(product))) / 2
        product = mixed / np.maximum(mixed.sum(axis=1, keepdims=True), 1e-12) @ product
        found.append(_measured(layer.mean(), product[None], ROLLOUT, keeps_mask=False))
    return found


def other_measures(
    records: Sequence[AttentionRecord],
    details: Mapping[str, CallDetail],
    gradients: Mapping[str, Tensor] | None = None,
) -> list[AttentionRecord]:
    """Return records of the other measures for records of attention weights, with the same tokens.

    Args:
        records: of one pass, not merged into words.
        details: path -> the call of it; of layers that have none, only the rollout is told.
        gradients: path -> gradient of the score by the output of the call, (heads, queries, values).
    """
    found: list[AttentionRecord] = []
    measures: list[tuple[str, Callable[[CallDetail], Maps]]] = [
        (NORM, norms),
        (CONTRIBUTION, contributions),
    ]
    known = [record for record in records if _fits(record, details.get(record.module_path))]
    for name, measure in measures:
        found += [_measured(each, measure(details[each.module_path]), name) for each in known]
    for kind in dict.fromkeys(record.kind for record in records):
        layers = [record for record in records if record.kind == kind]
        if len(layers) > 1 and all(each.query_tokens == each.key_tokens for each in layers):
            found += rollouts(layers)
    for record in known:
        if gradients and record.module_path in gradients:
            path = record.module_path
            maps = gradient_times_attention(details[path], gradients[path])
            found.append(_measured(record, maps, GRADIENT))
    return found


def _fits(record: AttentionRecord, detail: CallDetail | None) -> bool:
    return detail is not None and tuple(detail.weights.shape) == record.weights.shape


def _measured(
    record: AttentionRecord, values: Maps, measure: str, *, keeps_mask: bool = True
) -> AttentionRecord:
    mask = record.mask if keeps_mask else None
    return replace(record, weights=values, measure=measure, mask=mask, note=NOTES[measure])
