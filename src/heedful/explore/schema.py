"""The schema of attention records and its JSON serialization; the only input of every renderer."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy
from numpy.typing import NDArray

from heedful.errors import DataError, HeedfulError, OptionError, ShapeError
from heedful.stored_files import JsonError, parse_json

SCHEMA: Final = "heedful.attention/1"
DIGITS: Final = 4
"""Significant digits of the weights in JSON: a third of the size, and enough for any image."""
ATTENTION: Final = "attention weights"
"""Default of `AttentionRecord.measure`; saliency has another."""


@dataclass(frozen=True, eq=False)
class AttentionRecord:
    """The attention weights of one layer, for one example: `weights[head, query, key]`.

    Shapes: `weights` (heads, queries, keys); `mask` (1 or heads, queries, keys), True = may attend,
    or None if no cell is masked. Both are stored as read-only arrays, weights as float32; masked weights
    are stored as 0.

    Raises:
        ShapeError: the shapes of tokens, mask and weights do not match.
        HeedfulError: a weight is NaN or infinite.

    >>> record = AttentionRecord("cross", "cross", 0, ("Haus",), ("the", "house"), [[[0.25, 0.75]]])
    >>> record.heads, record.label
    (1, 'cross, layer 1')
    >>> AttentionRecord.from_json(record.to_json()) == record
    True
    """

    module_path: str
    kind: str
    layer: int
    query_tokens: Sequence[str]
    key_tokens: Sequence[str]
    weights: Any
    mask: Any = None
    backend: str = ""
    merged: bool = False
    """Whether subwords were merged into words (summed over keys, averaged over queries)."""
    measure: str = ATTENTION
    shown_first: bool = False
    """Whether it is shown before the other records of the example; at most one of them is."""
    note: str = ""
    """What else a reader has to know of these weights, such as by how much a rerun differs."""

    def __post_init__(self) -> None:
        weights = numpy.array(self.weights, dtype=numpy.float32)
        expected = (len(self.query_tokens), len(self.key_tokens))
        if weights.ndim != 3 or weights.shape[0] == 0 or weights.shape[1:] != expected:
            raise ShapeError(
                f"the weights of {self.module_path!r} have shape {weights.shape}; expected (heads, "
                f"{expected[0]}, {expected[1]}) for {expected[0]} query and {expected[1]} key tokens."
            )
        mask = self._canonical_mask(weights.shape)
        if mask is not None:
            weights = numpy.where(mask, weights, numpy.float32(0))
        if not numpy.isfinite(weights).all():
            raise HeedfulError(
                f"the weights of {self.module_path!r} contain NaN or infinity; expected finite "
                "numbers. Train again with a smaller learning rate or with gradient clipping."
            )
        weights.setflags(write=False)
        object.__setattr__(self, "query_tokens", tuple(self.query_tokens))
        object.__setattr__(self, "key_tokens", tuple(self.key_tokens))
        object.__setattr__(self, "weights", weights)
        object.__setattr__(self, "mask", mask)

    def _canonical_mask(self, shape: tuple[int, ...]) -> NDArray[numpy.bool_] | None:
        """Return one mask if all heads share it, None if nothing is masked: equal records have equal JSON."""
        if self.mask is None:
            return None
        mask = numpy.array(self.mask, dtype=numpy.bool_)
        if mask.ndim != 3 or mask.shape[0] not in (1, shape[0]) or mask.shape[1:] != shape[1:]:
            raise ShapeError(
                f"the mask of {self.module_path!r} has shape {mask.shape}; expected (1, {shape[1]}, "
                f"{shape[2]}) or ({shape[0]}, {shape[1]}, {shape[2]}) to match the weights."
            )
        if mask.all():
            return None
        if (mask == mask[:1]).all():
            mask = mask[:1].copy()
        mask.setflags(write=False)
        return mask

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, AttentionRecord):
            return NotImplemented
        return self._metadata() == other._metadata() and bool(
            numpy.array_equal(self.weights, other.weights)
            and numpy.array_equal(self.allowed, other.allowed)
        )

    def __hash__(self) -> int:
        return hash(self._metadata())

    def _metadata(self) -> tuple[object, ...]:
        """Every field that is not an array."""
        tokens = (self.query_tokens, self.key_tokens)
        head = (self.module_path, self.kind, self.layer, self.backend, self.merged, self.measure)
        return (*head, self.shown_first, self.note, *tokens)

    @property
    def heads(self) -> int:
        """Number of heads."""
        return int(self.weights.shape[0])

    @property
    def allowed(self) -> NDArray[numpy.bool_]:
        """The mask expanded to (heads, queries, keys): True = may attend."""
        true = numpy.ones(self.weights.shape, dtype=numpy.bool_)
        return true if self.mask is None else true & self.mask

    @property
    def label(self) -> str:
        """Kind and layer number, counted from 1, for display."""
        return f"{self.kind}, layer {self.layer + 1}"

    def head(self, index: int) -> AttentionRecord:
        """Return the record of one head, counted from 0.

        Raises:
            OptionError: the index is out of range.
        """
        if not 0 <= index < self.heads:
            raise OptionError(
                f"{self.label} has no head {index + 1}; its heads are 1 to {self.heads}."
            )
        weights, mask = self.weights[index : index + 1], self.allowed[index : index + 1]
        return replace(self, weights=weights, mask=mask)

    def mean(self) -> AttentionRecord:
        """Return the mean over heads; a cell is masked where every head masks it."""
        allowed = self.allowed.any(axis=0, keepdims=True)
        return replace(self, weights=self.weights.mean(axis=0, keepdims=True), mask=allowed)

    def rounded(self) -> AttentionRecord:
        """Return the record with its weights rounded as in JSON."""
        flat = [float(f"{weight:.{DIGITS}g}") for weight in self.weights.ravel().tolist()]
        return replace(self, weights=numpy.array(flat).reshape(self.weights.shape))

    def to_dict(self) -> dict[str, Any]:
        """Serialize to plain values for JSON: weights at 4 significant digits, mask rows as "1011"."""
        mask = None
        if self.mask is not None:
            mask = [["".join("01"[int(k)] for k in row) for row in head] for head in self.mask]
        return {
            "module_path": self.module_path,
            "kind": self.kind,
            "layer": self.layer,
            "heads": self.heads,
            "query_tokens": list(self.query_tokens),
            "key_tokens": list(self.key_tokens),
            "mask": mask,
            "weights": [[_rounded(row) for row in head] for head in self.weights.tolist()],
            "backend": self.backend,
            "merged": self.merged,
            "measure": self.measure,
            "shown_first": self.shown_first,
            "note": self.note,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> AttentionRecord:
        """Deserialize the result of `to_dict`.

        Raises:
            DataError: a field is missing, unknown or of the wrong type.
        """
        expected = set(cls.__dataclass_fields__) | {"heads"}
        # Records of older versions lack these.
        if not isinstance(values, dict) or set(values) | {"shown_first", "note"} != expected:
            got = sorted(values) if isinstance(values, dict) else type(values).__name__
            raise DataError(f"an attention record has the fields {sorted(expected)}; got {got}.")
        fields = {name: value for name, value in values.items() if name != "heads"}
        try:
            if fields["mask"] is not None:
                fields["mask"] = [
                    [[{"0": False, "1": True}[cell] for cell in row] for row in head]
                    for head in fields["mask"]
                ]
            record = cls(**fields)
        except HeedfulError:
            raise
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"an attention record has a value of the wrong type: {error}."
            ) from error
        if record.heads != values["heads"]:
            raise DataError(
                f"an attention record says heads={values['heads']}; its weights have {record.heads}."
            )
        return record

    def to_json(self) -> str:
        """Serialize to JSON text: weights at 4 significant digits."""
        return json.dumps(self.to_dict(), allow_nan=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> AttentionRecord:
        """Deserialize the result of `to_json`.

        Raises:
            DataError: the text is not JSON, or not a record.
        """
        return cls.from_dict(_parse(text))


def _rounded(row: list[float]) -> list[float]:
    """Round to `DIGITS`; whole numbers become int, to write masked cells as 0 instead of 0.0."""
    rounded = (float(f"{weight:.{DIGITS}g}") for weight in row)
    return [int(weight) if weight.is_integer() else weight for weight in rounded]


def _parse(text: str) -> Any:
    try:
        return parse_json(text)
    except JsonError as error:
        raise DataError(f"this is not the JSON of attention records: {error}.") from error


def records_to_json(records: Iterable[AttentionRecord]) -> str:
    """Serialize several records to one JSON text that names its schema."""
    body = {"schema": SCHEMA, "digits": DIGITS, "records": [item.to_dict() for item in records]}
    return json.dumps(body, allow_nan=False, separators=(",", ":"))


def records_from_json(text: str) -> list[AttentionRecord]:
    """Deserialize the result of `records_to_json`.

    Raises:
        DataError: the text is not JSON, or of another schema.
    """
    body = _parse(text)
    schema = body.get("schema") if isinstance(body, dict) else None
    if schema != SCHEMA:
        raise DataError(
            f"expected the schema {SCHEMA!r}, got {schema!r}; write the file with records_to_json."
        )
    return [AttentionRecord.from_dict(item) for item in body["records"]]
