"""Recorded attention over the edges of a graph: one weight per edge and head."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from numpy.typing import NDArray

MAX_DRAWN_CELLS: Final = 2**18
"""Largest queries × keys for which attention on a graph is also recorded as a dense matrix: 512 × 512 nodes."""


@dataclass(frozen=True, eq=False)
class EdgeRecord:
    """The attention weights of one graph attention layer, for one example.

    >>> import numpy
    >>> index, weights = numpy.array([[0, 2], [1, 1]]), numpy.array([[0.25], [0.75]])
    >>> EdgeRecord("conv", "self", 0, index, weights, num_queries=600, num_keys=600, backend="compiled").note
    'conv: attention over 2 edges from 600 to 600 nodes is too large to draw (more than 262,144 cells)'
    """

    module_path: str
    kind: str
    layer: int
    edge_index: NDArray[Any]
    """(2, edges): row 0 is the source (key), row 1 the target (query)."""
    weights: NDArray[Any]
    """(edges, heads), before dropout."""
    num_queries: int
    num_keys: int
    backend: str

    @property
    def is_drawn(self) -> bool:
        """Whether it is small enough to be drawn, and so is recorded as a dense matrix too."""
        return self.num_queries * self.num_keys <= MAX_DRAWN_CELLS

    @property
    def note(self) -> str:
        """One line that says why it cannot be drawn."""
        return (
            f"{self.module_path}: attention over {self.edge_index.shape[1]:,} edges from {self.num_keys:,} to "
            f"{self.num_queries:,} nodes is too large to draw (more than {MAX_DRAWN_CELLS:,} cells)"
        )
