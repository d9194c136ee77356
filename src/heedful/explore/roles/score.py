"""How often each head finds each role, beside the best fixed offset, with bootstrap intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from heedful.errors import DataError
from heedful.explore.roles.relations import WORD_ROLES, Targets

OFFSETS: Final = tuple(offset for offset in range(-10, 11) if offset)
"""Where the baseline looks: a fixed number of words before (negative) or after each word."""
RESAMPLES: Final = 1000
LEVEL: Final = 0.95
CHOOSES, SCORES = 0, 1
"""Sentences 1, 3, 5, … choose the head and the offset of each role; sentences 2, 4, 6, … score them."""

Numbers = NDArray[np.float64]
Head = tuple[int, int]
"""(layer, head), both counted from 0."""


@dataclass(frozen=True)
class Share:
    """A share of pairs and its 95 % interval, by a bootstrap over sentences."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True, eq=False)
class RoleScore:
    """How well one role is found, in the sentences that score."""

    role: str
    pairs: int
    """Words that were asked in the sentences that score."""
    chosen_on: int
    """Words that were asked in the sentences that chose."""
    heads: Mapping[Head, Share]
    """How often the most attended word of each head is right."""
    best: Head
    """The head that is best in the sentences that choose."""
    offset: int
    """The offset that is best in the sentences that choose."""
    baseline: Share
    """How often that offset is right."""
    gain: Share
    """Best head minus baseline, on the same resamples."""

    @property
    def found(self) -> Share:
        """How often the best head is right."""
        return self.heads[self.best]

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values; layers and heads count from 1."""
        layer, head = self.best
        return {
            "role": self.role,
            "pairs": self.pairs,
            "chosen_on": self.chosen_on,
            "best": {"layer": layer + 1, "head": head + 1, **vars(self.found)},
            "offset": {"offset": self.offset, **vars(self.baseline)},
            "gain": dict(vars(self.gain)),
            "heads": [
                {"layer": layer + 1, "head": head + 1, **vars(share)}
                for (layer, head), share in self.heads.items()
            ],
        }


@dataclass
class _Hits:
    """Per sentence: how many words were asked, and how many each head and each offset got right."""

    asked: list[int] = field(default_factory=list)
    right: list[NDArray[np.int64]] = field(default_factory=list)
    part: list[int] = field(default_factory=list)

    def of(self, part: int) -> tuple[Numbers, Numbers]:
        """Return (sentences,) asked and (sentences, heads + offsets) right of one part."""
        chosen = [number for number, each in enumerate(self.part) if each == part]
        asked = np.array(self.asked, np.float64)[chosen]
        return asked, np.array(self.right, np.float64)[chosen]


class RoleCounts:
    """Collects, sentence by sentence, what each head and each fixed offset finds.

    The most attended word of a head is that of the largest weight among the words that may be attended to, the word
    itself aside, since no word is asked for itself. A head without any weight on another word finds nothing.

    >>> import numpy as np
    >>> counts = RoleCounts()
    >>> looks_back = np.array([[[1.0, 0.0], [0.9, 0.1]]])
    >>> before = {"previous word": np.array([[False, False], [True, False]])}
    >>> for _ in range(2):
    ...     counts.add([looks_back], before)
    >>> [score] = counts.scores(minimum=1)
    >>> score.found.value, score.offset, score.baseline.value
    (1.0, -1, 1.0)
    """

    def __init__(self) -> None:
        self._hits: dict[str, _Hits] = {}
        self._heads: list[Head] = []
        self._sentences = 0

    @property
    def sentences(self) -> int:
        """How many sentences were added."""
        return self._sentences

    @property
    def roles(self) -> list[str]:
        """The roles that any sentence has."""
        return list(self._hits)

    def add(
        self,
        layers: Sequence[Numbers],
        targets: Mapping[str, Targets],
        allowed: Targets | None = None,
    ) -> None:
        """Add one sentence.

        Args:
            layers: of each layer the weights (heads, words, words).
            targets: role -> what counts as found.
            allowed: (words, words), what may be attended to; words that may attend to no target are not asked.
        """
        part = self._sentences % 2
        self._sentences += 1
        heads = [
            (layer, head) for layer, weights in enumerate(layers) for head in range(len(weights))
        ]
        assert self._heads in ([], heads)
        self._heads = heads
        weights = np.concatenate(list(layers))
        size = weights.shape[-1]
        looks = np.concatenate([most_attended(weights, allowed), _shifted(size)])
        rows = np.arange(size)
        for role, each in targets.items():
            wanted = each if allowed is None else each & allowed
            if not wanted.any():
                continue
            right = wanted[rows, looks] & (looks >= 0)
            hits = self._hits.setdefault(role, _Hits())
            hits.asked.append(int(wanted.any(axis=1).sum()))
            hits.right.append(right.sum(axis=1))
            hits.part.append(part)

    def scores(self, *, minimum: int, seed: int = 0) -> list[RoleScore]:
        """Return the scores: first the roles of `WORD_ROLES`, then the relations, the most frequent first.

        Args:
            minimum: the fewest words asked of a role, in each part; rarer roles are left out.
            seed: of the resamples.

        Raises: DataError if no role has so many.
        """
        order = {role: place for place, role in enumerate(WORD_ROLES)}
        found = []
        for role, hits in self._hits.items():
            parts = [hits.of(CHOOSES), hits.of(SCORES)]
            if min(asked.sum() for asked, _ in parts) >= minimum:
                found.append(self._score(role, parts[CHOOSES], parts[SCORES], seed))
        if not found:
            raise DataError(
                f"no relation is there {minimum:,} times in each half of the {self._sentences:,} sentences; give more "
                "sentences or a smaller --minimum."
            )
        return sorted(found, key=lambda each: (order.get(each.role, len(order)), -each.pairs))

    def _score(
        self,
        role: str,
        chooses: tuple[Numbers, Numbers],
        scores: tuple[Numbers, Numbers],
        seed: int,
    ) -> RoleScore:
        count = len(self._heads)
        chosen = chooses[1].sum(axis=0)
        best, offset = int(chosen[:count].argmax()), int(chosen[count:].argmax())
        asked, right = scores
        draws = np.random.default_rng(seed).multinomial(
            len(asked), np.full(len(asked), 1 / len(asked)), size=RESAMPLES
        )
        resampled = (draws @ right) / np.maximum(draws @ asked, 1)[:, None]
        values = right.sum(axis=0) / asked.sum()
        shares = [_share(value, sample) for value, sample in zip(values, resampled.T, strict=True)]
        gain = resampled[:, best] - resampled[:, count + offset]
        return RoleScore(
            role,
            int(asked.sum()),
            int(chooses[0].sum()),
            dict(zip(self._heads, shares[:count], strict=True)),
            self._heads[best],
            OFFSETS[offset],
            shares[count + offset],
            _share(values[best] - values[count + offset], gain),
        )


def _share(value: float, resampled: Numbers) -> Share:
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail])
    return Share(float(value), float(low), float(high))


def most_attended(weights: Numbers, allowed: Targets | None = None) -> NDArray[np.int64]:
    """Return the other word of the largest weight, (heads, words); -1 where no other word has any weight.

    >>> most_attended(np.array([[[0.6, 0.3, 0.1], [0.0, 1.0, 0.0], [0.2, 0.3, 0.5]]])).tolist()
    [[1, -1, 1]]
    """
    others = ~np.eye(weights.shape[-1], dtype=np.bool_)
    if allowed is not None:
        others = others & allowed
    rest = np.where(others, weights, 0.0)
    found = rest.argmax(axis=-1)
    return np.where(rest.max(axis=-1) > 0, found, -1)


def _shifted(size: int) -> NDArray[np.int64]:
    """Return where each offset looks from each word, (offsets, words); -1 outside of the sentence."""
    places = np.arange(size) + np.array(OFFSETS)[:, None]
    return np.where((places >= 0) & (places < size), places, -1)
