"""Draw one attention heat map on matplotlib axes."""

from __future__ import annotations

from typing import Final

import numpy
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, PowerNorm
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from numpy.typing import NDArray
from rich.cells import cell_len

from heedful.explore.schema import AttentionRecord
from heedful.explore.tokens import truncate

COLOUR_STOPS: Final = ("#f7fbff", "#cfe1f2", "#93c4de", "#4a97c9", "#1764ab", "#08306b")
"""Sequential colour map, light to dark, safe for colour-blind readers. explorer/src/colour.ts has the same stops."""

COLOUR_MAP: Final = LinearSegmentedColormap.from_list("heedful", COLOUR_STOPS)
WEIGHT_NORM: Final = PowerNorm(0.5, 0.0, 1.0, clip=True)
"""Square roots, as on every picture of attention: small weights stay visible."""
SCALE_NOTE: Final = "square-root scale"
HATCH_COLOUR: Final = "#8c96a0"
LABEL_SIZE: Final = 9.0
"""Points."""
_MAX_UPRIGHT_CELLS: Final = 2
"""Labels up to this many terminal cells fit above their column without slanting."""


def draw_weights(axes: Axes, record: AttentionRecord) -> None:
    """Draw the weights of one head as a heat map, masked cells hatched."""
    allowed: NDArray[numpy.bool_] = record.allowed[0]
    weights = numpy.ma.masked_where(~allowed, record.weights[0])
    rows, columns = allowed.shape
    axes.imshow(
        weights,
        cmap=COLOUR_MAP,
        norm=WEIGHT_NORM,
        interpolation="none",
        aspect="auto",
        extent=(0, columns, rows, 0),
    )
    if not allowed.all():
        axes.add_patch(_hatched(allowed))
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set(edgecolor="#b4bcc4", linewidth=0.6)


def annotate_weights(axes: Axes, record: AttentionRecord) -> None:
    """Write each weight that does not round to 0.00 into its cell."""
    for query, key in numpy.argwhere(record.allowed[0] & (record.weights[0] >= 0.005)):
        weight = float(record.weights[0, query, key])
        red, green, blue, _ = COLOUR_MAP(WEIGHT_NORM(weight))
        is_dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5
        colour = "white" if is_dark else "#10151c"
        axes.text(
            key + 0.5,
            query + 0.5,
            f"{weight:.2f}",
            fontsize=7,
            color=colour,
            ha="center",
            va="center",
        )


def _hatched(allowed: NDArray[numpy.bool_]) -> PathPatch:
    """Return one hatched patch over all masked cells: a rectangle for each run of them in a row."""
    paths = []
    for row, cells in enumerate(allowed):
        edges = numpy.flatnonzero(
            numpy.diff(numpy.concatenate(([True], cells, [True])).astype(int))
        )
        for first, last in edges.reshape(-1, 2):
            corners = [(first, row), (last, row), (last, row + 1), (first, row + 1), (first, row)]
            paths.append(Path(corners, closed=True))
    return PathPatch(
        Path.make_compound_path(*paths),
        facecolor="white",
        edgecolor=HATCH_COLOUR,
        linewidth=0,
        hatch="////",
        gid="masked",
    )


def label_tokens(axes: Axes, record: AttentionRecord, families: list[str]) -> None:
    """Label the rows with the query tokens and the columns, above and slanted, with the key tokens."""
    queries, keys = record.query_tokens, record.key_tokens
    axes.set_yticks(
        [row + 0.5 for row in range(len(queries))], [truncate(token) for token in queries]
    )
    axes.set_xticks(
        [column + 0.5 for column in range(len(keys))], [truncate(token) for token in keys]
    )
    axes.tick_params(length=0, pad=3, top=True, labeltop=True, bottom=False, labelbottom=False)
    for tick_label in axes.get_yticklabels():
        tick_label.set(fontsize=LABEL_SIZE, family=families, parse_math=False)
    for tick_label in axes.get_xticklabels():
        tick_label.set(fontsize=LABEL_SIZE, family=families, parse_math=False)
        if cell_len(tick_label.get_text()) > _MAX_UPRIGHT_CELLS:
            tick_label.set(rotation=60, horizontalalignment="left", rotation_mode="anchor")
