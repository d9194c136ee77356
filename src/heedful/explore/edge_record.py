"""Attention over listed edges as it was recorded: one weight per edge and head, however large the graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from numpy.typing import NDArray

MOST_CELLS: Final = 2**18
"""Queries × keys up to which attention on a graph is also recorded as a matrix, to be drawn: 512 × 512 nodes."""


@dataclass(frozen=True, eq=False)
class EdgeRecord:
    """What one layer for graphs attended to.

    >>> import numpy
    >>> index, weights = numpy.array([[0, 2], [1, 1]]), numpy.array([[0.25], [0.75]])
    >>> EdgeRecord("conv", "self", 0, index, weights, num_queries=600, num_keys=600, backend="compiled").note
    'conv: attention over 2 edges from 600 to 600 nodes is too large to draw (more than 262,144 cells)'
    """

    module_path: str
    kind: str
    layer: int
    edge_index: NDArray[Any]
    """(2, edges): row 0 the source (key), row 1 the target (query)."""
    weights: NDArray[Any]
    """(edges, heads), before dropout."""
    num_queries: int
    num_keys: int
    backend: str

    @property
    def is_drawn(self) -> bool:
        """Whether it is small enough to be recorded as a matrix too."""
        return self.num_queries * self.num_keys <= MOST_CELLS

    @property
    def note(self) -> str:
        """One line that says why it is not drawn."""
        return (
            f"{self.module_path}: attention over {self.edge_index.shape[1]:,} edges from {self.num_keys:,} to "
            f"{self.num_queries:,} nodes is too large to draw (more than {MOST_CELLS:,} cells)"
        )
