"""Milliseconds of the compiled kernels, one line each: for comparing two versions of this package on one machine.

python -m benchmarks.kernels [--threads N] [--rounds N]

Run it on both versions in turn, a process each time, and compare medians: a shared machine changes its speed.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable
from time import perf_counter

import torch
from torch import Tensor

from heedful import attend, masks, nn, normalizers, scores

Run = Callable[[], object]


def both_passes(make: Callable[..., Tensor], *leaves: Tensor) -> dict[str, Run]:
    """Forward without gradients, and forward with backward."""
    learned = [leaf.clone().requires_grad_() for leaf in leaves]

    def forward() -> object:
        with torch.no_grad():
            return make(*leaves)

    def backward() -> object:
        output = make(*learned)
        return torch.autograd.grad(output, learned, torch.ones_like(output), allow_unused=True)

    return {"forward": forward, "forward+backward": backward}


def cases() -> dict[str, dict[str, Run]]:
    torch.manual_seed(0)

    def draw(*shape: int) -> list[Tensor]:
        return [torch.randn(shape) for _ in "qkv"]

    maps = torch.randn(128, 128) / 11, torch.randn(128, 128) / 11, torch.randn(128)
    additive = scores.Additive(*maps)
    nodes, count = 20_000, 200_000
    edges = masks.Edges(torch.randint(nodes, (2, count)), nodes, nodes)
    layers = {"GAT": nn.GAT(64, 16, heads=4), "GATv2": nn.GATv2(64, 16, heads=4)}
    found = {
        "additive 256x256x128": both_passes(
            lambda q, k, v: attend(q, k, v, score=additive).output, *draw(1, 256, 128)
        ),
        "additive causal": both_passes(
            lambda q, k, v: attend(q, k, v, score=additive, mask=masks.Causal()).output,
            *draw(1, 256, 128),
        ),
        "window 4096 +-128": both_passes(
            lambda q, k, v: attend(q, k, v, mask=masks.Window(128, 128)).output,
            *draw(1, 4, 4096, 64),
        ),
        "plain 512": both_passes(lambda q, k, v: attend(q, k, v).output, *draw(2, 8, 512, 64)),
        "causal 512": both_passes(
            lambda q, k, v: attend(q, k, v, mask=masks.Causal()).output, *draw(2, 8, 512, 64)
        ),
        "sparsemax 256": both_passes(
            lambda q, k, v: attend(q, k, v, normalizer=normalizers.Sparsemax()).output,
            *draw(2, 8, 256, 64),
        ),
        "entmax 256": both_passes(
            lambda q, k, v: attend(q, k, v, normalizer=normalizers.Entmax(1.5)).output,
            *draw(2, 8, 256, 64),
        ),
    }
    for name, layer in layers.items():
        found[f"{name} 200,000 edges"] = both_passes(
            lambda x, layer=layer: layer(x, edges), torch.randn(nodes, 64)
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    runs = {(name, kind): run for name, kinds in cases().items() for kind, run in kinds.items()}
    taken: dict[tuple[str, str], list[float]] = {key: [] for key in runs}
    for number in range(options.rounds + 2):
        for key, run in runs.items():
            start = perf_counter()
            run()
            if number >= 2:
                taken[key].append(1e3 * (perf_counter() - start))
    print(
        json.dumps(
            {" ".join(key): round(statistics.median(times), 4) for key, times in taken.items()}
        )
    )


if __name__ == "__main__":
    main()
