"""One example of every entry of the tables of ops; the contract tests are generated from these.

`test_tables.py` fails while a table and its examples differ, so nothing joins a table untested.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from itertools import product
from typing import Any

import torch
from torch import Tensor

from heedful import masks, normalizers, positions, scores
from heedful.ops.backends import BACKENDS
from heedful.ops.call import Call
from heedful.ops.masks import MASKS, Mask
from heedful.ops.normalizers import NORMALIZERS, Normalizer
from heedful.ops.scores import SCORES, Score

BATCH, HEADS, QUERIES, KEYS = 2, 2, 6, 4
QUERY_DIM, KEY_DIM, VALUE_DIM, HIDDEN = 4, 3, 5, 3

Lead = tuple[int, ...]
Dtype = torch.dtype


def normal(*shape: int, dtype: Dtype) -> Tensor:
    return torch.randn(shape, dtype=torch.float64).to(dtype)


def positive(*shape: int, dtype: Dtype) -> Tensor:
    return (1 + torch.rand(shape, dtype=torch.float64)).to(dtype)


# name -> (leading axes of the parameters, query size, key size, dtype) -> score
SCORE_EXAMPLES: dict[str, Callable[[Lead, int, int, Dtype], Score]] = {
    "dot": lambda lead, query, key, dtype: scores.Dot(),
    "scaled_dot": lambda lead, query, key, dtype: scores.ScaledDot(),
    "bilinear": lambda lead, query, key, dtype: scores.Bilinear(
        normal(*lead, query, key, dtype=dtype)
    ),
    "low_rank": lambda lead, query, key, dtype: scores.LowRank(
        normal(*lead, query, 2, dtype=dtype), normal(*lead, key, 2, dtype=dtype)
    ),
    "cosine": lambda lead, query, key, dtype: scores.Cosine(positive(*lead, dtype=dtype)),
    "gaussian": lambda lead, query, key, dtype: scores.Gaussian(positive(*lead, dtype=dtype)),
    "additive": lambda lead, query, key, dtype: scores.Additive(
        normal(*lead, query, HIDDEN, dtype=dtype),
        normal(*lead, key, HIDDEN, dtype=dtype),
        normal(*lead, HIDDEN, dtype=dtype),
    ),
    "soft_capped": lambda lead, query, key, dtype: scores.SoftCapped(1.5, scores.Dot()),
}
EQUAL_SIZES = {"dot", "scaled_dot", "cosine", "gaussian", "soft_capped"}
"""Scores that want query and key of one size."""

# Each of these leaves some row without any key and hides some key from every row or from some, at BATCH, QUERIES, KEYS.
MASK_EXAMPLES: dict[str, Callable[[], Mask]] = {
    "causal": lambda: masks.Causal(align="bottom_right"),
    "window": lambda: masks.Window(1, 0),
    "global": lambda: masks.Global(1, keys=0),
    "padding": lambda: masks.Padding(torch.tensor([0, 3])),
    "left_padding": lambda: masks.LeftPadding(torch.tensor([4, 1])),
    "ragged": lambda: masks.Ragged(torch.tensor([6, 5]), torch.tensor([2, 3]), left=2, right=1),
    "segments": lambda: masks.Segments(
        torch.tensor([[0, 0, 1, 1, 9, 2], [0, 9, 0, 0, 0, 0]]),
        torch.tensor([[0, 1, 2, 7], [0, 0, 7, 0]]),
    ),
    "edges": lambda: masks.Edges(
        torch.tensor([[0, 1, 1, 3, 0, 0], [0, 0, 1, 5, 3, 4]]), QUERIES, KEYS
    ),
    "grid_window": lambda: masks.GridWindow(positions.Grid(rows=3, columns=2), radius=0),
    "grid_tiles": lambda: masks.GridTiles(positions.Grid(rows=3, columns=2), size=2),
    "dense": lambda: masks.Dense(
        torch.tensor(
            [[1, 1, 0, 1], [0, 0, 0, 0], [1, 0, 0, 0], [0, 1, 0, 1], [1, 1, 0, 1], [0, 1, 0, 0]]
        ).bool()
    ),
}

NORMALIZER_EXAMPLES: dict[str, Callable[[Lead, Dtype], Normalizer]] = {
    "softmax": lambda lead, dtype: normalizers.Softmax(),
    "sink_softmax": lambda lead, dtype: normalizers.SinkSoftmax(normal(*lead, dtype=dtype)),
    "sparsemax": lambda lead, dtype: normalizers.Sparsemax(),
    "entmax": lambda lead, dtype: normalizers.Entmax(0.2 + positive(*lead, dtype=dtype)),
    "sigmoid": lambda lead, dtype: normalizers.Sigmoid(),
    "relu": lambda lead, dtype: normalizers.ReLU(),
}


# name -> whether the backend is meant to serve a score and a normalizer with finite inputs
BACKEND_EXAMPLES: dict[str, Callable[[str, str], bool]] = {
    "reference": lambda score, normalizer: True,
    "chunked": lambda score, normalizer: True,
    "sdpa": lambda score, normalizer: SCORES[score].pair_kind == "dot" and normalizer == "softmax",
    "band": lambda score, normalizer: True,
    "edges": lambda score, normalizer: (
        SCORES[score].pair_kind in ("dot", "additive")
        and normalizer in ("softmax", "sparsemax", "entmax")
    ),
    "additive": lambda score, normalizer: (
        SCORES[score].pair_kind == "additive" and normalizer == "softmax"
    ),
    # Without gradients; test_decode.py tests it.
    "decode": lambda score, normalizer: False,
    # For CUDA; test_flex.py runs its plain form.
    "flex": lambda score, normalizer: False,
}
WITHOUT_BIAS_GRADIENT = {"additive"}
"""Backends that leave learned biases to others."""
WITHOUT_DROPOUT = {"additive"}
HERE = [name for name, serves in BACKEND_EXAMPLES.items() if serves("dot", "softmax")]
"""Backends that serve inner products on a processor."""


# name -> a mask that keeps everything, of the kind that the backend asks for
BACKEND_MASKS: dict[str, Callable[[int, int], Mask]] = {
    "band": lambda queries, keys: masks.Window(queries + keys, queries + keys),
    "edges": lambda queries, keys: masks.Edges(
        torch.cartesian_prod(torch.arange(keys), torch.arange(queries)).T, queries, keys
    ),
}


def open_mask(backend: str, queries: int, keys: int) -> Mask | None:
    """A mask that keeps everything, for a backend that asks for one."""
    return BACKEND_MASKS[backend](queries, keys) if backend in BACKEND_MASKS else None


def served() -> Iterator[tuple[str, str, str, str]]:
    """Every (score, mask, normalizer, backend) that is to be served."""
    for score, mask, normalizer, backend in product(SCORES, MASKS, NORMALIZERS, BACKENDS):
        if BACKEND_EXAMPLES.get(backend, lambda *_: True)(score, normalizer):
            yield score, mask, normalizer, backend


def served_triples(*others: str) -> list[tuple[str, str, str]]:
    """Every (score, normalizer, backend) that is to be served, and each with backends called `others`."""
    triples = {(score, normalizer, backend) for score, _, normalizer, backend in served()}
    return sorted(triples | set(product(SCORES, NORMALIZERS, others)))


def served_pairs(*others: str) -> list[tuple[str, str]]:
    """Every (score, backend) that is to be served under softmax, and each with backends called `others`."""
    triples = served_triples(*others)
    return [(score, backend) for score, normalizer, backend in triples if normalizer == "softmax"]


@dataclass(frozen=True, eq=False)
class Example:
    """Arguments of one call, as one value that can be changed piece by piece."""

    query: Tensor
    key: Tensor
    value: Tensor
    score: Score
    mask: Mask | None
    bias: Tensor | None
    normalizer: Normalizer

    def arguments(self, backend: str | None = None) -> dict[str, object]:
        """Arguments of `attend`; with a mask as the backend wants it, where one is named."""
        arguments = {field.name: getattr(self, field.name) for field in fields(self)}
        opened = open_mask(backend or "auto", self.query.shape[-2], self.value.shape[-2])
        if opened is not None:
            arguments["mask"] = opened if self.mask is None else self.mask & opened
        return arguments

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor that wants a gradient, by name."""
        named = {"query": self.query, "key": self.key, "value": self.value}
        if self.bias is not None:
            named["bias"] = self.bias
        for owner in (self.score, self.normalizer):
            for field in fields(owner):  # type: ignore[arg-type]
                held = getattr(owner, field.name)
                if isinstance(held, Tensor):
                    named[f"{owner.name}.{field.name}"] = held
        return named

    def with_tensors(self, tensors: dict[str, Tensor]) -> Example:
        """The same call with other tensors, named as `tensors` names them."""
        own = {name: tensor for name, tensor in tensors.items() if "." not in name}
        for owner_name in ("score", "normalizer"):
            owner = getattr(self, owner_name)
            held = {
                name.split(".")[1]: tensor
                for name, tensor in tensors.items()
                if name.startswith(f"{owner.name}.")
            }
            if held:
                own[owner_name] = replace(owner, **held)
        return replace(self, **own)  # type: ignore[arg-type]

    def leaves(self) -> Example:
        """The same call with tensors of its own that want gradients."""
        return self.with_tensors(
            {
                name: tensor.detach().clone().requires_grad_()
                for name, tensor in self.tensors().items()
            }
        )

    def keep(self) -> Tensor:
        """What may be attended to, whole: (*lead, query, key)."""
        lead = self.query.shape[:-2]
        shape = (*lead, self.query.shape[-2], self.key.shape[-2])
        keep = torch.ones(shape, dtype=torch.bool)
        if self.mask is not None:
            keep = keep & self.mask.dense(*shape[-2:], lead=tuple(lead))
        if self.bias is not None:
            keep = keep & (self.bias != -torch.inf)
        return keep


def example(
    score: str,
    mask: str | None = None,
    normalizer: str = "softmax",
    *,
    dtype: Dtype = torch.float64,
    batch: tuple[int, ...] = (BATCH, HEADS),
    parameters: Lead = (HEADS,),
    bias: bool = False,
    queries: int = QUERIES,
    keys: int = KEYS,
) -> Example:
    """A small call: by default two heads with parameters of their own, and unequal lengths and sizes."""
    key_dim = QUERY_DIM if score in EQUAL_SIZES else KEY_DIM
    return Example(
        query=normal(*batch, queries, QUERY_DIM, dtype=dtype),
        key=normal(*batch, keys, key_dim, dtype=dtype),
        value=normal(*batch, keys, VALUE_DIM, dtype=dtype),
        score=SCORE_EXAMPLES[score](parameters, QUERY_DIM, key_dim, dtype),
        mask=None if mask is None else MASK_EXAMPLES[mask](),
        bias=normal(*(1,) * (len(batch) - 1), *batch[-1:], queries, keys, dtype=dtype)
        if bias
        else None,
        normalizer=NORMALIZER_EXAMPLES[normalizer](parameters, dtype),
    )


def windowed(
    mask: Mask, queries: int, keys: int, score: str = "scaled_dot", **options: Any
) -> Example:
    """An example of any lengths under a mask."""
    return replace(example(score, queries=queries, keys=keys, **options), mask=mask)


def two_rows(call: Call, *_: object) -> int:
    """Stands in for the block sizes of chunked and band, so that a small call has several blocks and an odd rest."""
    return 2
