"""The precision that recurrent layers compute in under autocast."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from functools import cache

import torch
from torch import Tensor, nn


def runs_lstm_in(dtype: torch.dtype) -> bool:
    """Whether this processor runs PyTorch's LSTM when autocast lowers it to `dtype`.

    Autocast hands an LSTM to oneDNN, which has one in bfloat16 for processors with AVX-512 and on others raises "could
    not create a primitive descriptor". No query says so, hence the smallest LSTM is run once.

    >>> runs_lstm_in(torch.bfloat16) in (True, False)
    True
    """
    return _answer(dtype)


# torch.compile takes the answer as a constant instead of tracing the question.
torch.compiler.assume_constant_result(runs_lstm_in)


@cache
def _answer(dtype: torch.dtype) -> bool:
    # Autocast, tracing modes and transforms are settings of one thread; a new thread has none of them.
    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(_try_lstm, dtype).result()


def _try_lstm(dtype: torch.dtype) -> bool:
    layer, inputs = nn.LSTM(1, 1, device="cpu"), torch.zeros(1, 1, 1, device="cpu")
    try:
        with torch.no_grad(), torch.autocast("cpu", dtype):
            layer(inputs)
    except RuntimeError:
        return False
    return True


def keeps_float32(device_type: str) -> bool:
    """Whether recurrent layers stay out of the autocast that is on for this type of device.

    They do on a CPU that has no LSTM in autocast's dtype. That is every kind of them: such a processor multiplies in
    half precision without instructions for it, and a GRU takes about ten times as long as in float32.

    >>> keeps_float32("cpu")
    False
    """
    return (
        device_type == "cpu"
        and torch.is_autocast_enabled("cpu")
        and not runs_lstm_in(torch.get_autocast_dtype("cpu"))
    )


def recurrent_precision(
    inputs: Tensor, weight: Tensor, is_faster_in_float32: bool = False
) -> tuple[Tensor, AbstractContextManager[object]]:
    """Return what recurrent layers should read, and the block in which to run them.

    Autocast is off in the block, and the inputs are cast to the dtype of the weights, where `keeps_float32` and, on a
    CPU, where the layers are faster in float32. Anywhere else nothing is changed. Outputs made in the block are left in
    the dtype they have.

    Args:
        inputs: of any shape.
        weight: one of the layers' weights.
        is_faster_in_float32: whether the layers take less time in float32 than under autocast.

    >>> layers = torch.nn.GRU(3, 4)
    >>> inputs, precision = recurrent_precision(torch.ones(5, 2, 3), layers.weight_ih_l0)
    >>> with precision:
    ...     outputs, final = layers(inputs)
    """
    kind = inputs.device.type
    is_faster = is_faster_in_float32 and kind == "cpu" and torch.is_autocast_enabled("cpu")
    if not (is_faster or keeps_float32(kind)):
        return inputs, nullcontext()
    return inputs.to(weight.dtype), torch.autocast(kind, enabled=False)
