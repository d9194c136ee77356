"""What `attend` costs over the kernel it calls, in one interleaved run.

python -m benchmarks.overhead    microseconds over scaled_dot_product_attention, and whether they are within the limits
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch.nn import functional as F

from benchmarks.timing import forward_and_backward, medians
from heedful import attend, masks

SHAPES = ((1, 1, 1, 16), (1, 4, 16, 16), (2, 4, 64, 32), (2, 4, 128, 64), (2, 8, 256, 64))
MOST_MICROSECONDS, MOST_SHARE, FROM = 15.0, 0.03, 1000.0
"""What `attend` may take more: so many microseconds, or this share where the kernel takes a millisecond or more."""

Options = dict[str, object]


def cases(shape: tuple[int, ...]) -> dict[str, tuple[Options, Callable[[], Options]]]:
    """Our options, and what makes the same for the kernel."""
    length = shape[2]
    dense = (torch.rand(length, length) > 0.3).fill_diagonal_(True)
    bias = torch.randn(1, shape[1], length, length)
    lengths = torch.randint(max(1, length // 2), length + 1, shape[:1])
    return {
        "unmasked": ({}, dict),
        "causal": ({"mask": masks.Causal()}, lambda: {"is_causal": True}),
        "dense": ({"mask": dense}, lambda: {"attn_mask": dense}),
        "padding": (
            {"mask": masks.Padding(lengths)},
            lambda: {"attn_mask": (torch.arange(length) < lengths[:, None])[:, None, None]},
        ),
        "bias": ({"bias": bias}, lambda: {"attn_mask": bias}),
    }


def main() -> None:
    print(f"{torch.backends.cpu.get_cpu_capability()}, {torch.get_num_threads()} thread(s)")
    for shape in SHAPES:
        for learns in (False, True):
            inputs = tuple(torch.randn(shape, requires_grad=learns) for _ in range(3))
            for name, (ours, theirs) in cases(shape).items():
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
                most = MOST_SHARE * took["direct"] if took["direct"] >= FROM else MOST_MICROSECONDS
                kind = "forward+backward" if learns else "forward"
                verdict = "" if over <= most else f"   more than {most:.1f}"
                print(
                    f"{shape!s:18} {kind:17} {name:9} {took['direct']:9.1f} us {over:+7.1f}{verdict}"
                )


if __name__ == "__main__":
    main()
