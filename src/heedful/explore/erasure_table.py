"""Faithfulness by erasure as a table: what hiding positions in the order of each measure does to a prediction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from heedful.explore.report import MetricTable, table_html
from heedful.explore.select import kind_name

NOTE: Final = (
    "The positions that a layer ranks highest, the mean over its heads and rows, are hidden first: one, then two, up "
    "to half of them. The fall is that of the prediction's support ({support}), in the mean over these steps; a "
    "ranking that names what the prediction rests on has a greater fall than a random one."
)


@dataclass(frozen=True)
class Erasure:
    """How much the support of a prediction falls when positions are hidden in one order."""

    measure: str
    kind: str
    layer: int
    fall: float
    """Support of the whole input minus that with the highest positions hidden, mean over the numbers hidden."""
    random: float
    """The same in random order, mean over several."""
    support: str
    """What the support is."""

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values; layers count from 1."""
        return {**vars(self), "layer": self.layer + 1}


def erasure_rows(erasures: Sequence[Erasure]) -> list[list[str]]:
    """Return the rows of a table: a measure each, its layers side by side, the best in each kind marked.

    >>> erasure_rows([Erasure("weights", "pooling", 0, 0.5, 0.125, "probability")])[1]
    ['weights', 'pooling: answer × input', '1', '0.500', '0.125', 'largest']
    """
    best = {
        kind: max(each.fall for each in erasures if each.kind == kind)
        for kind in {each.kind for each in erasures}
    }
    rows = [["measure", "attention", "layer", "fall", "random order", ""]]
    for each in erasures:
        # What is written with the same digits has the same mark.
        mark = "largest" if each.fall > best[each.kind] - 5e-4 else ""
        cells = [f"{each.fall:.3f}", f"{each.random:.3f}", mark]
        rows.append([each.measure, kind_name(each.kind), str(each.layer + 1), *cells])
    return rows


def erasure_html(erasures: Sequence[Erasure]) -> str:
    """Return the HTML of the table with its heading; empty without erasures."""
    if not erasures:
        return ""
    first, *rows = erasure_rows(erasures)
    section = MetricTable("", first, rows)
    note = NOTE.format(support=erasures[0].support)
    return f"<h2>Faithfulness by erasure</h2>\n<p>{note}</p>\n{table_html(section)}\n"
