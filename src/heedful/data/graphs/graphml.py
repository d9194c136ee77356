"""Graphs in GraphML, which holds nodes and edges with their attributes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Final
from xml.parsers import expat

from heedful.data.graphs.nodes import NodeTable
from heedful.data.graphs.tables import GraphColumns, table_of_rows
from heedful.data.opening import MAX_LINE, check_file
from heedful.data.table_rows import TableRow
from heedful.errors import DataError, shown

_MOST_TEXT: Final = MAX_LINE
"""Maximum characters of a value."""


def read_graphml(path: Path, columns: GraphColumns, *, answers: bool = True) -> NodeTable:
    """Read a graph and those of its nodes that have an answer.

    The id of a node is the attribute that `columns.node` names, or else its id in the file. The edges are directed if
    the file says so, or `columns.directed`.

    Raises: DataError naming file and line, for what is no GraphML or holds a document type, and as `read_graph`.
    """
    check_file(path)
    parser = _Parser(path)
    parser.read()
    if not parser.nodes:
        raise DataError("the file holds no nodes.", path=path)
    names = dict.fromkeys(name for row in parser.nodes for name in row.fields)
    rows = [
        TableRow(path, row.line, "", {**dict.fromkeys(names, ""), **row.fields})
        for row in parser.nodes
    ]
    if columns.node:
        rows, edges = _renamed(rows, parser.edges, columns.node)
    else:
        edges = parser.edges
    names_of_edges = dict.fromkeys(name for row in edges for name in row.fields)
    filled = (
        TableRow(path, row.line, "", {**dict.fromkeys(names_of_edges, ""), **row.fields})
        for row in edges
    )
    chosen = replace(
        columns,
        node=columns.node or "id",
        edge=("source", "target"),
        directed=columns.directed or parser.directed,
    )
    return table_of_rows(rows, filled, chosen, str(path), answers=answers)


def _renamed(
    rows: list[TableRow], edges: list[TableRow], name: str
) -> tuple[list[TableRow], list[TableRow]]:
    """Return nodes and edges by another attribute than the id of the file, which is no feature then."""
    known = {str(row.fields["id"]): str(row.fields.get(name, "")) for row in rows}
    plain = [
        TableRow(row.path, row.line, "", {k: v for k, v in row.fields.items() if k != "id"})
        for row in rows
    ]
    ends = ("source", "target")
    moved = [
        TableRow(
            row.path,
            row.line,
            "",
            {
                **row.fields,
                **{each: known.get(str(row.fields[each]), row.fields[each]) for each in ends},
            },
        )
        for row in edges
    ]
    return plain, moved


class _Parser:
    """Collects the nodes and edges of one file."""

    def __init__(self, path: Path):
        self.path = path
        self.nodes: list[TableRow] = []
        self.edges: list[TableRow] = []
        self.directed = False
        self._names: dict[str, tuple[str, str]] = {}
        """Key -> name of the attribute, and what it is of."""
        self._defaults: dict[str, dict[str, object]] = {"node": {}, "edge": {}}
        self._fields: dict[str, object] | None = None
        self._own: tuple[str, ...] = ()
        """Attributes of the element itself, which no data replace."""
        self._key = ""
        self._text: list[str] | None = None
        self._graphs = 0
        self._parser = expat.ParserCreate()
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._characters
        self._parser.StartDoctypeDeclHandler = self._refuse_doctype

    def read(self) -> None:
        """Parse the file."""
        try:
            with self.path.open("rb") as file:
                self._parser.ParseFile(file)
        except expat.ExpatError as error:
            raise DataError(
                f"not valid XML ({expat.ErrorString(error.code)}); write the graph again.",
                path=self.path,
                line=error.lineno,
            ) from None
        except (ValueError, LookupError) as error:
            if isinstance(error, DataError):
                raise
            raise self._error(
                f"the file has an unknown encoding ({error}); save it as UTF-8."
            ) from None
        if not self._graphs:
            raise DataError("the file is no GraphML: it has no element graph.", path=self.path)

    def _error(self, message: str) -> DataError:
        return DataError(message, path=self.path, line=self._parser.CurrentLineNumber)

    def _refuse_doctype(self, *given: Any) -> None:
        raise self._error("the file has a document type, which may stand for anything; remove it.")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        name = tag.rpartition(":")[2]
        if name == "graph":
            self._graphs += 1
            if self._graphs > 1:
                raise self._error("the file holds several graphs; give one file for each.")
            self.directed = attributes.get("edgedefault") == "directed"
        elif name == "key":
            self._key = attributes.get("id", "")
            of = attributes.get("for", "all")
            self._names[self._key] = attributes.get("attr.name", self._key), of
        elif name == "node":
            self._begin(self.nodes, "node", {"id": self._wanted(attributes, tag, "id")})
        elif name == "edge":
            ends: dict[str, object] = {
                each: self._wanted(attributes, tag, each) for each in ("source", "target")
            }
            self._begin(self.edges, "edge", ends)
        elif name in ("data", "default"):
            self._key = attributes.get("key", self._key)
            self._text = []

    def _begin(self, rows: list[TableRow], of: str, fields: dict[str, object]) -> None:
        self._fields, self._own = {**self._defaults[of], **fields}, tuple(fields)
        rows.append(TableRow(self.path, self._parser.CurrentLineNumber, "", self._fields))

    def _wanted(self, attributes: dict[str, str], tag: str, name: str) -> str:
        if name not in attributes:
            raise self._error(f"the element {shown(tag)} has no {name}; give it one.")
        return attributes[name]

    def _characters(self, text: str) -> None:
        if self._text is not None:
            self._text.append(text)
            if sum(map(len, self._text)) > _MOST_TEXT:
                raise self._error(f"the value is longer than {_MOST_TEXT:,} characters.")

    def _end(self, tag: str) -> None:
        name = tag.rpartition(":")[2]
        if name in ("data", "default") and self._text is not None:
            value, self._text = "".join(self._text), None
            attribute, of = self._names.get(self._key, (self._key, "all"))
            if name == "default":
                for each in ("node", "edge") if of == "all" else (of,):
                    self._defaults.setdefault(each, {})[attribute] = value
            elif self._fields is not None and attribute not in self._own:
                self._fields[attribute] = value
        elif name in ("node", "edge"):
            self._fields = None
