"""The explanation of one prediction: its records, and how they are shown and saved."""

from __future__ import annotations

import html
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heedful.data.audio.spectrogram import Spectrogram
from heedful.errors import OptionError
from heedful.explore.cells import IMAGE_SUFFIXES, ImageView
from heedful.explore.erasure_table import Erasure, erasure_html
from heedful.explore.first_shown import first_shown
from heedful.explore.gates.draw import LayerGates
from heedful.explore.gold import GoldAlignment
from heedful.explore.html import draw_html
from heedful.explore.image_html import image_drawing
from heedful.explore.page_data import Drawing
from heedful.explore.renderers import save
from heedful.explore.schema import AttentionRecord
from heedful.explore.spectrogram import recording_drawing
from heedful.explore.steps import Steps
from heedful.tasks.alignment import END

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
    others: str
    """Command-line options that show the other records; empty if there are none."""
    view: ImageView | None = None
    """The image that is explained, if it is one."""
    picture: str = ""
    """HTML of what else the input looks and sounds like; empty for text and numbers."""
    structure: str | None = None
    """The SMILES of the molecule that is explained, if it is one."""
    graph: GraphView | None = None
    """The laid-out graph that is explained, if it is a small one; of a molecule its atoms and bonds."""
    recording: Spectrogram | None = None
    """The recording that is explained, if it is one."""
    gold: GoldAlignment | None = None
    """Gold links between the words of source and target, drawn over the weights."""
    measures: tuple[AttentionRecord, ...] = ()
    """Records of other measures, which the page shows beside the weights."""
    erasure: tuple[Erasure, ...] = ()
    """How much hiding what each measure ranks highest changes the prediction."""
    gates: tuple[LayerGates, ...] = ()
    """Gates of recurrent layers, token by token."""
    steps: tuple[Steps, ...] = ()
    """What the weights were computed from, which the page shows step by step."""

    def with_gold(self, links: str) -> Explanation:
        """Return the explanation with gold links, as `GoldAlignment.parse` reads them, over its cross-attention.

        Raises: OptionError if something is no link, a word does not exist, or nothing has a row for each target word.
        """
        cross = [record for record in self.records if record.kind == "cross"]
        if not cross:
            raise OptionError(
                "gold links need attention from a target to its source; this has none."
            )
        names = cross[0].query_tokens
        skipped = [query for query, token in enumerate(names) if token == END]
        gold = GoldAlignment.parse(links, skipped=skipped)
        gold.check(cross[0])
        return replace(self, gold=gold)

    @property
    def gate_records(self) -> list[AttentionRecord]:
        """The gates as records that can be drawn, two for each layer and direction."""
        return [record for each in self.gates for record in each.records()]

    @property
    def main(self) -> list[AttentionRecord]:
        """The record to show by default."""
        return [first_shown(self.records)]

    @property
    def drawing(self) -> Drawing | None:
        """What the page draws the weights on: a graph, molecule, image or recording; None for other inputs."""
        if self.graph is not None:
            return self.graph.drawing
        if self.recording is not None:
            return recording_drawing(self.recording)
        return None if self.view is None else image_drawing(self.view)

    def html(self) -> str:
        """Return an offline, interactive HTML page of every layer and head."""
        return self._page([*self.records, *self.measures])

    def _page(self, records: Sequence[AttentionRecord]) -> str:
        return draw_html(
            records,
            title=self.title,
            picture=self.picture,
            gold=self.gold,
            steps=self.steps,
            gates=self.gates,
            after=erasure_html(self.erasure),
            drawing=self.drawing,
        )

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
        elif path.suffix.lower() == ".html":
            path.write_text(self._page(records), encoding="utf-8")
        elif self.view is None or path.suffix.lower() not in IMAGE_SUFFIXES:
            save(records, path, title=self.title)
        else:
            # Imported here, as matplotlib is slow to import and only images need it.
            from heedful.explore.image_picture import save_image_figure

            save_image_figure(records, self.view, path, self.title)

    def _repr_html_(self) -> str:
        """Show the HTML page in a notebook, inside an iframe."""
        page = html.escape(self.html(), quote=True)
        # Sandboxed: a document of its own, which reaches nothing of the notebook.
        sandbox = "allow-scripts allow-downloads"
        style = "width:100%;height:40em;border:0"
        return f'<iframe srcdoc="{page}" sandbox="{sandbox}" style="{style}"></iframe>'
