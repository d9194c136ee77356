"""One step of a decoder: an additive query against a memory whose keys were prepared once for all steps."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from heedful.bench.operations.additive import broadcast_formula
from heedful.bench.values import Contender, Inputs, Operation, Run, Sizes
from heedful.ops.attend import attend
from heedful.ops.scores import Additive, PreparedKey

SIZES = {"batch": 32, "keys": 64, "hidden": 256}


def draw(sizes: Sizes) -> dict[str, Tensor]:
    """A query for each sequence, its memory, and the memory's keys as they were prepared."""
    batch, keys, hidden = sizes["batch"], sizes["keys"], sizes["hidden"]
    return {
        "query": torch.randn(batch, 1, hidden),
        "prepared": torch.randn(batch, keys, hidden),
        "memory": torch.randn(batch, keys, hidden),
        "query_weight": torch.randn(hidden, hidden) / math.sqrt(hidden),
        "vector": torch.randn(hidden),
    }


def expected(sizes: Sizes, inputs: Inputs, rows: Tensor | None) -> Tensor:
    """The formula of the paper."""
    query = inputs["query"] @ inputs["query_weight"]
    return broadcast_formula(query, inputs["prepared"], inputs["vector"], inputs["memory"])


def _ours(sizes: Sizes, inputs: Inputs) -> Run:
    weight, memory = inputs["query_weight"], inputs["memory"]
    score = Additive(weight, weight.detach(), inputs["vector"])
    key = PreparedKey(inputs["prepared"], score.key_kind)
    return lambda: attend(inputs["query"], key, memory, score=score).output


def _textbook(sizes: Sizes, inputs: Inputs) -> Run:
    """As such a step is written where queries are known to be one: two small products, a sum and a tanh."""
    memory, prepared, vector = inputs["memory"], inputs["prepared"], inputs["vector"]

    def run() -> Tensor:
        hidden = torch.tanh(inputs["query"] @ inputs["query_weight"] + prepared)
        weights = torch.softmax(hidden @ vector, dim=-1)
        return torch.bmm(weights.unsqueeze(1), memory)

    return run


def _compiled(sizes: Sizes, inputs: Inputs) -> Run:
    compiled: Any = torch.compile(expected, dynamic=False)
    return lambda: compiled(sizes, inputs, None)


STEP = Operation(
    name="decoder-step",
    title="One decoder step: an additive query against a prepared memory",
    sizes=SIZES,
    scans=("keys",),
    inputs=draw,
    expected=expected,
    contenders=(
        Contender("heedful", _ours, ours=True),
        Contender("textbook", _textbook),
        Contender("torch.compile", _compiled, compiles=True),
    ),
    rows=lambda sizes: 1,
    cost_of_row=lambda sizes: 1,
    axis="keys",
)
