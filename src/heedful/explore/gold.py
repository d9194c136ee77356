"""Gold alignments of the words of two texts, and how well attention agrees with them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from heedful.errors import OptionError
from heedful.explore.schema import AttentionRecord

_LINK: Final = re.compile(r"(\d+)([-?])(\d+)")

Links = frozenset[tuple[int, int]]


@dataclass(frozen=True)
class GoldAlignment:
    """Links (query, key) between words, counted from 0: sure ones, and possible ones that are no mistake.

    Args:
        sure, possible: links.
        skipped: queries that are no words of the text, such as its end.
    """

    sure: Links
    possible: Links = frozenset()
    skipped: frozenset[int] = frozenset()

    @classmethod
    def parse(cls, text: str, *, skipped: Iterable[int] = ()) -> GoldAlignment:
        """Read links as they are usually written: `source-target`, and `source?target` for possible ones.

        Raises:
            OptionError: something is no link.

        >>> GoldAlignment.parse("0-0 2?1").possible
        frozenset({(1, 2)})
        """
        links: dict[str, set[tuple[int, int]]] = {"-": set(), "?": set()}
        for word in text.split():
            found = _LINK.fullmatch(word)
            if found is None:
                raise OptionError(
                    f"{word!r} is no link of an alignment; write source-target with numbers from 0, such as 0-1, or "
                    "0?1 for a possible one."
                )
            links[found[2]].add((int(found[3]), int(found[1])))
        return cls(frozenset(links["-"]), frozenset(links["?"]), frozenset(skipped))

    def check(self, record: AttentionRecord) -> None:
        """Raise OptionError for a link to a word that the record does not have."""
        ends = len(self.skipped)
        queries, keys = len(record.query_tokens) - ends, len(record.key_tokens)
        if record.key_tokens[-1:] == record.query_tokens[-1:] and ends:
            keys -= 1  # the end of the source, as that of the target
        for query, key in sorted(self.sure | self.possible):
            if query >= queries or key >= keys:
                raise OptionError(
                    f"the gold link {key}-{query} is outside of {keys} source and {queries} target words; words count "
                    "from 0."
                )

    def error_rate(self, record: AttentionRecord) -> float:
        r"""Return the alignment error rate of the mean over heads: 0 is perfect.

        .. math:: \mathrm{AER} = 1 - \frac{|A \cap S| + |A \cap P|}{|A| + |S|}

        for sure links S, possible ones P (with S) and A, which links each query with the key of its largest weight
        (Och and Ney 2003, https://aclanthology.org/J03-1002/).

        >>> record = AttentionRecord("a", "cross", 0, "xy", "ab", [[[0.9, 0.1], [0.8, 0.2]]])
        >>> GoldAlignment.parse("0-0 1-1").error_rate(record)
        0.5
        """
        best = record.mean().weights[0].argmax(axis=-1).tolist()
        links = {(q, k) for q, k in enumerate(best) if q not in self.skipped}
        possible = self.sure | self.possible
        total = len(links) + len(self.sure)
        return 1 - (len(links & self.sure) + len(links & possible)) / total if total else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "sure": sorted(map(list, self.sure)),
            "possible": sorted(map(list, self.possible)),
            "skipped": sorted(self.skipped),
        }
