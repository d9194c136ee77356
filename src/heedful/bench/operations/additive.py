"""Additive attention of every query to every key: projections, pairs, softmax and the mix of values."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from heedful.bench.values import Contender, Inputs, Operation, Run, Sizes
from heedful.ops.attend import attend
from heedful.ops.scores import Additive

SIZES = {"batch": 1, "queries": 256, "keys": 256, "hidden": 128}


def draw(sizes: Sizes) -> dict[str, Tensor]:
    """Queries, and keys that are the values too, all as wide as the hidden layer."""
    batch, hidden = sizes["batch"], sizes["hidden"]
    return {
        "query": torch.randn(batch, sizes["queries"], hidden),
        "memory": torch.randn(batch, sizes["keys"], hidden),
        "query_weight": torch.randn(hidden, hidden) / math.sqrt(hidden),
        "key_weight": torch.randn(hidden, hidden) / math.sqrt(hidden),
        "vector": torch.randn(hidden),
    }


def broadcast_formula(query: Tensor, key: Tensor, vector: Tensor, value: Tensor) -> Tensor:
    """softmax(tanh(q + k) v) · values, with every pair's hidden layer written out (as in d2l and many others)."""
    hidden = torch.tanh(query.unsqueeze(2) + key.unsqueeze(1))
    return torch.softmax(hidden @ vector, dim=-1) @ value


def expected(sizes: Sizes, inputs: Inputs, rows: Tensor | None) -> Tensor:
    """The formula of the paper."""
    query = inputs["query"] if rows is None else inputs["query"].index_select(-2, rows)
    memory = inputs["memory"]
    return broadcast_formula(
        query @ inputs["query_weight"], memory @ inputs["key_weight"], inputs["vector"], memory
    )


def _ours(sizes: Sizes, inputs: Inputs) -> Run:
    def run() -> Tensor:
        score = Additive(inputs["query_weight"], inputs["key_weight"], inputs["vector"])
        return attend(inputs["query"], inputs["memory"], inputs["memory"], score=score).output

    return run


def _textbook(sizes: Sizes, inputs: Inputs) -> Run:
    return lambda: expected(sizes, inputs, None)


def _compiled(sizes: Sizes, inputs: Inputs) -> Run:
    compiled = torch.compile(broadcast_formula, dynamic=False)

    def run() -> Tensor:
        memory = inputs["memory"]
        output: Tensor = compiled(
            inputs["query"] @ inputs["query_weight"],
            memory @ inputs["key_weight"],
            inputs["vector"],
            memory,
        )
        return output

    return run


def _keras(sizes: Sizes, inputs: Inputs) -> Run:
    import keras

    layer = keras.layers.AdditiveAttention()
    layer.build([(None, None, sizes["hidden"])] * 3)
    layer.scale._value = inputs["vector"]

    def run() -> Tensor:
        memory = inputs["memory"]
        query = inputs["query"] @ inputs["query_weight"]
        output: Tensor = layer([query, memory, memory @ inputs["key_weight"]])
        return output

    return run


def hidden_bytes(sizes: Sizes) -> int:
    """The hidden layer of every pair, once before and once after its tanh."""
    return 2 * 4 * sizes["batch"] * sizes["queries"] * sizes["keys"] * sizes["hidden"]


ADDITIVE = Operation(
    name="additive",
    title="Additive attention",
    sizes=SIZES,
    scans=("queries", "keys"),
    inputs=draw,
    expected=expected,
    contenders=(
        Contender("heedful", _ours, ours=True),
        Contender("textbook", _textbook, memory=hidden_bytes),
        Contender("torch.compile", _compiled, compiles=True),
        Contender("keras", _keras, needs="keras", memory=hidden_bytes),
    ),
    rows=lambda sizes: sizes["queries"],
    cost_of_row=lambda sizes: sizes["batch"] * sizes["keys"] * sizes["hidden"],
    axis="queries = keys",
)
