"""Graphs of Python, taken by their shape: networkx, PyTorch Geometric, sparse matrices of SciPy, rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from heedful.data.graphs.graph import Column, Graph, NumberedIds, SparseNumbers
from heedful.data.graphs.nodes import NO_PART, NodeTable
from heedful.data.graphs.tables import GraphColumns, table_of_rows
from heedful.data.parts import PARTS
from heedful.data.table_rows import TableRow
from heedful.errors import DataError, listed

DENSE: Final = 0.1
"""Share of numbers that are not 0 below which a matrix of features is kept sparse."""
MASKS: Final = {"train_mask": "train", "val_mask": "valid", "test_mask": "test"}


def graph_of_object(
    given: Any, columns: GraphColumns, name: str, *, answers: bool = True
) -> NodeTable | None:
    """Return a graph of Python as nodes with answers, or without any; None for what is no graph.

    - networkx: attributes of nodes and edges are columns;
    - `Data` of PyTorch Geometric: x, edge_index, edge_attr, y and the masks;
    - a mapping with `adjacency`, a sparse matrix (sources, targets), and `features`, `answers`, `split`;
    - a mapping with `nodes` and `edges`, rows or data frames.

    Raises: DataError for parts that do not fit each other.
    """
    if hasattr(given, "nodes") and hasattr(given, "edges") and hasattr(given, "is_directed"):
        return _of_networkx(given, columns, name, answers=answers)
    if hasattr(given, "edge_index") and hasattr(given, "num_nodes"):
        return _of_pyg(given, name, answers=answers)
    if isinstance(given, Mapping) and "adjacency" in given:
        return _of_adjacency(given, columns, name)
    if isinstance(given, Mapping) and {"nodes", "edges"} <= set(given):
        nodes, edges = _rows(given["nodes"]), _rows(given["edges"])
        return graph_of_rows(nodes, edges, columns, name, answers=answers)
    return None


def graph_of_rows(
    nodes: Iterable[Any],
    edges: Iterable[Any],
    columns: GraphColumns,
    name: str,
    *,
    answers: bool = True,
) -> NodeTable:
    """Return a graph of mappings, one a node and one an edge.

    Raises: DataError naming the row, as `read_graph`.
    """
    rows = [
        TableRow(Path(f"node {n} of {name}"), None, "", fields) for n, fields in enumerate(nodes, 1)
    ]
    if not rows:
        raise DataError(f"{name} holds no nodes; expected at least one.")
    edge_rows = (
        TableRow(Path(f"edge {n} of {name}"), None, "", fields) for n, fields in enumerate(edges, 1)
    )
    return table_of_rows(rows, edge_rows, columns, name, answers=answers)


def _rows(given: Any) -> list[Mapping[str, Any]]:
    if hasattr(given, "to_dicts"):
        return list(given.to_dicts())
    if hasattr(given, "to_dict") and hasattr(given, "columns"):
        return list(given.to_dict("records"))
    return list(given)


def _of_networkx(graph: Any, columns: GraphColumns, name: str, *, answers: bool) -> NodeTable:
    nodes = [(str(node), dict(data)) for node, data in graph.nodes(data=True)]
    keys = dict.fromkeys(key for _, data in nodes for key in data)
    vectors = [
        key for key in keys if _is_vector(next((d[key] for _, d in nodes if key in d), None))
    ]
    rows = [
        {"id": node, **{str(key): data.get(key) for key in keys if key not in vectors}}
        for node, data in nodes
    ]
    listed_edges = [(str(u), str(v), dict(data)) for u, v, data in graph.edges(data=True)]
    edge_keys = dict.fromkeys(key for _, _, data in listed_edges for key in data)
    edges = [
        {"source": u, "target": v, **{str(key): data.get(key) for key in edge_keys}}
        for u, v, data in listed_edges
    ]
    chosen = replace(
        columns, node="id", edge=("source", "target"), directed=bool(graph.is_directed())
    )
    table = graph_of_rows(rows, edges, chosen, name, answers=answers)
    if not vectors:
        return table
    found: dict[str, Column | SparseNumbers] = {**table.graph.columns}
    for key in vectors:
        found[str(key)] = _matrix(
            [data.get(key) for _, data in nodes], f"the attribute {key}", len(nodes)
        )
    return replace(table, graph=replace(table.graph, columns=found))


def _is_vector(value: Any) -> bool:
    return isinstance(value, list | tuple) or getattr(value, "ndim", 0) == 1


def _of_pyg(data: Any, name: str, *, answers: bool) -> NodeTable:
    count = int(data.num_nodes)
    edges = _array(data.edge_index).astype(np.int64)
    columns: dict[str, Column | SparseNumbers] = {}
    if getattr(data, "x", None) is not None:
        columns["x"] = _features(data.x, "x", count)
    edge_columns: dict[str, Column] = {}
    if getattr(data, "edge_attr", None) is not None:
        edge_columns["edge_attr"] = _matrix(data.edge_attr, "edge_attr", edges.shape[1])
    graph = _graph(count, columns, edges, edge_columns, name)
    if not answers:
        return _answered(graph, None, ())
    parts = [""] * count
    for mask, part in MASKS.items():
        given = getattr(data, mask, None)
        for row in [] if given is None else np.flatnonzero(_array(given)).tolist():
            parts[row] = part
    return _answered(graph, getattr(data, "y", None), parts)


def _of_adjacency(given: Mapping[str, Any], columns: GraphColumns, name: str) -> NodeTable:
    known = ("adjacency", "features", "answers", "split")
    if unknown := [key for key in given if key not in known]:
        raise DataError(
            f"{name} has the key {unknown[0]!r}; the keys of a graph are: {listed(known)}."
        )
    matrix = given["adjacency"]
    if not hasattr(matrix, "tocoo"):
        raise DataError(
            f"adjacency is a {type(matrix).__name__}; expected a sparse matrix of SciPy (sources, targets)."
        )
    cells = matrix.tocoo()
    if cells.shape[0] != cells.shape[1]:
        raise DataError(f"adjacency has the shape {cells.shape}; expected as many rows as columns.")
    edges, weights = (
        np.stack([cells.row, cells.col]).astype(np.int64),
        np.asarray(cells.data, np.float32),
    )
    if not columns.directed and (abs(matrix - matrix.T) > 0).nnz:
        edges = np.concatenate([edges, edges[::-1]], axis=1)
        weights = np.concatenate([weights, weights])
    count = cells.shape[0]
    features: dict[str, Column | SparseNumbers] = {}
    if given.get("features") is not None:
        features["features"] = _features(given["features"], "features", count)
    weighted: dict[str, Column] = {} if (weights == 1).all() else {"weight": weights}
    graph = _graph(count, features, edges, weighted, name)
    split = given.get("split")
    parts = [""] * count if split is None else [_part_name(str(each)) for each in split]
    return _answered(graph, given.get("answers"), parts)


def _part_name(written: str) -> str:
    if written.lower() not in (*PARTS, *NO_PART):
        raise DataError(f"split holds {written!r:.40}; expected train, val, test or none.")
    return PARTS.get(written.lower(), "")


def _graph(
    count: int,
    columns: Mapping[str, Column | SparseNumbers],
    edges: NDArray[np.int64],
    edge_columns: Mapping[str, Column],
    name: str,
) -> Graph:
    if edges.ndim != 2 or len(edges) != 2:
        raise DataError(f"edge_index has the shape {edges.shape}; expected (2, edges).")
    if edges.size and not 0 <= edges.min() <= edges.max() < count:
        wrong = int(edges.max() if edges.max() >= count else edges.min())
        raise DataError(
            f"an edge of {name} has the node {wrong}, but the nodes are 0 to {count - 1}."
        )
    return Graph(NumberedIds(count), columns, edges, edge_columns, name)


def _array(values: Any) -> NDArray[Any]:
    """Return an array, of a tensor its numbers."""
    return np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)


def _matrix(values: Any, what: str, count: int) -> NDArray[np.float32]:
    try:
        found = _array(values).astype(np.float32)
    except (TypeError, ValueError):
        raise DataError(
            f"{what} holds something else than equally many numbers in each row."
        ) from None
    if found.ndim not in (1, 2) or len(found) != count:
        raise DataError(f"{what} has the shape {found.shape}; expected {count} rows.")
    return found


def _features(values: Any, what: str, count: int) -> Column | SparseNumbers:
    if hasattr(values, "tocsr"):
        rows = values.tocsr()
        if rows.shape[0] != count:
            raise DataError(f"{what} has the shape {rows.shape}; expected {count} rows.")
        return SparseNumbers(
            rows.indptr.astype(np.int64), rows.indices.astype(np.int64),
            rows.data.astype(np.float32), rows.shape[1],
        )  # fmt: skip
    matrix = _matrix(values, what, count)
    if matrix.ndim == 1 or np.count_nonzero(matrix) > DENSE * matrix.size:
        return matrix
    row, column = matrix.nonzero()
    return SparseNumbers.of(row, column, matrix[row, column], matrix.shape[1], count)


def _answered(graph: Graph, answers: Any, parts: Sequence[str]) -> NodeTable:
    """Return the nodes of a graph with an answer; NaN and None are none."""
    if answers is None:
        return NodeTable(graph, np.zeros(0, np.int64), [], graph.name)
    values = _array(answers)
    if len(values) != len(graph) or len(parts) != len(graph):
        raise DataError(
            f"{graph.name} has {len(graph)} nodes, {len(values)} answers and {len(parts)} parts; expected one a node."
        )
    table = values[:, None] if values.ndim == 1 else values
    written = [tuple(map(_written, row)) for row in table.tolist()]
    rows = [row for row, each in enumerate(written) if any(each)]
    chosen = [parts[row] for row in rows]
    return NodeTable(
        graph,
        np.array(rows, np.int64),
        [written[row] for row in rows],
        graph.name,
        chosen if any(chosen) else (),
    )


def _written(value: Any) -> str:
    if value is None or value != value:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
