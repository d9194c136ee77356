"""Small pictures whose answers are known: a bright square on the left, on the right, or on both sides."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

SIDES = ("left", "right", "both")


def picture(side: str, seed: int, size: int = 8, channels: int = 1) -> np.ndarray:
    """Pixels of (size, size[, 3])."""
    draw = np.random.default_rng([SIDES.index(side), seed])
    pixels = draw.integers(0, 60, (size, size, channels))
    third = size // 3
    if side != "right":
        pixels[third:-third, :third] += 180
    if side != "left":
        pixels[third:-third, -third:] += 180
    return pixels.astype(np.uint8)[..., 0 if channels == 1 else slice(None)]


def write_folder(folder: Path, count: int = 8, size: int = 8, seed: int = 0) -> Path:
    """Write `count` pictures of each side into folders of classes."""
    for side in SIDES:
        (folder / side).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            pixels = picture(side, seed + number, size)
            Image.fromarray(pixels).save(folder / side / f"{number}.png")
    return folder


def write_table(folder: Path, count: int = 8, size: int = 8) -> Path:
    """Write pictures with a table of kind, brightness and a map of what is bright."""
    write_folder(folder, count, size)
    lines = ["path,kind,brightness,map"]
    for side in SIDES:
        for number in range(count):
            pixels = picture(side, number, size)
            np.save(folder / side / f"{number}-map.npy", (pixels > 100).astype(np.uint8))
            name = f"{side}/{number}"
            lines.append(f"{name}.png,{side},{pixels.mean():.4f},{name}-map.npy")
    table = folder / "pictures.csv"
    table.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return table
