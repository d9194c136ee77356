"""Pairs of nodes that are linked: parts of the edges of a graph, and fixed negatives to rank each against."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple, Self, overload

import numpy as np
from numpy.typing import NDArray

from heedful.data.dataset import Dataset
from heedful.data.graphs.graph import Graph, Indices
from heedful.data.graphs.nodes import graph_texts
from heedful.data.table_rows import TableRow
from heedful.errors import DataError, OptionError


class Pair(NamedTuple):
    """A source, a target, and others that the target is ranked among."""

    graph: Graph
    """Its edges are those of the training alone."""
    source: int
    target: int
    others: tuple[int, ...] = ()

    @property
    def names(self) -> tuple[str, str]:
        """The ids of source and target."""
        return self.graph.ids[self.source], self.graph.ids[self.target]


class PairList(Sequence[Pair]):
    """Some pairs of a graph, without an object for each."""

    def __init__(self, table: LinkTable):
        self.table = table

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.table.pairs)

    @overload
    def __getitem__(self, index: int) -> Pair: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Pair]: ...
    def __getitem__(self, index: int | slice) -> Pair | Sequence[Pair]:
        if isinstance(index, slice):
            return PairList(self.table.take(range(len(self))[index]))
        table = self.table
        source, target = table.pairs[index].tolist()
        others = tuple(table.others[index].tolist()) if len(table.others) else ()
        return Pair(table.graph, source, target, others)

    def __iter__(self) -> Iterator[Pair]:
        return (self[index] for index in range(len(self)))


@dataclass(frozen=True, eq=False)
class LinkTable(Dataset):
    """Linked pairs of nodes, and for each the nodes that its target is ranked among.

    >>> graph = Graph(["a", "b", "c"], {}, np.array([[0], [1]]))
    >>> data = LinkTable(graph, np.array([[0, 1]]), np.array([[2]]))
    >>> data.inputs[0].names, data.inputs[0].others, data.answers
    (('a', 'b'), (2,), [('link',)])
    """

    graph: Graph
    pairs: Indices
    """(pairs, 2): source and target."""
    others: Indices
    """(pairs, negatives); no rows for training pairs, whose negatives are drawn in each epoch."""
    name: str = "links"
    rows: Sequence[TableRow] = ()
    example: ClassVar[str] = "link"
    has_any_length: ClassVar[bool] = False

    @property
    def inputs(self) -> PairList:
        """The pairs."""
        return PairList(self)

    @property
    def answers(self) -> list[tuple[str, ...]]:
        """The same for all: they are linked."""
        return [("link",)] * len(self)

    def __len__(self) -> int:
        return len(self.pairs)

    def take(self, rows: Sequence[int]) -> Self:
        chosen = np.asarray(rows, dtype=np.int64)
        others = self.others[chosen] if len(self.others) else self.others
        given = [self.rows[row] for row in rows] if self.rows else ()
        return replace(self, pairs=self.pairs[chosen], others=others, rows=given)

    def texts(self) -> Sequence[Sequence[str]]:
        graph = self.graph
        ends = [graph.ids[node] for node in self.pairs.ravel().tolist()]
        return [*graph_texts(graph), ends, list(map(str, self.others.ravel().tolist()))]

    def input_of_length(self, length: int) -> Pair:
        return self.inputs[0]

    def error(self, row: int, message: str, position: int = 0) -> DataError:
        return self.rows[row].error(message) if self.rows else super().error(row, message)


def divide(
    count: int, shares: tuple[float, float], seed: int, times: NDArray[np.float64] | None = None
) -> tuple[Indices, Indices, Indices]:
    """Return the rows of training, validation and test: the latest are for the test, or else any.

    Args:
        count: how many links there are.
        shares: of validation and test.
        seed: of the random order.
        times: of each link; links of one time are divided by their row.

    Raises: OptionError if a part would be empty.

    >>> [part.tolist() for part in divide(5, (0.2, 0.2), 0, np.array([3.0, 1, 2, 5, 4]))]
    [[0, 1, 2], [4], [3]]
    """
    order = np.random.default_rng(seed).permutation(count)
    if times is not None:
        order = np.argsort(times, kind="stable")
    valid, test = (round(count * share) for share in shares)
    rest = count - valid - test
    if min(valid, test, rest) < 1:
        raise OptionError(
            f"{count} links are too few for shares of {shares[0]:g} for validation and {shares[1]:g} for the test; "
            "give more, or larger shares in data.valid_share and data.test_share"
        )
    parts = order[:rest], order[rest : rest + valid], order[rest + valid :]
    return tuple(np.sort(part).astype(np.int64) for part in parts)  # type: ignore[return-value]


def draw_others(pairs: Indices, known: Indices, nodes: int, count: int, seed: int) -> Indices:
    """Return for each pair `count` nodes to which its source has no link, drawn evenly by a seed.

    Args:
        pairs: (pairs, 2).
        known: (links, 2): all links of all parts, in the directions that count.
        nodes: how many nodes there are.
        count: how many to draw; a source of so many links that it has too few others gets some of them twice.
        seed: the same pairs in the same order get the same nodes.

    Raises: OptionError for a source with links to all nodes.

    >>> draw_others(np.array([[0, 1]]), np.array([[0, 1], [0, 2]]), 4, 3, 0).tolist()
    [[3, 3, 3]]
    """
    links = np.unique(np.concatenate([known, pairs]) @ np.array([nodes, 1]))
    rng = np.random.default_rng(seed)
    found = np.zeros((len(pairs), count), np.int64)
    for row, (source, _) in enumerate(pairs.tolist()):
        begin, end = np.searchsorted(links, [source * nodes, (source + 1) * nodes])
        taken = np.append(links[begin:end] - source * nodes, source)
        free = nodes - len(np.unique(taken))
        if not free:
            raise OptionError(
                f"a node has links to all {nodes} nodes: there is nothing to rank among"
            )
        if free > 4 * len(taken) and free > 2 * count:
            drawn = np.unique(rng.integers(nodes, size=4 * count + 16))
            drawn = rng.permutation(drawn[~np.isin(drawn, taken)])
        else:
            drawn = rng.permutation(np.setdiff1d(np.arange(nodes), taken))
        found[row] = np.resize(drawn, count)
    return found
