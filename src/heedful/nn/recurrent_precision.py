"""The dtype of recurrent layers under autocast."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from functools import cache

import torch
from torch import Tensor, nn

from heedful.ops.constant import assume_constant_result


def runs_lstm_in(dtype: torch.dtype) -> bool:
    """Whether this processor runs PyTorch's LSTM under autocast to `dtype`.

    Under autocast PyTorch calls the LSTM of oneDNN. In bfloat16 it supports processors with AVX-512, and raises "could
    not create a primitive descriptor" on others. There is no API to query this, so a minimal LSTM is run once.

    >>> runs_lstm_in(torch.bfloat16) in (True, False)
    True
    """
    return _lstm_runs_in(dtype)


# torch.compile treats the result as a constant instead of tracing the function.
assume_constant_result(runs_lstm_in)


@cache
def _lstm_runs_in(dtype: torch.dtype) -> bool:
    # Autocast, tracing modes and transforms are thread-local: a new thread runs without them.
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
    """Whether recurrent layers ignore autocast on this type of device and compute in float32.

    True on a CPU that does not support an LSTM in the dtype of autocast. It applies to all kinds of recurrent layers:
    such a CPU has no half-precision instructions, and a GRU takes about ten times as long as in float32.

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
    """Return the inputs for recurrent layers, and the context in which to run them.

    If `keeps_float32`, or on a CPU `is_faster_in_float32`, the inputs are cast to the dtype of the weights and the
    context disables autocast. Otherwise neither changes anything. Outputs are not cast back.

    Args:
        inputs: of any shape.
        weight: one of the layers' weights.
        is_faster_in_float32: whether the layers are faster in float32 than under autocast.

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
