"""Windowed (truncated) attention: each position sees those at most `window` away on either side."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from heedful.bench.values import Contender, Inputs, Operation, Run, Sizes
from heedful.ops.attend import attend
from heedful.ops.masks import Window

SIZES = {"batch": 1, "heads": 4, "length": 4096, "features": 64, "window": 128}


def draw(sizes: Sizes) -> dict[str, Tensor]:
    """Queries, keys and values of every head."""
    shape = (sizes["batch"], sizes["heads"], sizes["length"], sizes["features"])
    return {name: torch.randn(shape) for name in ("query", "key", "value")}


def expected(sizes: Sizes, inputs: Inputs, rows: Tensor | None) -> Tensor:
    """Softmax over the keys that are near enough, of all of them."""
    query, key = inputs["query"], inputs["key"]
    places = torch.arange(sizes["length"])
    if rows is not None:
        query, places = query.index_select(-2, rows), rows
    scores = query @ key.transpose(-2, -1) / math.sqrt(sizes["features"])
    near = (places[:, None] - torch.arange(sizes["length"])).abs() <= sizes["window"]
    return torch.softmax(scores.masked_fill(~near, -torch.inf), dim=-1) @ inputs["value"]


def _ours(sizes: Sizes, inputs: Inputs) -> Run:
    mask = Window(sizes["window"], sizes["window"])
    return lambda: attend(inputs["query"], inputs["key"], inputs["value"], mask=mask).output


def _dense_mask(sizes: Sizes, inputs: Inputs) -> Run:
    places = torch.arange(sizes["length"])
    near = (places[:, None] - places).abs() <= sizes["window"]
    return lambda: functional.scaled_dot_product_attention(
        inputs["query"], inputs["key"], inputs["value"], attn_mask=near
    )


def _flex(sizes: Sizes, inputs: Inputs) -> Run:
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    def near(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return (query - key).abs() <= sizes["window"]

    length = sizes["length"]
    blocks = create_block_mask(near, None, None, length, length, device="cpu", _compile=True)
    compiled: Any = torch.compile(flex_attention, dynamic=False)
    # on a CPU it refuses inputs that want gradients, even where none are recorded
    query, key, value = (inputs[name].detach() for name in ("query", "key", "value"))
    return lambda: compiled(query, key, value, block_mask=blocks)


def _local_attention(sizes: Sizes, inputs: Inputs) -> Run:
    from local_attention import LocalAttention

    layer = LocalAttention(
        window_size=sizes["window"],
        look_backward=1,
        look_forward=1,
        exact_windowsize=True,
        autopad=True,
        use_rotary_pos_emb=False,
        scale=1 / math.sqrt(sizes["features"]),
    )

    # it pads to whole windows, and sees its own padding unless told which positions are real
    real = torch.ones(sizes["batch"], sizes["length"], dtype=torch.bool)
    mask = real if sizes["length"] % sizes["window"] else None

    def run() -> Tensor:
        output: Tensor = layer(inputs["query"], inputs["key"], inputs["value"], mask=mask)
        return output

    return run


def _all_pairs(sizes: Sizes) -> int:
    """The mask as booleans, and as the numbers that are added to the scores."""
    return 5 * sizes["length"] ** 2


def _bands(sizes: Sizes) -> int:
    """The scores of three windows of keys for every query, and three things made of them."""
    cells = sizes["batch"] * sizes["heads"] * sizes["length"] * 3 * sizes["window"]
    return 4 * 4 * cells


WINDOW = Operation(
    name="window",
    title="Windowed attention",
    sizes=SIZES,
    scans=("length",),
    inputs=draw,
    expected=expected,
    contenders=(
        Contender("heedful", _ours, ours=True),
        Contender("SDPA, dense mask", _dense_mask, memory=_all_pairs),
        Contender("FlexAttention, compiled", _flex, backward=False, compiles=True),
        Contender("local-attention", _local_attention, needs="local_attention", memory=_bands),
    ),
    rows=lambda sizes: sizes["length"],
    cost_of_row=lambda sizes: sizes["batch"] * sizes["heads"] * sizes["length"],
)
