"""Kernel ridge regression beside a network: attention over all training examples, solved at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from heedful.models.config import Section

Numbers = NDArray[np.float64]


class KernelConfig(Section):
    """Kernel ridge regression on the descriptors, beside the networks."""

    share: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Its share in a prediction, such as 0.5; the rest is the networks'. 0: none.",
    )
    gamma: float = Field(
        0.3,
        gt=0,
        description="The kernel is exp(-gamma |x - y|² / (n v)), of n descriptors with the variance v.",
    )
    ridge: float = Field(0.03, gt=0, description="Added to the diagonal of the kernel's matrix.")
    examples: int = Field(
        10_000,
        ge=1,
        description="Of more training molecules so many are drawn; the time grows with the third power of them.",
    )


class KernelRegression(nn.Module):
    r"""Attention to every training example by a Gaussian kernel, without a normalizer.

    (batch, features) -> (batch, outputs).

    .. math:: f(x) = \sum_i k(x, x_i)\,\alpha_i, \quad k(x, y) = \exp(-\gamma |x - y|^2), \quad
        \alpha = (K + \lambda I)^{-1} Y

    The keys are the features of the training examples, the values :math:`\alpha`; kernel ridge regression (Saunders et
    al. 1998). Nothing of it is trained by gradients. Keys and values are saved with the weights of the network.

    Args:
        config: the options.
        features: numbers of an example.
        outputs: numbers that are predicted.

    >>> kernel = KernelRegression(KernelConfig(gamma=9.0, ridge=1e-6), 1, 1)
    >>> kernel.fit(np.array([[-1.0], [0.0], [1.0]]), np.array([[2.0], [0.0], [2.0]]))
    >>> [round(each, 3) for each in kernel(torch.tensor([[-1.0], [0.0]]))[:, 0].tolist()]
    [2.0, 0.0]
    """

    def __init__(self, config: KernelConfig, features: int, outputs: int):
        super().__init__()
        self.config = config
        self.register_buffer("keys", torch.zeros(0, features))
        self.register_buffer("values", torch.zeros(0, outputs))
        self.register_buffer("factor", torch.ones(()))

    keys: Tensor
    values: Tensor
    factor: Tensor
    """γ."""

    def fit(self, features: Numbers, targets: Numbers, seed: int = 0) -> None:
        """Solve for the values.

        Args:
            features: (examples, features).
            targets: (examples, outputs), standardized; NaN where one is missing, which is left out.
            seed: draws the examples, of more than `config.examples`.
        """
        if len(features) > self.config.examples:
            drawn = np.random.default_rng(seed).permutation(len(features))[: self.config.examples]
            features, targets = features[np.sort(drawn)], targets[np.sort(drawn)]
        factor = self.config.gamma / max(features.shape[1] * features.var(), 1e-9)
        lengths = (features**2).sum(axis=1)
        distances = lengths[:, None] + lengths - 2 * features @ features.T
        matrix = np.exp(-factor * np.maximum(distances, 0.0))
        matrix[np.diag_indices(len(matrix))] += self.config.ridge
        values = np.zeros_like(targets)
        for output, known in enumerate(~np.isnan(targets).T):
            values[known, output] = np.linalg.solve(
                matrix[np.ix_(known, known)], targets[known, output]
            )
        for name, found in (("keys", features), ("values", values), ("factor", np.array(factor))):
            before = getattr(self, name)
            setattr(self, name, torch.from_numpy(found).to(before.device, before.dtype))

    def forward(self, features: Tensor) -> Tensor:
        # Differences of large numbers: half precision would leave nothing of them.
        with torch.autocast(features.device.type, enabled=False):
            query = features.to(self.keys.dtype)
            squares = query.square().sum(dim=-1, keepdim=True) + self.keys.square().sum(dim=-1)
            distances = (squares - 2 * query @ self.keys.T).clamp_min(0)
            found: Tensor = torch.exp(-self.factor * distances) @ self.values
        return found

    def joined(self, scores: Tensor, features: Tensor) -> Tensor:
        """Return the scores of a network with the share of the kernel's in them."""
        return torch.lerp(scores, self(features).to(scores.dtype), self.config.share)

    def _load_from_state_dict(
        self, state_dict: Mapping[str, Any], prefix: str, *others: Any, **named: Any
    ) -> None:
        """Make room for as many examples as are stored; everything else about their shapes is checked as usual."""
        stored = [state_dict.get(f"{prefix}{name}") for name in ("keys", "values")]
        counts = {len(each) for each in stored if isinstance(each, Tensor) and each.ndim == 2}
        if len(counts) == 1:
            [count] = counts
            self.keys = self.keys.new_zeros(count, self.keys.shape[1])
            self.values = self.values.new_zeros(count, self.values.shape[1])
        super()._load_from_state_dict(state_dict, prefix, *others, **named)
