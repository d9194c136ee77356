"""Gates as records that every picture of attention can draw: gates by token, and what is kept of each token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from heedful.errors import OptionError
from heedful.explore.gates.record import GateRecord
from heedful.explore.schema import AttentionRecord
from heedful.explore.tokens import visible

OPENNESS: Final = "openness of the gates"
KEPT: Final = "share still kept"
ARROWS: Final = {False: "→", True: "←"}


def chosen_unit(record: GateRecord) -> int:
    """Return the unit whose keeping gate changes most from token to token."""
    return int(record.gates.keeping.std(axis=0).argmax())


def gate_records(
    records: Sequence[GateRecord], tokens: Mapping[str, Sequence[str]], unit: int | None = None
) -> list[AttentionRecord]:
    """Return two records for each layer and direction: its gates by token, and what it keeps.

    The first has a row for each gate, the mean over units, and one for each gate of one unit. In the second a row is
    the position at which is asked, a column that at which something was given.

    Args:
        records: what `recording_gates` collected.
        tokens: "encoder" and "decoder" -> the tokens that it reads; numbers where others are as many.
        unit: from 0; None: of each layer that whose keeping gate changes most.

    Raises: OptionError if there are no records, or a layer has no such unit.
    """
    if not records:
        raise OptionError(
            "the model has no gates to show: only LSTM and GRU have gates; explain a model that has one, or "
            "leave gates out."
        )
    found = []
    for record in records:
        count = record.gates.keeping.shape[1]
        if unit is not None and not 0 <= unit < count:
            raise OptionError(
                f"the {record.part} has no unit {unit + 1}; its units are 1 to {count}."
            )
        one = chosen_unit(record) if unit is None else unit
        names = tokens.get(record.part, ())
        size = len(record.gates.states)
        labels = tuple(names) if len(names) == size else tuple(str(n + 1) for n in range(size))
        found += [_by_token(record, labels, one), _kept(record, labels)]
    return found


def _by_token(record: GateRecord, labels: tuple[str, ...], unit: int) -> AttentionRecord:
    gates = record.gates.gates
    rows = [values.mean(axis=1) for values in gates.values()]
    rows += [values[:, unit] for values in gates.values()]
    names = [*gates, *(f"{name}[{unit + 1}]" for name in gates)]
    arrow = ARROWS[record.gates.reverse]
    return AttentionRecord(
        record.module_path, f"{record.part} gates {arrow}", record.layer, names, labels,
        np.stack(rows)[None], measure=OPENNESS, note=_note(record),
    )  # fmt: skip


def _kept(record: GateRecord, labels: tuple[str, ...]) -> AttentionRecord:
    size = len(labels)
    mask = np.tril(np.ones((size, size), np.bool_))
    arrow = ARROWS[record.gates.reverse]
    return AttentionRecord(
        record.module_path, f"{record.part} memory {arrow}", record.layer, labels, labels,
        record.gates.kept()[None], mask=(mask.T if record.gates.reverse else mask)[None],
        measure=KEPT, note=_note(record),
    )  # fmt: skip


def _note(record: GateRecord) -> str:
    lives = record.gates.half_lives()
    longest = int(lives.argmax())
    return (
        f"mean over {len(lives)} units, and unit n as gate[n]; half of a unit's content is left after "
        f"{np.median(lives):.1f} steps in the median, and after {lives[longest]:.1f} in unit {longest + 1}, which "
        "keeps longest; recomputed from the weights, states differ from the layer's by "
        f"{record.difference:.1g}"
    )


def table(record: AttentionRecord) -> list[list[str]]:
    """Return the gates of a record by token as the rows of a table.

    >>> one = AttentionRecord("", "encoder gates →", 0, ("input", "input[3]"), ("a",), [[[0.5], [0.25]]])
    >>> table(one)
    [['', 'input', 'input[3]'], ['a', '0.500', '0.250']]
    """
    columns = record.weights[0].T.tolist()
    rows = [
        [visible(token), *(f"{value:.3f}" for value in values)]
        for token, values in zip(record.key_tokens, columns, strict=True)
    ]
    return [["", *record.query_tokens], *rows]
