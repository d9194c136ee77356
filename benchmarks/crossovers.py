"""Whether the planner takes the fastest backend: every backend that serves a call is timed, in one interleaved run.

python -m benchmarks.crossovers [--threads N] [--lengths N ...] [--queries N] [--features N] [--seconds S] [KIND ...]

A line a call: the backend that `auto` takes, the fastest one, how many times as long the former takes, and of each
backend the microseconds measured and, in brackets, expected. For processors without AVX-512, limit PyTorch's, oneDNN's
and Numba's vectors; docs/planning.md has the line.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from itertools import product

import torch
from torch import Tensor

from benchmarks.timing import forward_and_backward, medians
from heedful import attend, masks, normalizers, scores
from heedful.ops.arguments import validated
from heedful.ops.backends import BACKENDS
from heedful.ops.plan import choose

Options = dict[str, object]
HIDDEN = 64
LEADS = ((1, 4), (4, 8), (128, 4))
LENGTHS = (8, 14, 31, 49, 64, 256, 1024)
MOST_CELLS = 2**23
SHARING = 4
"""Query heads that share a key head, under "shared heads"."""
HOPELESS = 6.0
"""Backends that are expected to take so many times as long as the one chosen are not timed."""


def additive() -> scores.Additive:
    maps = torch.randn(64, HIDDEN) / 8, torch.randn(64, HIDDEN) / 8
    return scores.Additive(*maps, torch.randn(HIDDEN))


def edges(length: int) -> masks.Edges:
    return masks.Edges(torch.randint(length, (2, 8 * length)), length, length)


def padding(lead: tuple[int, ...], length: int) -> masks.Padding:
    return masks.Padding(torch.randint(length // 2, length + 1, lead[:1]))


def segments(length: int) -> masks.Segments:
    ids = torch.arange(length) * 4 // length
    return masks.Segments(ids, ids)


KINDS: dict[str, Callable[[tuple[int, ...], int], Options]] = {
    "unmasked": lambda lead, n: {},
    "causal": lambda lead, n: {"mask": masks.Causal()},
    "padding": lambda lead, n: {"mask": padding(lead, n)},
    "dense": lambda lead, n: {"mask": (torch.rand(n, n) > 0.3).fill_diagonal_(True)},
    "bias": lambda lead, n: {"bias": torch.randn(1, lead[1], n, n)},
    "bias of all": lambda lead, n: {"bias": torch.randn(*lead, n, n)},
    "segments": lambda lead, n: {"mask": segments(n)},
    "causal & segments": lambda lead, n: {"mask": masks.Causal() & segments(n)},
    "causal & padding": lambda lead, n: {"mask": masks.Causal() & padding(lead, n)},
    "left padding": lambda lead, n: {"mask": masks.LeftPadding(torch.arange(lead[0]) * n // 8)},
    "window 16": lambda lead, n: {"mask": masks.Window(16, 16)},
    "window 128": lambda lead, n: {"mask": masks.Window(128, 128)},
    "window & padding": lambda lead, n: {"mask": masks.Window(16, 16) & padding(lead, n)},
    "window, sparsemax": lambda lead, n: {
        "mask": masks.Window(16, 16),
        "normalizer": normalizers.Sparsemax(),
    },
    "additive": lambda lead, n: {"score": additive()},
    "additive, causal": lambda lead, n: {"score": additive(), "mask": masks.Causal()},
    "additive, window": lambda lead, n: {"score": additive(), "mask": masks.Window(16, 16)},
    "entmax": lambda lead, n: {"normalizer": normalizers.Entmax(1.5)},
    "wide values": lambda lead, n: {},
    "sparsemax": lambda lead, n: {"normalizer": normalizers.Sparsemax()},
    "dropout": lambda lead, n: {"dropout_p": 0.1},
    "edges": lambda lead, n: {"mask": edges(n)},
    "shared heads": lambda lead, n: {"enable_gqa": True},
}


def measured(
    inputs: tuple[Tensor, ...], options: Options, seconds: float
) -> tuple[str, dict[str, float], dict[str, float]]:
    """The backend chosen, and of each that is no hopeless one the microseconds taken and expected."""
    given = {
        "score": scores.ScaledDot(),
        "mask": None,
        "bias": None,
        "normalizer": normalizers.Softmax(),
    }
    given |= {
        name: value for name, value in options.items() if name not in ("dropout_p", "enable_gqa")
    }
    call = validated(
        *inputs, *given.values(), options.get("dropout_p", 0.0), options.get("enable_gqa", False), False
    )  # type: ignore[arg-type] # fmt: skip
    chosen = choose(call, "auto").name
    serving = [one for one in BACKENDS.values() if one.supports(call) is None]
    expected = {one.name: one.seconds(call) * 1e6 for one in serving}
    least = expected[chosen]
    runs = {
        name: partial(
            forward_and_backward,
            partial(lambda name: attend(*inputs, backend=name, **options).output, name),  # type: ignore[arg-type]
            inputs,
        )
        for name, takes in expected.items()
        if takes <= HOPELESS * least
    }
    return chosen, medians(runs, seconds), expected


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=", ".join(KINDS))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--lengths", type=int, nargs="+", default=LENGTHS)
    parser.add_argument(
        "--features", type=int, default=64, help="of a head; additive scores want 64"
    )
    parser.add_argument("--queries", type=int, help="as many as keys by default")
    parser.add_argument("--seconds", type=float, default=0.4, help="for each call")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"{torch.backends.cpu.get_cpu_capability()}, {options.threads} thread(s)")
    worst: list[tuple[float, str]] = []
    for kind, lead, length, learns in product(
        options.kinds or KINDS, LEADS, options.lengths, (False, True)
    ):
        if lead[0] * lead[1] * (options.queries or length) * length > MOST_CELLS:
            continue
        torch.manual_seed(0)
        key_lead = (lead[0], lead[1] // SHARING) if kind == "shared heads" else lead
        inputs = (
            torch.randn(*lead, options.queries or length, options.features, requires_grad=learns),
            *(torch.randn(*key_lead, length, options.features, requires_grad=learns) for _ in "kv"),
        )
        if kind == "wide values":
            inputs = (
                *inputs[:2],
                torch.randn(*lead, length, 2 * options.features, requires_grad=learns),
            )
        chosen, took, expected = measured(inputs, KINDS[kind](lead, length), options.seconds)
        fastest = min(took, key=lambda name: took[name])
        times = took[chosen] / took[fastest]
        name = f"{kind} {'x'.join(map(str, lead))}x{length}{' +backward' if learns else ''}"
        parts = ", ".join(f"{one} {took[one]:.0f} ({expected[one]:.0f})" for one in took)
        print(f"{name:38} {chosen:9} {fastest:9} {times:5.2f}  {parts}", flush=True)
        worst.append((times, name))
    print("more than a tenth behind the fastest:")
    for times, name in sorted(worst, reverse=True):
        if times > 1.1:
            print(f"  {times:.2f} {name}")


if __name__ == "__main__":
    main()
