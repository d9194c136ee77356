"""One query a sequence against a cache of keys and values that query heads share, as large language models decode."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from heedful.bench.values import Contender, Inputs, Operation, Run, Sizes
from heedful.ops.attend import attend

SIZES = {"batch": 1, "heads": 32, "key_heads": 8, "keys": 4096, "features": 128}


def draw(sizes: Sizes) -> dict[str, Tensor]:
    """A query for each head, and the cache of the heads that are shared."""
    batch, features = sizes["batch"], sizes["features"]
    cache = batch, sizes["key_heads"], sizes["keys"], features
    query = torch.randn(batch, sizes["heads"], 1, features)
    return {"query": query, "key": torch.randn(cache), "value": torch.randn(cache)}


def expected(sizes: Sizes, inputs: Inputs, rows: Tensor | None) -> Tensor:
    """The query heads of a key head, as rows of one product."""
    key, value = inputs["key"], inputs["value"]
    query = inputs["query"].unflatten(1, (sizes["key_heads"], -1)).flatten(2, 3)
    scores = query @ key.transpose(-2, -1) / math.sqrt(sizes["features"])
    mixed = torch.softmax(scores, -1) @ value
    return mixed.reshape(sizes["batch"], sizes["heads"], 1, sizes["features"])


def _ours(sizes: Sizes, inputs: Inputs) -> Run:
    query, key, value = inputs["query"], inputs["key"], inputs["value"]
    return lambda: attend(query, key, value, enable_gqa=True).output


def _direct(sizes: Sizes, inputs: Inputs) -> Run:
    query, key, value = inputs["query"], inputs["key"], inputs["value"]
    direct = functional.scaled_dot_product_attention
    return lambda: direct(query, key, value, enable_gqa=True)


def _numpy(sizes: Sizes, inputs: Inputs) -> Run:
    """As in implementations of Llama in NumPy, without repeating the shared heads."""
    import numpy as np

    query, key, value = (inputs[name].detach().numpy() for name in ("query", "key", "value"))
    batch, heads, _, features = query.shape
    shared = sizes["key_heads"]

    def run() -> Tensor:
        grouped = query.reshape(batch, shared, heads // shared, features)
        scores = grouped @ key.swapaxes(-2, -1) / np.float32(math.sqrt(features))
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
        return torch.from_numpy((weights @ value).reshape(batch, heads, 1, features))

    return run


def _onnx_runtime(sizes: Sizes, inputs: Inputs) -> Run:
    """The operator `Attention` of ONNX, which shares heads as it is defined; tensors share their memory with it."""
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper

    names = ("query", "key", "value")
    tensors = {name: inputs[name].detach().numpy() for name in names}
    made: list[Any] = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, tensors[name].shape)
        for name in names
    ]
    result = helper.make_tensor_value_info("output", TensorProto.FLOAT, tensors["query"].shape)
    graph = helper.make_graph(
        [helper.make_node("Attention", list(names), ["output"])], "cache", made, [result]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)], ir_version=10)
    onnx.checker.check_model(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return lambda: torch.from_numpy(session.run(None, tensors)[0])


CACHE = Operation(
    name="cache",
    title="One query against a cache that heads share",
    sizes=SIZES,
    scans=("keys",),
    inputs=draw,
    expected=expected,
    contenders=(
        Contender("heedful", _ours, ours=True, backward=False),
        Contender("SDPA", _direct, backward=False),
        Contender("NumPy", _numpy, backward=False),
        Contender("ONNX Runtime", _onnx_runtime, backward=False, needs="onnxruntime"),
    ),
    rows=lambda sizes: 1,
    cost_of_row=lambda sizes: sizes["batch"] * sizes["heads"] * sizes["keys"],
    axis="keys",
)
