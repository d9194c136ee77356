"""Options of files and columns, of texts and of tables."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from heedful.tasks.options.base import GivenOptions, TaskOption, section_of
from heedful.tasks.options.reading import split_columns


def _columns(value: Sequence[str], given: GivenOptions) -> list[str]:
    return [f"data.columns={json.dumps(split_columns(value), ensure_ascii=False)}"]


_SEVERAL_LABELS: Final = ("classify", "classify-molecules", "classify-graphs", "")
"""Tasks whose labels may be columns of 0 and 1; empty: `compare`."""


def _label(value: str | Sequence[str], given: GivenOptions) -> list[str]:
    """Convert --label NAME, or --label A,B,C for the 0/1 columns of several labels of a text."""
    names = value.split(",") if isinstance(value, str) else value
    if isinstance(value, str) and (len(names) == 1 or given.task not in _SEVERAL_LABELS):
        others = ["data.label_columns=[]"] if section_of(given, "data").get("label_columns") else []
        return [f"data.label={json.dumps(value, ensure_ascii=False)}", *others]
    columns = [name.strip() for name in names]
    return [f"data.label_columns={json.dumps(columns, ensure_ascii=False)}"]


def train_files(help: str, metavar: str = "FILE") -> TaskOption:
    """Return the option --train."""
    return TaskOption(name="train", setting="data.train", metavar=metavar, help=help, many=True)


def valid_files(help: str, metavar: str = "FILE", default: str = "") -> TaskOption:
    """Return the option --valid."""
    return TaskOption(
        name="valid", setting="data.valid", metavar=metavar, help=help, default=default, many=True
    )


COLUMNS: Final = TaskOption(
    name="columns",
    setting="data.columns",
    metavar="A,B",
    help="Source and target columns of a table: names, or numbers (1,2) if it has no header.",
    many=True,
    convert=_columns,
)


ALIGNMENTS: Final = TaskOption(
    name="alignments",
    setting="data.alignments",
    metavar="FILE",
    help="Word alignments of the training pairs in Pharaoh format (0-0 1-2), which the attention learns.",
)


LABEL_COLUMN: Final = TaskOption(
    name="column",
    setting="data.column",
    metavar="NAME",
    help="Labels: a CoNLL-U column (upos, xpos, feats, deprel, …) or a feature such as Number; a column number or "
    '"last" of CoNLL; a key of JSON lines.',
    default="upos, last or tags",
)


TOKEN_COLUMN: Final = TaskOption(
    name="tokens",
    setting="data.tokens",
    metavar="NAME",
    help="Tokens: a CoNLL-U column (form, lemma, …), a column number of CoNLL, or a key of JSON lines.",
    default="form, 1 or tokens",
)


TEXT: Final = TaskOption(
    name="text",
    setting="data.text",
    metavar="NAME",
    help="Column of the texts; a number, from 1, if the table has no header.",
    default="text",
)


TRANSCRIPT: Final = TaskOption(
    name="text",
    setting="data.text",
    metavar="NAME",
    help="Column of the transcripts.",
    default="text, sentence, transcript, transcription or normalized_text",
)


LABEL: Final = TaskOption(
    name="label",
    setting="data.label",
    metavar="NAME",
    help="Column of the labels. For texts with several labels A,B,C names 0/1 columns, one per label.",
    default="label",
    convert=_label,
)


CLASS_WEIGHTS: Final = TaskOption(
    name="class_weights",
    setting="training.class_weights",
    metavar="NAME",
    help="Weights of the labels in the training loss, for labels that are unevenly frequent: none, balanced or "
    "effective.",
    default="none",
)


TARGET: Final = TaskOption(
    name="target",
    setting="data.target",
    metavar="NAME",
    help="Column of the numbers to predict; several, separated by commas, are learned together.",
    default="target",
)


TABLES: Final = (
    train_files(
        "Training table, one text and its target per row: .tsv, .csv or .jsonl. May be gzipped; repeatable."
    ),
    valid_files(
        "Validation table to select the best checkpoint, in the same format.",
        default="10% of --train",
    ),
)


ENCODING: Final = TaskOption(
    name="encoding",
    setting="data.encoding",
    metavar="NAME",
    help="Encoding of the files, such as utf-16, cp1252 (Windows), gb18030 or shift_jis.",
    default="utf-8",
)


MAX_LINE: Final = TaskOption(
    name="max_line",
    setting="data.max_line",
    metavar="BYTES",
    help="Maximum length of a line of a text file; a longer one is an error.",
    default="10000000",
    is_number=True,
)


SKIP_BAD: Final = TaskOption(
    name="skip_bad",
    setting="data.skip_bad",
    metavar="",
    help="Leave out rows without a text or an answer; the run lists them in skipped.txt.",
    flag=True,
)


ROWS: Final = (ENCODING, MAX_LINE, SKIP_BAD)
