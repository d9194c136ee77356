"""Prefix beam search over the frames of a CTC model."""

from __future__ import annotations

from typing import NamedTuple
from weakref import WeakValueDictionary

import numpy as np

from heedful.decode.ctc import Numbers, check_sequence
from heedful.errors import OptionError


class Labelling(NamedTuple):
    """One labelling found by the search."""

    labels: list[int]
    log_probability: float
    """Of the labelling: the sum over those of its paths that stayed in the beam."""


class _Prefix:
    """A prefix of a labelling, as a node of a tree; two equal prefixes in use are the same node."""

    __slots__ = ("__weakref__", "children", "label", "parent")

    def __init__(self, parent: _Prefix | None, label: int):
        self.parent, self.label = parent, label
        # Weak, so that prefixes that left the beam are freed.
        self.children: WeakValueDictionary[int, _Prefix] = WeakValueDictionary()

    def extended(self, label: int) -> _Prefix:
        """Return the prefix that is one label longer."""
        child = self.children.get(label)
        if child is None:
            child = self.children[label] = _Prefix(self, label)
        return child

    def labels(self) -> list[int]:
        """Return the labels from the first to the last."""
        found, node = [], self
        while node.parent is not None:
            found.append(node.label)
            node = node.parent
        return found[::-1]


class PrefixBeam:
    r"""Prefix beam search that reads frames as they come.

    For each prefix of a labelling it keeps the log-probability of all paths so far that end in a blank,
    :math:`p_b`, and in the prefix's last label, :math:`p_n`. A frame adds a blank or repeats the last label (the prefix
    stays), or adds a label; the same label again needs a blank in between, so that it extends :math:`p_b` only. The
    `beam` prefixes of largest :math:`p_b + p_n` are kept. Without this limit the result is exact.

    Hannun et al. 2014, "First-Pass Large Vocabulary Continuous Speech Recognition using Bi-Directional Recurrent DNNs",
    algorithm 1; Graves 2012, section 7.5.

    Args:
        beam: prefixes kept after each frame.
        blank: the symbol of no label.

    Raises:
        OptionError: `beam` below 1.

    >>> search = PrefixBeam(beam=8, blank=0)
    >>> search.read(np.log(np.array([[0.6, 0.4], [0.6, 0.4]])))
    >>> [(labels, round(float(np.exp(score)), 2)) for labels, score in search.best(2)]
    [([1], 0.64), ([], 0.36)]
    """

    def __init__(self, *, beam: int, blank: int):
        if beam < 1:
            raise OptionError(f"beam must be at least 1; got {beam}.")
        self.beam, self.blank = beam, blank
        self._prefixes = [_Prefix(None, -1)]
        self._blank_end = np.zeros(1)
        self._label_end = np.full(1, -np.inf)

    def read(self, log_probabilities: Numbers) -> None:
        """Read further frames (frames, symbols).

        Raises:
            ShapeError: another shape; OptionError: the blank is not one of the symbols.
        """
        check_sequence(log_probabilities, self.blank)
        for frame in log_probabilities:
            self._read_frame(frame)

    def _read_frame(self, frame: Numbers) -> None:
        last = np.array([prefix.label for prefix in self._prefixes])
        labelled = np.flatnonzero(last >= 0)
        total = np.logaddexp(self._blank_end, self._label_end)
        stay_blank = total + frame[self.blank]
        stay_label = np.full(len(last), -np.inf)
        stay_label[labelled] = self._label_end[labelled] + frame[last[labelled]]
        extended = total[:, None] + frame
        extended[:, self.blank] = -np.inf
        extended[labelled, last[labelled]] = self._blank_end[labelled] + frame[last[labelled]]
        # An extension that is itself in the beam is the same prefix: its probability is added there.
        where = {id(prefix): row for row, prefix in enumerate(self._prefixes)}
        for row, prefix in enumerate(self._prefixes):
            parent = where.get(id(prefix.parent))
            if parent is not None:
                stay_label[row] = np.logaddexp(stay_label[row], extended[parent, prefix.label])
                extended[parent, prefix.label] = -np.inf
        self._keep(stay_blank, stay_label, extended)

    def _keep(self, stay_blank: Numbers, stay_label: Numbers, extended: Numbers) -> None:
        """Keep the best prefixes of those that stay, (prefixes,), and those extended, (prefixes, symbols)."""
        count, prefixes = len(self._prefixes), self._prefixes
        scores = np.concatenate([np.logaddexp(stay_blank, stay_label), extended.ravel()])
        chosen = np.arange(len(scores))
        if len(scores) > self.beam:
            chosen = np.argpartition(-scores, self.beam - 1)[: self.beam]
        chosen = chosen[np.isfinite(scores[chosen])]
        stays = chosen[chosen < count]
        rows, labels = np.divmod(chosen[chosen >= count] - count, extended.shape[1])
        self._prefixes = [
            *(prefixes[row] for row in stays.tolist()),
            *(prefixes[r].extended(c) for r, c in zip(rows.tolist(), labels.tolist(), strict=True)),
        ]
        self._blank_end = np.concatenate([stay_blank[stays], np.full(len(rows), -np.inf)])
        self._label_end = np.concatenate([stay_label[stays], extended[rows, labels]])

    def best(self, nbest: int = 1) -> list[Labelling]:
        """Return the labellings of the frames read so far, at most `nbest`, the most probable first."""
        total = np.logaddexp(self._blank_end, self._label_end)
        order = np.argsort(-total, kind="stable")[:nbest]
        return [Labelling(self._prefixes[row].labels(), float(total[row])) for row in order]


def prefix_beam_search(
    log_probabilities: Numbers, *, beam: int, blank: int, nbest: int = 1
) -> list[Labelling]:
    """Return the most probable labellings of one sequence; see `PrefixBeam`.

    Args:
        log_probabilities: (frames, symbols).
        beam: prefixes kept after each frame.
        blank: the symbol of no label.
        nbest: labellings returned at most, at most `beam`.

    Raises:
        OptionError: `beam` below 1, `nbest` outside 1 to `beam`, a blank that is not a symbol.
        ShapeError: log-probabilities of another shape.

    >>> [best] = prefix_beam_search(np.log(np.array([[0.6, 0.4], [0.6, 0.4]])), beam=4, blank=0)
    >>> best.labels
    [1]
    """
    search = PrefixBeam(beam=beam, blank=blank)
    if not 1 <= nbest <= beam:
        raise OptionError(f"nbest must be from 1 to the beam, {beam}; got {nbest}.")
    search.read(log_probabilities)
    return search.best(nbest)
