"""What `scaled_dot_product_attention` serves: the cost of `attend` over calling it directly."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from heedful.bench.values import Contender, Inputs, Operation, Run, Sizes
from heedful.ops.attend import attend
from heedful.ops.masks import Causal, Dense, Mask, Padding, Segments

SIZES = {"batch": 4, "heads": 8, "length": 512, "features": 64}


def draw(sizes: Sizes, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """Queries, keys and values of every head, and how long each sequence is."""
    batch, length = sizes["batch"], sizes["length"]
    shape = (batch, sizes["heads"], length, sizes["features"])
    tensors = {name: torch.randn(shape).to(dtype) for name in ("query", "key", "value")}
    lengths = torch.linspace(length, max(1, length // 2), batch).long()
    return {**tensors, "lengths": lengths}


def no_mask(sizes: Sizes, inputs: Inputs) -> Tensor:
    """Every key is seen."""
    return torch.ones(sizes["length"], sizes["length"], dtype=torch.bool)


def causal_mask(sizes: Sizes, inputs: Inputs) -> Tensor:
    """Nothing from the future."""
    return no_mask(sizes, inputs).tril()


def padding_mask(sizes: Sizes, inputs: Inputs) -> Tensor:
    """The keys of each sequence up to its length."""
    places = torch.arange(sizes["length"])
    return (places < inputs["lengths"][:, None])[:, None, None, :]


def documents(sizes: Sizes) -> Tensor:
    """The number of the document that each token belongs to, (length): eight documents packed in one row."""
    return torch.arange(sizes["length"]) * 8 // sizes["length"]


def documents_mask(sizes: Sizes, inputs: Inputs) -> Tensor:
    """The tokens of one document."""
    ids = documents(sizes)
    return ids[:, None] == ids


def on_copies(build: Callable[[Sizes, Inputs], Run], dtype: torch.dtype) -> Contender:
    """The contender that computes in float32 what is given in half precision."""

    def build_copies(sizes: Sizes, inputs: Inputs) -> Run:
        def run() -> Tensor:
            wide = {name: inputs[name].float() for name in ("query", "key", "value")}
            return build(sizes, wide)().to(dtype)

        return run

    return Contender("SDPA, float32 copies", build_copies)


def operation(
    name: str,
    title: str,
    keep: Callable[[Sizes, Inputs], Tensor],
    ours: Callable[[Sizes, Inputs], Mask | None],
    dtype: torch.dtype = torch.float32,
) -> Operation:
    """Make the operation of one kind of mask: as a boolean tensor, and as `attend` takes it.

    In half precision PyTorch's kernel is measured on float32 copies too.
    """

    def expected(sizes: Sizes, inputs: Inputs, rows: Tensor | None) -> Tensor:
        query, kept = inputs["query"], keep(sizes, inputs)
        if rows is not None:
            query = query.index_select(-2, rows)
            kept = kept if kept.shape[-2] == 1 else kept.index_select(-2, rows)
        scores = query @ inputs["key"].transpose(-2, -1) / math.sqrt(sizes["features"])
        return torch.softmax(scores.masked_fill(~kept, -torch.inf), dim=-1) @ inputs["value"]

    def build_ours(sizes: Sizes, inputs: Inputs) -> Run:
        query, key, value = inputs["query"], inputs["key"], inputs["value"]
        mask = ours(sizes, inputs)
        return lambda: attend(query, key, value, mask=mask).output

    def build_direct(sizes: Sizes, inputs: Inputs) -> Run:
        query, key, value = inputs["query"], inputs["key"], inputs["value"]
        direct = functional.scaled_dot_product_attention
        if keep is no_mask:
            return lambda: direct(query, key, value)
        if keep is causal_mask:
            return lambda: direct(query, key, value, is_causal=True)
        kept = keep(sizes, inputs)
        return lambda: direct(query, key, value, attn_mask=kept)

    return Operation(
        name=name,
        title=title,
        sizes=SIZES,
        scans=("length",),
        inputs=partial(draw, dtype=dtype),
        expected=expected,
        contenders=(
            Contender("heedful", build_ours, ours=True),
            Contender("SDPA", build_direct),
            *(() if dtype is torch.float32 else (on_copies(build_direct, dtype),)),
        ),
        rows=lambda sizes: sizes["length"],
        cost_of_row=lambda sizes: sizes["batch"] * sizes["heads"] * sizes["length"],
    )


SERVED = operation("dot", "Dot attention, no mask", no_mask, lambda sizes, inputs: None)
SERVED_CAUSAL = operation(
    "dot-causal", "Dot attention, causal", causal_mask, lambda sizes, inputs: Causal()
)
SERVED_BFLOAT16, SERVED_FLOAT16 = (
    operation(
        f"dot-causal-{name}",
        f"Dot attention, causal, in {name}",
        causal_mask,
        lambda sizes, inputs: Causal(),
        dtype,
    )
    for name, dtype in (("bfloat16", torch.bfloat16), ("float16", torch.float16))
)
SERVED_PADDED = operation(
    "dot-padded",
    "Dot attention, padded",
    padding_mask,
    lambda sizes, inputs: Padding(inputs["lengths"]),
)
SERVED_PACKED = operation(
    "dot-packed",
    "Dot attention, eight documents packed in one row",
    documents_mask,
    lambda sizes, inputs: Segments(documents(sizes), documents(sizes)),
)


def dropped_mask(sizes: Sizes, inputs: Inputs) -> Tensor:
    """A boolean tensor without any order, that hides three keys of ten."""
    length = sizes["length"]
    rows, columns = torch.arange(length)[:, None], torch.arange(length)
    return (rows * 7919 + columns * 104729) % 10 > 2


SERVED_BOOLEAN = operation(
    "dot-boolean",
    "Dot attention, a boolean mask",
    dropped_mask,
    lambda sizes, inputs: Dense(dropped_mask(sizes, inputs)),
)
