"""CoNLL-U: its columns, one feature of FEATS taken for a column, its sentences read and written back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from heedful.data.label_base import LabelFormat, Sentence, blocks
from heedful.errors import DataError, OptionError, count, nearest

COLUMNS = ("id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")
FEATS = COLUMNS.index("feats")


@dataclass(frozen=True)
class ConlluColumn:
    r"""A column, or with `feature` one feature of FEATS: its value, "_" for a token that has none.

    >>> ConlluColumn.named("Number").put("1\tdogs\tdog\tNOUN\tNNS\tCase=Nom\t0\troot\t_\t_", "Plur")
    '1\tdogs\tdog\tNOUN\tNNS\tCase=Nom|Number=Plur\t0\troot\t_\t_'
    """

    place: int
    feature: str | None = None

    @classmethod
    def named(cls, name: str) -> ConlluColumn:
        """Find a column by its name, in whatever case; features begin with a capital letter.

        Raises: OptionError for the two columns that are no labels, and for what is neither.
        """
        lower = name.lower()
        if lower in ("id", "form"):
            raise OptionError(f"column {name!r} holds no labels; the columns are: {_choices()}.")
        if lower in COLUMNS:
            return cls(COLUMNS.index(lower))
        if not name[:1].isupper():
            near = nearest(lower, COLUMNS[2:])
            hint = f"; did you mean {near!r}?" if near else "."
            raise OptionError(
                f"there is no CoNLL-U column {name!r}{hint} The columns are: {_choices()}; a feature "
                "such as Number begins with a capital letter."
            )
        return cls(FEATS, name)

    def get(self, fields: Sequence[str]) -> str:
        """Return the label of a token's ten fields."""
        if self.feature is None:
            return fields[self.place]
        return _features(fields[FEATS]).get(self.feature, "_")

    def put(self, line: str, label: str) -> str:
        """Return the line with this label."""
        fields = line.split("\t")
        if self.feature is None:
            fields[self.place] = label
        else:
            features = _features(fields[FEATS])
            features.pop(self.feature, None)
            if label != "_":
                features[self.feature] = label
            ordered = sorted(features.items(), key=lambda item: item[0].lower())
            fields[FEATS] = "|".join(f"{name}={value}" for name, value in ordered) or "_"
        return "\t".join(fields)

    def refuse_empty(self, path: Path, sentences: Sequence[Sentence]) -> None:
        """Raise DataError for a column that holds nothing but "_", with the nearest feature that is there."""
        if self.feature is None:
            raise DataError(f"column {COLUMNS[self.place]!r} is empty on every line.", path=path)
        found: dict[str, None] = {}
        for sentence in sentences:
            for row in sentence.rows:
                found.update(dict.fromkeys(_features(sentence.lines[row].split("\t")[FEATS])))
        near = nearest(self.feature, [*found, *COLUMNS[2:]])
        hint = f"; did you mean {near!r}?" if near else "."
        raise DataError(
            f"no token has the feature {self.feature!r}{hint} The features are: "
            f"{', '.join(sorted(found)) or 'none'}; the columns: {_choices()}.",
            path=path,
        )


def _features(text: str) -> dict[str, str]:
    if text in ("_", ""):
        return {}
    return dict(part.partition("=")[::2] for part in text.split("|"))


def _choices() -> str:
    return ", ".join(COLUMNS[2:])


class ConllU(LabelFormat):
    """CoNLL-U (https://universaldependencies.org/format.html), any column or any one feature.

    Comments, multiword tokens (3-4) and empty nodes (5.1) are no tokens, and are written back as they
    were; so is every other column.
    """

    def parse(self, path: Path, lines: Iterator[str]) -> Iterator[Sentence]:
        column = ConlluColumn.named(self.column or "upos")
        for start, block in blocks(lines):
            tokens, labels, rows = list[str](), list[str](), list[int]()
            for row, line in enumerate(block):
                if line.startswith("#"):
                    continue
                fields = line.split("\t")
                wrong = _wrong(fields, len(tokens) + 1, column)
                if wrong is not None:
                    raise DataError(wrong, path=path, line=start + row)
                if fields[0].isdecimal():
                    tokens.append(fields[1])
                    labels.append(column.get(fields))
                    rows.append(row)
            yield Sentence(tuple(tokens), tuple(labels), tuple(block), tuple(rows), path, start)

    def lines(self, sentence: Sentence, labels: Sequence[str]) -> list[str]:
        column = ConlluColumn.named(self.column or "upos")
        lines = list(sentence.lines)
        for row, label in zip(sentence.rows, labels, strict=True):
            lines[row] = column.put(lines[row], label)
        return lines

    def check_labels(self, path: Path, sentences: Sequence[Sentence]) -> None:
        super().check_labels(path, sentences)
        if any(label != "_" for sentence in sentences for label in sentence.labels):
            return
        ConlluColumn.named(self.column or "upos").refuse_empty(path, sentences)


def _wrong(fields: Sequence[str], wanted: int, column: ConlluColumn) -> str | None:
    """Say what is wrong with a line of the token of a number, or between that and the one before."""
    if len(fields) != 10:
        return f"the line has {count(len(fields), 'column')}, and CoNLL-U has 10, parted by tabs."
    if not fields[0].isdecimal():
        if _is_range(fields[0]):
            return None
        return f"the first column is {fields[0]!r}; a number, a range (3-4) or an empty node (5.1) is wanted."
    if int(fields[0]) != wanted:
        return f"the token has the number {fields[0]}, and {wanted} is wanted; an empty line parts sentences."
    features = [] if fields[FEATS] in ("_", "") else fields[FEATS].split("|")
    if column.feature is not None and not all("=" in each for each in features):
        return f"FEATS holds {fields[FEATS]!r}; features are written Name=Value."
    return None


def _is_range(text: str) -> bool:
    for mark in "-.":
        before, found, after = text.partition(mark)
        if found and before.isdecimal() and after.isdecimal():
            return True
    return False
