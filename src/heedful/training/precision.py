"""Warnings about half precision on the CPU, given before training starts."""

from __future__ import annotations

import torch
from torch import nn

from heedful.nn.recurrent import RecurrentEncoder
from heedful.nn.recurrent_precision import runs_lstm_in
from heedful.ops.jit.processor import has_bfloat16_arithmetic


def precision_notices(precision: str, device_type: str, model: nn.Module) -> tuple[str, ...]:
    """Return one line for each reason why half precision is slow or has no effect for this model on this CPU.

    Empty for accelerators and for other precisions. On a CPU half precision is "bf16-mixed", as `check_device`
    rejects "16-mixed".

    >>> precision_notices("32-true", "cpu", nn.LSTM(3, 4))
    ()
    """
    if precision != "bf16-mixed" or device_type != "cpu":
        return ()
    notices = []
    if not has_bfloat16_arithmetic():
        notices.append(
            "training.precision is 'bf16-mixed', but this processor has no bfloat16 arithmetic: training will not "
            "be faster than in float32, and may be many times slower; set training.precision to '32-true'"
        )
    recurrent = any(isinstance(module, nn.RNNBase) for module in model.modules())
    if recurrent and not runs_lstm_in(torch.bfloat16):
        notices.append(
            "recurrent layers stay in float32: PyTorch has no LSTM in bfloat16 for this processor"
        )
    elif any(isinstance(one, RecurrentEncoder) and one.by_hand for one in model.modules()):
        notices.append(
            "recurrent encoders train in float32: their own backward pass takes less time than PyTorch's layers in "
            "bfloat16"
        )
    return tuple(notices)
