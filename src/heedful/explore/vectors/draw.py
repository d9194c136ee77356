"""Word vectors as a map of two dimensions, with the distances of one-hot vectors beside, and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from heedful.atomic_files import write_text
from heedful.explore.fonts import font_families
from heedful.explore.tokens import truncate, visible
from heedful.explore.vectors.nearness import ONE_HOT_DISTANCE, Map, distances
from heedful.plots import COLOURS, INK, house_style, new_figure, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAP_HEIGHT, DISTANCES_HEIGHT = 4.6, 1.9
"""Inches."""
LONGEST_LABEL: Final = 16
BINS: Final = 40


def draw_map(
    words: Sequence[str],
    values: NDArray[np.floating[Any]],
    found: Map,
    path: Path,
    *,
    title: str,
    strong: Collection[str] = (),
) -> None:
    """Draw words where the map puts them, and below the distances of all pairs beside those of one-hot vectors.

    Args:
        words: the words.
        values: their vectors (words, width), in all their dimensions.
        found: where they are drawn.
        path: a .png or .svg file.
        title: of the figure.
        strong: words in bold.

    Raises: OptionError for another file; MissingFontError if no installed font has the glyphs of a PNG.
    """
    with house_style():
        from matplotlib import rcParams

        if path.suffix.lower() == ".png":
            rcParams["font.family"] = font_families([*words, title])
        figure, (plane, pairs) = new_figure([MAP_HEIGHT, DISTANCES_HEIGHT], title)
        _draw_words(plane, words, found, strong)
        _draw_distances(pairs, distances(values))
        save(figure, path)


def _draw_words(axes: Axes, words: Sequence[str], found: Map, strong: Collection[str]) -> None:
    axes.set_xlabel(found.axes[0])
    axes.set_ylabel(found.axes[1])
    axes.set_xticks([])
    axes.set_yticks([])
    axes.margins(x=0.14, y=0.06)
    for word, (x, y) in zip(words, found.places, strict=True):
        is_strong = word in strong
        axes.plot(x, y, ".", color=COLOURS[0 if is_strong else 1], markersize=5)
        axes.annotate(
            truncate(visible(word), LONGEST_LABEL), (x, y), xytext=(3, 2), textcoords="offset points", fontsize=7.5,
            color=INK, fontweight="bold" if is_strong else "normal", parse_math=False, zorder=4 if is_strong else 3,
        )  # fmt: skip


def _draw_distances(axes: Axes, found: NDArray[np.float64]) -> None:
    axes.set_title("distance of each pair of these words, vectors at length 1", fontsize=9)
    counts, _, _ = axes.hist(found, bins=BINS, range=(0, 2), color=COLOURS[1])
    axes.axvline(ONE_HOT_DISTANCE, color=COLOURS[0], linewidth=2)
    top = float(np.max(counts)) if len(found) else 1.0
    # On the left, where pairs are seldom: few words are nearly the same.
    axes.text(
        0.02, top, "line: one-hot vectors,\nevery pair at √2", fontsize=8, va="top", color=INK
    )
    axes.set_ylim(0, top * 1.1)
    axes.set_xlim(0, 2)
    axes.set_yticks([])
    axes.set_xlabel("0 same direction, 2 opposite")


def write_csv(words: Sequence[str], found: Map, strong: Collection[str], path: Path) -> None:
    """Write word, the two coordinates and whether the word was asked for."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["word", "x", "y", "asked"])
    for word, (x, y) in zip(words, found.places.tolist(), strict=True):
        writer.writerow([word, f"{x:.6g}", f"{y:.6g}", int(word in strong)])
    write_text(path, text.getvalue())
