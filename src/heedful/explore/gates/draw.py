"""Gates as records that every picture of attention can draw: gates by token, and what is kept of each token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True, eq=False)
class LayerGates:
    """The gates of one layer and direction with the tokens that it reads, and the unit shown beside the mean."""

    record: GateRecord
    labels: tuple[str, ...]
    unit: int
    """From 0."""

    @property
    def label(self) -> str:
        """Part, layer from 1 and direction."""
        return f"{self.record.part}, layer {self.record.layer + 1} {self._arrow}"

    @property
    def note(self) -> str:
        """How long its units keep, and by how much the recomputed states differ from the layer's."""
        lives = self.record.gates.half_lives()
        longest = int(lives.argmax())
        return (
            f"half of a unit's content is left after {np.median(lives):.1f} steps in the median, and after "
            f"{lives[longest]:.1f} in unit {longest + 1}, which keeps longest; recomputed from the weights, states "
            f"differ from the layer's by {self.record.difference:.1g}"
        )

    @property
    def _arrow(self) -> str:
        return ARROWS[self.record.gates.reverse]

    def records(self) -> list[AttentionRecord]:
        """Return two records that every picture of attention can draw: the gates by token, and what is kept.

        The first has a row for each gate, the mean over units, and one for each gate of the unit. In the second a row
        is the position at which is asked, a column that at which something was given.
        """
        return [self._by_token(), self._kept()]

    def _by_token(self) -> AttentionRecord:
        gates = self.record.gates.gates
        rows = [values.mean(axis=1) for values in gates.values()]
        rows += [values[:, self.unit] for values in gates.values()]
        names = [*gates, *(f"{name}[{self.unit + 1}]" for name in gates)]
        note = f"mean over {self.record.gates.units} units, and unit n as gate[n]; {self.note}"
        kind = f"{self.record.part} gates {self._arrow}"
        return AttentionRecord(
            self.record.module_path, kind, self.record.layer, names, self.labels, np.stack(rows)[None],
            measure=OPENNESS, note=note,
        )  # fmt: skip

    def _kept(self) -> AttentionRecord:
        size = len(self.labels)
        mask = np.tril(np.ones((size, size), np.bool_))
        kind = f"{self.record.part} memory {self._arrow}"
        return AttentionRecord(
            self.record.module_path, kind, self.record.layer, self.labels, self.labels,
            self.record.gates.kept()[None], mask=(mask.T if self.record.gates.reverse else mask)[None],
            measure=KEPT, note=self.note,
        )  # fmt: skip


def layer_gates(
    records: Sequence[GateRecord], tokens: Mapping[str, Sequence[str]], unit: int | None = None
) -> tuple[LayerGates, ...]:
    """Return the gates of each layer and direction with their tokens.

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
        count = record.gates.units
        if unit is not None and not 0 <= unit < count:
            raise OptionError(
                f"the {record.part} has no unit {unit + 1}; its units are 1 to {count}."
            )
        names = tokens.get(record.part, ())
        size = len(record.gates.states)
        labels = tuple(names) if len(names) == size else tuple(str(n + 1) for n in range(size))
        found.append(LayerGates(record, labels, chosen_unit(record) if unit is None else unit))
    return tuple(found)


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
