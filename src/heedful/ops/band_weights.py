"""The weights of windowed attention as a band, for lengths at which queries × keys cannot exist."""

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
    """Weights by distance: `values[..., i, d]` is what query i gives to key i − left + d.

    >>> band = BandWeights(torch.tensor([[0.0, 1.0], [0.5, 0.5]]), left=1, num_keys=2)
    >>> band.keys().tolist(), band.dense().tolist()
    ([[-1, 0], [0, 1]], [[1.0, 0.0], [0.5, 0.5]])
    """

    values: Tensor
    """(*lead, query, window), as normalized; 0 where there is no key, or a mask hides it."""
    left: int
    """How far the band starts before its query; negative where it starts behind."""
    num_keys: int

    def keys(self) -> Tensor:
        """Index of each value's key, (query, window); below 0 or from `num_keys` on, there is none."""
        queries, window = self.values.shape[-2:]
        device = self.values.device
        distance = torch.arange(window, device=device) - self.left
        return torch.arange(queries, device=device)[:, None] + distance

    def dense(self) -> Tensor:
        """The weights as `attend` returns them, (*lead, query, key)."""
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
    """The weights that `attend` would use under a mask with a bounded window, as a band.

    `attend(..., return_weights=True)` always returns (*lead, query, key), whatever computes it. This returns the
    same numbers in length × window of memory; they are differentiable. Arguments are those of `attend`.

    Raises:
        ShapeError, DtypeError, DeviceError, MaskError, OptionError: as `attend`.
        BackendError: the mask bounds no window, or the call is being traced.

    >>> from heedful import masks
    >>> x = torch.randn(1000, 8)
    >>> band = band_weights(x, x, mask=masks.Window(2, 1))
    >>> band.values.shape, band.left
    (torch.Size([1000, 4]), 2)
    """
    features = key.features if isinstance(key, PreparedKey) else key
    # Nothing is mixed: values of no features.
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
