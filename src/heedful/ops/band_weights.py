"""Weights of windowed attention in banded form, for lengths at which queries × keys does not fit in memory."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from heedful.errors import BackendError
from heedful.ops.arguments import validated
from heedful.ops.backends import BACKENDS
from heedful.ops.backends.additive.scores import fast_pair
from heedful.ops.backends.band.backend import OPEN
from heedful.ops.backends.band.blocks import BlockedCall, attend_blocks
from heedful.ops.backends.band.window import band_of
from heedful.ops.backends.base import without_autocast
from heedful.ops.backends.reference import prepare
from heedful.ops.masks import Mask
from heedful.ops.normalizers import Normalizer, Softmax
from heedful.ops.positions import PositionBias
from heedful.ops.scores import PreparedKey, ScaledDot, Score


@dataclass(frozen=True, eq=False)
class BandWeights:
    """Weights by distance: `values[..., i, d]` is the weight of query i for key i − left + d.

    >>> band = BandWeights(torch.tensor([[0.0, 1.0], [0.5, 0.5]]), left=1, num_keys=2)
    >>> band.keys().tolist(), band.dense().tolist()
    ([[-1, 0], [0, 1]], [[1.0, 0.0], [0.5, 0.5]])
    """

    values: Tensor
    """(*lead, query, window), after normalizing; 0 where the key does not exist or is masked."""
    left: int
    """Distance from the first key of the band to its query; negative if the band starts after the query."""
    num_keys: int

    def keys(self) -> Tensor:
        """Key index of each value, (query, window); outside [0, num_keys) there is no key."""
        queries, window = self.values.shape[-2:]
        device = self.values.device
        distance = torch.arange(window, device=device) - self.left
        return torch.arange(queries, device=device)[:, None] + distance

    def dense(self) -> Tensor:
        """The weights as a matrix (*lead, query, key), as returned by `attend`."""
        keys = self.keys().clamp(0, max(0, self.num_keys - 1)).expand(self.values.shape)
        whole = self.values.new_zeros(*self.values.shape[:-1], self.num_keys)
        return whole.scatter_add(-1, keys, self.values) if self.num_keys else whole


def band_weights(
    query: Tensor,
    key: Tensor | PreparedKey,
    *,
    mask: Mask | Tensor,
    score: Score = ScaledDot(),
    bias: Tensor | PositionBias | None = None,
    normalizer: Normalizer = Softmax(),
    enable_gqa: bool = False,
) -> BandWeights:
    """Weights of `attend` under a mask with a bounded window, in banded form.

    `attend(..., return_weights=True)` returns a matrix (*lead, query, key). This function returns the same weights in
    memory of length × window. They are differentiable. The arguments are those of `attend`.

    Raises:
        ShapeError, DtypeError, DeviceError, MaskError, OptionError: as `attend`.
        BackendError: the mask has no bounded window, or the call is being traced.

    >>> from heedful import masks
    >>> x = torch.randn(1000, 8)
    >>> band = band_weights(x, x, mask=masks.Window(2, 1))
    >>> band.values.shape, band.left
    (torch.Size([1000, 4]), 2)
    """
    features = key.features if isinstance(key, PreparedKey) else key
    # The output is not used, so the values have 0 features.
    value = (features if isinstance(features, Tensor) else query)[..., :0]
    call = validated(query, key, value, score, mask, bias, normalizer, 0.0, enable_gqa, True)
    band = band_of(call)
    refusal = BACKENDS["band"].supports(call) or (OPEN if band is None else None)
    if refusal is not None:
        raise BackendError(
            f"band_weights cannot serve this call: {refusal}. attend(..., return_weights=True) gives the weights of "
            f"every call, (*lead, query, key)."
        )
    assert band is not None
    with without_autocast(call.query.device):
        weights = attend_blocks(BlockedCall(prepare(call, fast_pair), band, "band")).weights
    assert weights is not None
    return BandWeights(weights, band.left, call.num_keys)
