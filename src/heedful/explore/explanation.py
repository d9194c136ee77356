"""What an explanation is: the records of one prediction, what they mean, and how they are drawn."""

from __future__ import annotations

import html
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heedful.explore.cells import IMAGE_SUFFIXES, ImageView
from heedful.explore.html import draw_html
from heedful.explore.renderers import save
from heedful.explore.schema import AttentionRecord

if TYPE_CHECKING:
    from heedful.explore.graph_view import GraphView


@dataclass(frozen=True, eq=False)
class Explanation:
    """The attention weights, or saliency, of one prediction."""

    title: str
    input: Any
    prediction: Any
    target: str | None
    """For generated text: the explained target, the model's own or a reference."""
    records: list[AttentionRecord]
    main: list[AttentionRecord]
    """The records to show by default."""
    others: str
    """Command-line options that show the other records; empty if there are none."""
    view: ImageView | None = None
    """The image that is explained, if it is one."""
    picture: str = ""
    """HTML of what the input looks and sounds like under the weights; empty for text and numbers."""
    structure: str | None = None
    """The SMILES of the molecule that is explained, if it is one."""
    graph: GraphView | None = None
    """The laid-out graph that is explained, if it is a small one."""

    def html(self) -> str:
        """Return an offline, interactive HTML page of every layer and head."""
        return draw_html(self.records, title=self.title, picture=self.picture)

    def png(self) -> bytes:
        """Return a PNG image of every layer and head.

        Raises: MissingFontError if no installed font has the glyphs of some token.
        """
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "explained.png")
            self.save(path, self.records)
            return path.read_bytes()

    def save(self, path: Path, records: Sequence[AttentionRecord]) -> None:
        """Draw some of the records to a file: of an image as heat maps on it, of a molecule as colours of its atoms, of
        a graph as colours of nodes and widths of edges.

        Raises: OptionError for an unknown ending of the name, or no records.
        """
        if self.structure is not None and path.suffix.lower() in IMAGE_SUFFIXES:
            # Imported here, as RDKit's drawing is slow to import and only molecules need it.
            from heedful.explore.molecule_picture import save_molecule

            save_molecule(self.structure, records, path, self.title)
        elif (
            self.graph is not None
            and path.suffix.lower() in IMAGE_SUFFIXES
            and self.graph.rows(records)
        ):
            from heedful.explore.graph_picture import save_graph

            save_graph(self.graph, records, path, self.title)
        elif self.view is None or path.suffix.lower() not in IMAGE_SUFFIXES:
            save(records, path, title=self.title)
        else:
            # Imported here, as matplotlib is slow to import and only images need it.
            from heedful.explore.image_picture import save_image_figure

            save_image_figure(records, self.view, path, self.title)

    def _repr_html_(self) -> str:
        """Show the HTML page in a notebook, inside an iframe."""
        page = html.escape(self.html(), quote=True)
        return f'<iframe srcdoc="{page}" style="width:100%;height:32em;border:0"></iframe>'
