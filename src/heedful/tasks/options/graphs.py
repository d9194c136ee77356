"""Options of graphs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from heedful.errors import OptionError
from heedful.tasks.options.base import GivenOptions, TaskOption, files_of
from heedful.tasks.options.texts import ENCODING, SKIP_BAD, train_files, valid_files


def _counts(value: str | Sequence[int], given: GivenOptions) -> list[str]:
    """Convert --neighbours 10,5.

    Raises: OptionError for what is no list of whole numbers.
    """
    parts = value.split(",") if isinstance(value, str) else [str(each) for each in value]
    if not all(part.strip().isdecimal() and len(part.strip()) < 10 for part in parts):
        raise OptionError(f"--neighbours takes whole numbers, as in 10,5; got {value!r:.40}")
    return [f"data.neighbours=[{', '.join(str(int(part)) for part in parts)}]"]


_EDGES: Final = (
    TaskOption(
        name="directed",
        setting="data.directed",
        metavar="",
        help="Follow edges from source to target alone.",
        flag=True,
    ),
    TaskOption(
        name="neighbours",
        setting="data.neighbours",
        metavar="N,N",
        help="Most neighbours of a node to read at each hop, for graphs too large to be read whole.",
        default="all",
        convert=_counts,
    ),
)
"""How the edges of a graph are followed."""


NODES: Final = (
    train_files(
        "Table of the nodes of a graph: .csv, .tsv or .jsonl with an id, features and the answer of each node that has "
        "one; a .graphml; or builtin:papers. May be gzipped."
    ),
    valid_files(
        "Table of the nodes of another graph to select the best checkpoint.",
        default="the nodes that the column split says, or 10% of those with an answer",
    ),
    TaskOption(
        name="edges",
        setting="data.edges",
        metavar="FILE",
        help="Table of the edges: source and target of each, and features.",
        many=True,
        convert=files_of("data.edges"),
    ),
    TaskOption(
        name="labels",
        setting="data.labels",
        metavar="FILE",
        help="Table of the answers: an id and its answer per row, and its part if there is a column for it.",
        default="they are in the table of nodes",
        many=True,
        convert=files_of("data.labels"),
    ),
    TaskOption(
        name="valid_edges",
        setting="data.valid_edges",
        metavar="FILE",
        help="Table of the edges of the graph of --valid.",
        default="--edges",
        many=True,
        convert=files_of("data.valid_edges"),
    ),
    *_EDGES,
    ENCODING,
)


GRAPHS: Final = (
    train_files(
        "Table of graphs, the name of one and its answer per row: .csv, .tsv or .jsonl. May be gzipped; repeatable."
    ),
    valid_files(
        "Validation table to select the best checkpoint, in the same format.",
        default="10% of --train, or the part that --splits-column says",
    ),
    TaskOption(
        name="nodes",
        setting="data.nodes",
        metavar="FILE",
        help="Table of the nodes of all graphs: its graph, an id and features of each.",
        default="the nodes are those of the edges",
        many=True,
        convert=files_of("data.nodes"),
    ),
    TaskOption(
        name="edges",
        setting="data.edges",
        metavar="FILE",
        help="Table of the edges of all graphs: its graph, source and target of each, and features.",
        many=True,
        convert=files_of("data.edges"),
    ),
    TaskOption(
        name="graph",
        setting="data.text",
        metavar="NAME",
        help="Column that names the graph, in all tables.",
        default="graph",
    ),
    TaskOption(
        name="splits_column",
        setting="data.splits_column",
        metavar="NAME",
        help="Divide --train as a column says: train, val or test.",
    ),
    _EDGES[0],
    ENCODING,
    SKIP_BAD,
)


LINKS: Final = (
    train_files(
        "Table of links, a source and a target per row: .csv, .tsv or .jsonl. May be gzipped; repeatable."
    ),
    valid_files("None: validation links are a part of --train.", default="10% of --train"),
    TaskOption(
        name="nodes",
        setting="data.nodes",
        metavar="FILE",
        help="Table of the nodes and their features.",
        default="the nodes are known by their ids alone",
        many=True,
        convert=files_of("data.nodes"),
    ),
    TaskOption(
        name="time",
        setting="data.time",
        metavar="NAME",
        help="Column of the times of links: the latest are for validation and test.",
        default="they are drawn at random",
    ),
    *_EDGES,
    ENCODING,
)
