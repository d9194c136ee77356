"""What `attend` costs over the kernel it calls, and where one backend overtakes another, in one interleaved run.

python -m benchmarks.door            microseconds over scaled_dot_product_attention
python -m benchmarks.door backends   microseconds of every backend that serves, and what the planner expected
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Mapping
from functools import partial
from time import perf_counter

import torch
from torch import Tensor
from torch.nn import functional as F

from heedful import attend, masks, scores
from heedful.ops.arguments import validated
from heedful.ops.backends import BACKENDS
from heedful.ops.normalizers import Softmax

SHAPES = ((1, 1, 1, 16), (1, 4, 16, 16), (2, 4, 64, 32), (2, 4, 128, 64), (2, 8, 256, 64))


def medians(runs: Mapping[str, Callable[[], object]], seconds: float = 1.0) -> dict[str, float]:
    """Microseconds of each, taken in turn and in alternating order."""
    for run in runs.values():
        run()
    start = perf_counter()
    for run in runs.values():
        run()
    repeats = max(7, min(2000, int(seconds / (perf_counter() - start))))
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for repeat in range(repeats):
        for name in list(runs)[:: 1 if repeat % 2 else -1]:
            start = perf_counter()
            runs[name]()
            taken[name].append(perf_counter() - start)
    return {name: statistics.median(times) * 1e6 for name, times in taken.items()}


def forward_and_backward(function: Callable[[], Tensor], inputs: tuple[Tensor, ...]) -> None:
    output = function()
    if output.requires_grad:
        torch.autograd.grad(output, inputs, torch.ones_like(output))


def door() -> None:
    for shape in SHAPES:
        length = shape[2]
        dense = (torch.rand(length, length) > 0.3).fill_diagonal_(True)
        bias = torch.randn(1, shape[1], length, length)
        lengths = torch.randint(max(1, length // 2), length + 1, shape[:1])
        padded = masks.Padding(lengths)
        # Ours, and the same of the kernel.
        cases: dict[str, tuple[dict[str, object], Callable[[], dict[str, object]]]] = {
            "unmasked": ({}, dict),
            "causal": ({"mask": masks.Causal()}, lambda: {"is_causal": True}),
            "dense": ({"mask": dense}, lambda dense=dense: {"attn_mask": dense}),
            "padding": (
                {"mask": padded},
                lambda n=length, lengths=lengths: {
                    "attn_mask": (torch.arange(n) < lengths[:, None])[:, None, None]
                },
            ),
            "bias": ({"bias": bias}, lambda bias=bias: {"attn_mask": bias}),
        }
        for grad in (False, True):
            inputs = tuple(torch.randn(shape, requires_grad=grad) for _ in range(3))
            for name, (ours, theirs) in cases.items():
                mine = partial(lambda i, o: attend(*i, **o).output, inputs, ours)
                direct = partial(
                    lambda i, o: F.scaled_dot_product_attention(*i, **o()), inputs, theirs
                )
                took = medians(
                    {
                        "ours": partial(forward_and_backward, mine, inputs),
                        "direct": partial(forward_and_backward, direct, inputs),
                    }
                )
                over = took["ours"] - took["direct"]
                kind = "forward+backward" if grad else "forward"
                print(f"{shape!s:18} {kind:17} {name:9} {took['direct']:9.1f} us {over:+7.1f}")


def backends() -> None:
    hidden = 64
    additive = scores.Additive(
        torch.randn(64, hidden) / 8, torch.randn(64, hidden) / 8, torch.randn(hidden)
    )
    for length in (16, 64, 256, 1024):
        inputs = tuple(torch.randn(1, 4, length, 64) for _ in range(3))
        for name, options in {
            "unmasked": {},
            "window 16": {"mask": masks.Window(16, 16)},
            "additive": {"score": additive},
        }.items():
            score, mask = options.get("score", scores.ScaledDot()), options.get("mask")
            call = validated(*inputs, score, mask, None, Softmax(), 0.0, False, False)  # type: ignore[arg-type]
            serving = [backend for backend in BACKENDS.values() if backend.supports(call) is None]
            took = medians(
                {
                    backend.name: partial(attend, *inputs, backend=backend.name, **options)  # type: ignore[arg-type]
                    for backend in serving
                },
                seconds=0.5,
            )
            told = ", ".join(
                f"{backend.name} {took[backend.name]:.0f} ({backend.seconds(call) * 1e6:.0f})"
                for backend in serving
            )
            print(f"{length:5} {name:10} us (expected): {told}")


if __name__ == "__main__":
    print(f"{torch.get_num_threads()} thread(s)")
    backends() if sys.argv[1:] == ["backends"] else door()
