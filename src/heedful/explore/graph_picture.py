"""Attention drawn on a laid-out graph: nodes and edges by their weights, for every layer and head."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from heedful.errors import OptionError
from heedful.explore.figure_files import write_figure
from heedful.explore.graph_view import GraphView
from heedful.explore.node_panels import Panel, scaled, wrapped
from heedful.explore.schema import AttentionRecord
from heedful.explore.tokens import truncate_text

_SIDE: Final = 3.0  # inches of a panel
_MARGIN: Final = 0.3
_STRONG: Final = np.array([0.15, 0.42, 0.75])
_ASKED: Final = "#cc4444"
_OTHER: Final = "#446688"
_PLAIN: Final = (0.75, 0.78, 0.82)
_NAMED: Final = 12
"""Characters of a name."""
_AROUND: Final = 0.27
"""Room around the graph for names, where it has sides of 1."""
_MOST_PANELS: Final = 100


def draw_graph(
    view: GraphView, records: Sequence[AttentionRecord], title: str, families: Sequence[str]
) -> Figure:
    r"""Return a figure with rows for each record: the mean of its heads, then each head.

    Of a whole graph a node has the colour of the attention it gets: of the pooling :math:`w_j`, of an encoder layer the
    mean over all nodes; an edge is as wide as the attention along it. Of a node's neighbourhood, which lies on rings
    around it, an edge is as wide as the weight with which its target attends to its source, in the layer in which that
    matters. In each panel the largest weight is widest and darkest, and named.

    Raises: OptionError for no record over the nodes, or too many panels for one picture.
    """
    layers = view.rows(records)
    most = max(map(len, layers), default=0)
    if not 0 < most * len(layers) <= _MOST_PANELS:
        raise OptionError(
            f"{len(layers)} layers of up to {most} panels cannot be drawn as one picture; choose with --kind, --layer "
            "or --head"
        )
    rows = wrapped(layers)
    columns = max(map(len, rows))
    width = columns * (_SIDE + _MARGIN) + _MARGIN
    height = len(rows) * (_SIDE + 2 * _MARGIN) + 2 * _MARGIN
    figure = Figure(figsize=(width, height), facecolor="white")
    shown = truncate_text(title, int(width / 0.12))
    place = _MARGIN / width, 1 - 1.2 * _MARGIN / height
    figure.text(*place, shown, fontsize=12, family=list(families), parse_math=False)
    for row, panels in enumerate(rows):
        for column, panel in enumerate(panels):
            left = _MARGIN + column * (_SIDE + _MARGIN)
            top = 3.2 * _MARGIN + row * (_SIDE + 2 * _MARGIN)
            box = left / width, 1 - (top + _SIDE) / height, _SIDE / width, _SIDE / height
            _draw_panel(figure.add_axes(box), view, panel, families)
    return figure


def _draw_panel(axes: Axes, view: GraphView, panel: Panel, families: Sequence[str]) -> None:
    axes.set_axis_off()
    axes.set_xlim(-_AROUND, 1 + _AROUND)
    axes.set_ylim(-_AROUND, 1 + _AROUND)
    largest = max(panel.nodes.max(initial=0.0), panel.edges.max(initial=0.0))
    heading = f"{panel.title}, up to {largest:.2g}"
    axes.set_title(heading, fontsize=8, family=list(families), loc="left", pad=2, parse_math=False)
    lines = list(view.places[view.pairs.T])
    if panel.edges.size:
        shares = scaled(panel.edges)
        colours = [(*_STRONG, 0.1 + 0.9 * share) for share in shares.tolist()]
        widths = 0.5 + 4 * shares
    else:
        colours, widths = [(*_PLAIN, 1.0)] * len(lines), np.full(len(lines), 0.8)
    axes.add_collection(LineCollection(lines, colors=colours, linewidths=widths, zorder=1))
    if panel.nodes.size:
        share = scaled(panel.nodes)[:, None]
        fill = 1 - share * (1 - _STRONG)
    else:
        fill = np.ones((len(view.names), 3))
    asked = [view.distance is not None and node == 0 for node in range(len(view.names))]
    x, y = view.places.T
    axes.scatter(
        x,
        y,
        s=60,
        c=fill,
        edgecolors=[_ASKED if each else _OTHER for each in asked],
        linewidths=[1.8 if each else 0.8 for each in asked],
        zorder=2,
    )
    for number, name in enumerate(view.names):
        _name(axes, view, number, truncate_text(name, _NAMED), families)


def _name(axes: Axes, view: GraphView, number: int, name: str, families: Sequence[str]) -> None:
    """Write the name of a node on its outer side, on the outermost ring turned outwards."""
    x, y = view.places[number].tolist()
    angle = math.degrees(math.atan2(y - 0.5, x - 0.5))
    is_left = abs(angle) > 90
    is_outer = view.distance is not None and view.distance[number] == view.distance.max()
    turn = (angle + 180 if is_left else angle) if is_outer else 0.0
    distance = 0.035
    step = math.radians(angle)
    axes.text(
        x + distance * math.cos(step),
        y + distance * math.sin(step),
        name,
        fontsize=6.5,
        family=list(families),
        rotation=turn,
        rotation_mode="anchor",
        horizontalalignment="right" if is_left else "left",
        verticalalignment="center",
        zorder=3,
        parse_math=False,
    )


def save_graph(view: GraphView, records: Sequence[AttentionRecord], path: Path, title: str) -> None:
    """Write the drawing to a .png or .svg file.

    Raises: OptionError as `draw_graph`; MissingFontError if no installed font has the glyphs of a name of a PNG.
    """
    texts = [title, *view.names, "…"]
    write_figure(partial(draw_graph, view, records, title), path, path.suffix.lower(), title, texts)
