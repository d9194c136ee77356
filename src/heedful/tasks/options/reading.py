"""Options for another file of the same kind as those of a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from heedful.data.decoding import canonical_name
from heedful.errors import OptionError


def split_columns(columns: Sequence[str] | None) -> tuple[str, ...]:
    """Parse `--columns A,B` (or `--columns A B`).

    Raises: OptionError unless there are two names.

    >>> split_columns(["en,de"])
    ('en', 'de')
    """
    names = tuple(name.strip() for each in columns or () for name in each.split(","))
    if names and (len(names) != 2 or not all(names)):
        raise OptionError(
            f"--columns takes the names of two columns, source and target, as in --columns en,de; "
            f"got {', '.join(columns or ())!r}"
        )
    return names


def read_otherwise(
    data: Any,
    *,
    columns: Sequence[str] | None = None,
    column: str | None = None,
    tokens: str | None = None,
    encoding: str | None = None,
    max_line: int | None = None,
    skip_bad: bool = False,
    edges: Sequence[str] | None = None,
    nodes: Sequence[str] | None = None,
    labels: Sequence[str] | None = None,
) -> Any:
    """Return the section `data` of a run with the options given for another file.

    Raises: OptionError for an unknown encoding, columns that are not two, and an option that says nothing about these
        data.
    """
    chosen = {
        "columns": split_columns(columns),
        "column": column,
        "tokens": tokens,
        "encoding": encoding and canonical_name(encoding),
        "max_line": max_line,
        "skip_bad": skip_bad,
        "edges": tuple(edges or ()),
        "nodes": tuple(nodes or ()),
        "labels": tuple(labels or ()),
    }
    # Imported here: it imports PyTorch, for which `--help` should not wait.
    from heedful.config import build

    changes = {name: value for name, value in chosen.items() if value}
    for name in changes:
        if name not in type(data).model_fields:
            option = f"--{name.replace('_', '-')}"
            raise OptionError(
                f"{option} says nothing about the data of this run, which have no setting data.{name}; leave it out"
            )
    return build(type(data), {**dict(data), **changes})
