"""Attention drawn on a molecule: atoms and bonds coloured by their weights, for every layer and head."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from heedful.data.molecules.molecule import parse_smiles
from heedful.errors import OptionError
from heedful.explore.node_panels import Panel, Weights, along, panel_row, received, scaled, wrapped
from heedful.explore.schema import AttentionRecord

SUFFIXES: Final = (".svg", ".png")
"""Of the files that show the molecule itself."""
_SIDE: Final = 260  # pixels of a panel
_STRONG: Final = (0.35, 0.62, 0.95)
_MOST_PANELS: Final = 400


def draw_molecule(smiles: str, records: Sequence[AttentionRecord], suffix: str = ".svg") -> bytes:
    r"""Draw the weights of each record on a molecule: rows for each, first the mean of the heads, then each head.

    An atom has the colour of the attention it gets: of the pooling :math:`w_j`, of an encoder layer the mean
    :math:`\frac{1}{n} \sum_i w_{ij}` over all atoms; a bond that of the attention along it,
    :math:`\frac{1}{2}(w_{ij} + w_{ji})`. In each panel the largest weight has the full colour.

    Args:
        smiles: the molecule.
        records: whose keys are its atoms.
        suffix: one of `SUFFIXES`.

    Raises: OptionError for no records, another ending, or too many panels for one picture.

    >>> record = AttentionRecord("", "pooling", 0, ["1.2"], ["O1", "C2"], [[[0.9, 0.1]]])
    >>> b"<svg" in draw_molecule("OC", [record])
    True
    """
    if not records or suffix not in SUFFIXES:
        raise OptionError(
            f"a molecule is drawn as {' or '.join(SUFFIXES)}, of one record or more; got {suffix!r} and {len(records)}"
        )
    molecule = parse_smiles(smiles)
    ends = [(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in molecule.GetBonds()]
    pairs = np.array(ends, np.int64).reshape(-1, 2).T
    layers = [panel_row(record, records, partial(_panel, pairs)) for record in records]
    most = max(map(len, layers))
    if most * len(layers) > _MOST_PANELS:
        raise OptionError(
            f"{len(layers)} layers of up to {most} panels are too many for one picture; choose with --kind, --layer "
            "or --head"
        )
    rows = wrapped(layers)
    return _draw(molecule, rows, max(map(len, rows)), suffix)


def save_molecule(smiles: str, records: Sequence[AttentionRecord], path: Path, title: str) -> None:
    """Write the drawing to a file, .svg or .png; the title is the comment of an SVG."""
    drawn = draw_molecule(smiles, records, path.suffix.lower())
    if path.suffix.lower() == ".svg":
        text = drawn.decode().replace("iso-8859-1", "utf-8", 1)
        start = text.index("<svg")
        end = text.index(">", start) + 1
        drawn = f"{text[:end]}\n<title>{_escaped(title)}</title>{text[end:]}".encode()
    path.write_bytes(drawn)


def _panel(pairs: NDArray[np.int64], title: str, weights: Weights) -> Panel:
    return Panel(title, scaled(received(weights)), scaled(along(weights, pairs)))


def _draw(molecule: Any, rows: Sequence[Sequence[Panel]], columns: int, suffix: str) -> bytes:
    from rdkit.Chem.Draw import rdMolDraw2D

    kind = rdMolDraw2D.MolDraw2DSVG if suffix == ".svg" else rdMolDraw2D.MolDraw2DCairo
    drawer: Any = kind(columns * _SIDE, len(rows) * _SIDE, _SIDE, _SIDE)
    options = drawer.drawOptions()
    options.useBWAtomPalette()
    options.padding = 0.08
    blank = Panel("", np.zeros(0), np.zeros(0))
    panels = [panel for row in rows for panel in [*row, *[blank] * (columns - len(row))]]
    # A panel for each record of fewer heads stays empty.
    empty = parse_smiles("C").__class__()
    drawer.DrawMolecules(
        [molecule if len(panel.nodes) else empty for panel in panels],
        legends=[panel.title for panel in panels],
        highlightAtoms=[list(range(len(panel.nodes))) for panel in panels],
        highlightAtomColors=[_colours(panel.nodes) for panel in panels],
        highlightBonds=[list(range(len(panel.edges))) for panel in panels],
        highlightBondColors=[_colours(panel.edges) for panel in panels],
    )
    drawer.FinishDrawing()
    drawn = drawer.GetDrawingText()
    return drawn.encode() if isinstance(drawn, str) else bytes(drawn)


def _colours(weights: Weights) -> dict[int, tuple[float, float, float]]:
    """Return a colour from white to blue for each weight from 0 to 1."""
    return {
        place: tuple(1 - weight * (1 - channel) for channel in _STRONG)
        for place, weight in enumerate(weights.tolist())
    }


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
