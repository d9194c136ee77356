"""The CoNLL-U format: labels from any column, or from any one feature of FEATS."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from heedful.data.label_base import LabelFormat, Layout, Sentence, blocks
from heedful.data.number import is_count
from heedful.errors import (
    DataError,
    OptionError,
    count,
    listed,
    nearest,
    shown,
    unknown_choice,
    unquoted,
)

COLUMNS = ("id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")
FEATS = COLUMNS.index("feats")


@dataclass(frozen=True)
class ConlluColumn:
    r"""A label column, or with `feature` one feature of FEATS; "_" for a token without the feature.

    >>> ConlluColumn.named("Number").put("1\tdogs\tdog\tNOUN\tNNS\tCase=Nom\t0\troot\t_\t_", "Plur")
    '1\tdogs\tdog\tNOUN\tNNS\tCase=Nom|Number=Plur\t0\troot\t_\t_'
    """

    index: int
    feature: str | None = None

    @classmethod
    def named(cls, name: str) -> ConlluColumn:
        """Return the column of a name (case-insensitive) or feature (begins with a capital letter).

        Raises: OptionError for ID and FORM, which are not labels, and for an unknown name.
        """
        lower = name.lower()
        if lower in ("id", "form"):
            raise OptionError(
                f"column {shown(name)} holds no labels; the columns are: {_label_columns()}."
            )
        if lower in COLUMNS:
            return cls(COLUMNS.index(lower))
        if not name[:1].isupper():
            near = nearest(lower, COLUMNS[2:])
            hint = f"; did you mean {shown(near)}?" if near else "."
            raise OptionError(
                f"there is no CoNLL-U column {shown(name)}{hint} The columns are: {_label_columns()}; a feature "
                "such as Number begins with a capital letter."
            )
        return cls(FEATS, name)

    def get(self, fields: Sequence[str]) -> str:
        """Return the label in the ten fields of a token."""
        if self.feature is None:
            return fields[self.index]
        return _parse_features(fields[FEATS]).get(self.feature, "_")

    def put(self, line: str, label: str) -> str:
        """Return a token line with its label replaced."""
        fields = line.split("\t")
        if self.feature is None:
            fields[self.index] = label
        else:
            features = _parse_features(fields[FEATS])
            features.pop(self.feature, None)
            if label != "_":
                features[self.feature] = label
            ordered = sorted(features.items(), key=lambda item: item[0].lower())
            fields[FEATS] = "|".join(f"{name}={value}" for name, value in ordered) or "_"
        return "\t".join(fields)

    def empty_error(self, path: Path, sentences: Sequence[Sentence]) -> DataError:
        """Return the error for a column without any label, suggesting the nearest existing feature."""
        if self.feature is None:
            return DataError(
                f"column {shown(COLUMNS[self.index])} is empty on every line; choose another.",
                path=path,
            )
        features: dict[str, None] = {}
        for sentence in sentences:
            for row in sentence.rows:
                features.update(
                    dict.fromkeys(_parse_features(sentence.lines[row].split("\t")[FEATS]))
                )
        near = nearest(self.feature, [*features, *COLUMNS[2:]])
        hint = f"; did you mean {shown(near)}?" if near else "."
        return DataError(
            f"no token has the feature {shown(self.feature)}{hint} The features are: "
            f"{listed(sorted(features)) or 'none'}; the columns: {_label_columns()}.",
            path=path,
        )


def _parse_features(text: str) -> dict[str, str]:
    if text in ("_", ""):
        return {}
    return dict(part.partition("=")[::2] for part in text.split("|"))


def _label_columns() -> str:
    return ", ".join(COLUMNS[2:])


class ConllU(LabelFormat):
    """CoNLL-U (https://universaldependencies.org/format.html).

    Comments, multiword tokens (3-4) and empty nodes (5.1) are not tokens. They, and all other columns, are
    written back unchanged.
    """

    name = "conllu"

    def parse(self, path: Path, lines: Iterator[str]) -> Iterator[Sentence]:
        column, token_index = self._column, self._token_index
        for start, block, _ in blocks(path, lines):
            tokens, labels, rows = list[str](), list[str](), list[int]()
            for row, line in enumerate(block):
                if line.startswith("#"):
                    continue
                fields = line.split("\t")
                problem = _problem(fields, len(tokens) + 1, column)
                if problem is not None:
                    raise DataError(problem, path=path, line=start + row)
                if fields[0].isdecimal():
                    tokens.append(fields[token_index])
                    labels.append(column.get(fields))
                    rows.append(row)
            yield Sentence(tuple(tokens), tuple(labels), tuple(block), tuple(rows), path, start)

    def lines(self, sentence: Sentence, labels: Sequence[str]) -> list[str]:
        column = self._column
        lines = list(sentence.lines)
        for row, label in zip(sentence.rows, labels, strict=True):
            lines[row] = column.put(lines[row], label)
        return lines

    def check_labels(self, path: Path, sentences: Sequence[Sentence]) -> None:
        super().check_labels(path, sentences)
        if any(label != "_" for sentence in sentences for label in sentence.labels):
            return
        raise self._column.empty_error(path, sentences)

    def layout(self) -> Layout:
        return Layout(
            format=self.name,
            tokens=self.tokens or "form",
            labels=self.column or "upos",
            width=len(COLUMNS),
        )

    @property
    def _column(self) -> ConlluColumn:
        return ConlluColumn.named(self.column or "upos")

    @property
    def _token_index(self) -> int:
        """Return the index of the token column."""
        # "tokens", the key in JSON Lines, is the setting of older runs
        name = "form" if self.tokens in ("", "tokens") else self.tokens.lower()
        if name not in COLUMNS[1:]:
            raise unknown_choice("CoNLL-U token column", self.tokens, COLUMNS[1:])
        if self._column == ConlluColumn(COLUMNS.index(name)):
            raise OptionError(
                f"column {shown(name)} cannot hold both the tokens and the labels; name two columns."
            )
        return COLUMNS.index(name)


def _problem(fields: Sequence[str], expected_id: int, column: ConlluColumn) -> str | None:
    """Return what is malformed in a line, or None; the next token must have the id `expected_id`."""
    if len(fields) != 10:
        return f"the line has {count(len(fields), 'column')}; CoNLL-U has 10, separated by tabs."
    if not fields[0].isdecimal():
        if _is_range_or_empty_node(fields[0]):
            return None
        return f"the id is {shown(fields[0])}; expected a number, a range (3-4) or an empty node (5.1)."
    if not is_count(fields[0]) or int(fields[0]) != expected_id:
        return f"the token id is {unquoted(fields[0])}; expected {expected_id}. An empty line must separate sentences."
    features = [] if fields[FEATS] in ("_", "") else fields[FEATS].split("|")
    if column.feature is not None and not all("=" in each for each in features):
        return f"FEATS holds {shown(fields[FEATS])}; write features as Name=Value."
    return None


def _is_range_or_empty_node(text: str) -> bool:
    for delimiter in "-.":
        before, found, after = text.partition(delimiter)
        if found and before.isdecimal() and after.isdecimal():
            return True
    return False
