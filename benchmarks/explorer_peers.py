"""Pages of BertViz and CircuitsVis of given weights, written by the Python that has them: see `benchmarks.explorer`."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np


def bertviz(weights: Any, tokens: list[str], folder: Path) -> Path:
    """Write BertViz's head view of all layers."""
    import torch
    from bertviz import head_view

    layers = [torch.tensor(layer)[None] for layer in weights]
    page = head_view(layers, tokens, html_action="return")
    path = folder / "bertviz.html"
    path.write_text(f"<!DOCTYPE html><meta charset=utf-8><body>{page.data}", encoding="utf-8")
    return path


def circuitsvis(weights: Any, tokens: list[str], folder: Path) -> Path:
    """Write CircuitsVis' attention patterns of one layer: a page of it has no more."""
    import torch
    from circuitsvis.attention import attention_patterns

    page = attention_patterns(tokens=tokens, attention=torch.tensor(weights[0]))
    path = folder / "circuitsvis.html"
    path.write_text(f"<!DOCTYPE html><meta charset=utf-8><body>{page}", encoding="utf-8")
    return path


def main() -> int:
    """Read weights.npz of the folder, write the page of each, and print its name and the seconds it took."""
    folder = Path(sys.argv[1])
    data = np.load(folder / "weights.npz")
    tokens = [str(token) for token in data["tokens"]]
    for draw in (bertviz, circuitsvis):
        began = time.perf_counter()
        path = draw(data["weights"], tokens, folder)
        print(draw.__name__, path.name, time.perf_counter() - began)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
