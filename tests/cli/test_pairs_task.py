"""A task on a new kind of example, a pair of texts with a label: it passes every command.

The steps of docs/extending.md, "A new kind of example", in one file: dataset, input, reader, options, task, entry.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

import pytest
from pydantic import Field

from heedful import api
from heedful.answers.label import Label
from heedful.cli import main
from heedful.data.dataset import Dataset, repeat_to_length
from heedful.data.files import iterate_lines
from heedful.data.table_rows import TableRow
from heedful.data.tables import table_format
from heedful.errors import DataError
from heedful.inputs.base import EmbeddedInput
from heedful.inputs.text import Text
from heedful.inputs.tokens import TokenIds
from heedful.models.encoders.inputs import TokenBatch, TokenInputs
from heedful.models.frequency import WordFrequency
from heedful.tasks import options, table
from heedful.tasks.base import Task
from heedful.tasks.classify import ClassifyTraining
from heedful.tasks.options import TaskOption, train_files, valid_files
from heedful.tasks.readers.base import (
    InputFile,
    OutputFormat,
    Part,
    Reader,
    Rows,
    Stream,
    TextFiles,
    text_of_row,
)
from heedful.tasks.sections import LabelColumn, LabelPrediction
from heedful.tasks.text_config import TextConfig
from tests.cli.conftest import in_this_process, run_command

SEPARATOR = " ; "


class Pair(NamedTuple):
    """The input: two texts."""

    first: str
    second: str


@dataclass(frozen=True)
class LabelledPair:
    pair: Pair
    labels: tuple[str, ...]
    where: str
    """File and line, for errors."""


@dataclass(frozen=True)
class LabelledPairs(Dataset):
    rows: Sequence[LabelledPair]
    name: str = "pairs"
    example: ClassVar[str] = "pair"

    @property
    def inputs(self) -> list[Pair]:
        return [row.pair for row in self.rows]

    @property
    def answers(self) -> list[tuple[str, ...]]:
        return [row.labels for row in self.rows]

    def take(self, rows: Sequence[int]) -> LabelledPairs:
        return LabelledPairs([self.rows[row] for row in rows], self.name)

    def texts(self) -> Sequence[Sequence[str]]:
        return [[*row.pair, *row.labels] for row in self.rows]

    def input_of_length(self, length: int) -> Pair:
        words = [word for pair in self.inputs for text in pair for word in text.split()]
        # the separator is a token too
        return Pair("", " ".join(repeat_to_length(words, length - 1)))

    def labels(self) -> list[tuple[str, ...]]:
        return self.answers

    def error(self, row: int, message: str, position: int = 0) -> DataError:
        return DataError(f"{self.rows[row].where}: {message}")


@dataclass(frozen=True)
class JoinedTexts(EmbeddedInput[Pair, TokenIds]):
    """Both texts as one sequence of tokens, with a separator between them; two empty texts have an empty encoding."""

    text: Text

    @classmethod
    def learn(cls, config: Any, examples: Sequence[Pair]) -> Self:
        return cls(Text.learn(config, [joined(pair) for pair in examples]))

    @classmethod
    def load(cls, config: Any, folder: Path) -> Self:
        return cls(Text.load(config, folder))

    def save(self, folder: Path) -> None:
        self.text.save(folder)

    def extend(self, initial: Self) -> Self:
        return type(self)(self.text.extend(initial.text))

    def encode(self, examples: Sequence[Pair]) -> list[TokenIds]:
        return self.text.encode([joined(pair) for pair in examples])

    def length(self, encoded: TokenIds) -> int:
        return self.text.length(encoded)

    def collate(self, encoded: Sequence[TokenIds]) -> TokenBatch:
        return self.text.collate(encoded)

    def embedding(self) -> TokenInputs:
        return self.text.embedding()

    def frequency(self) -> WordFrequency:
        return self.text.frequency()

    def sizes(self) -> dict[str, int]:
        return self.text.sizes()

    def positions(self, example: Pair) -> list[str]:
        return self.text.positions(joined(example))

    def title(self, example: Pair) -> str:
        return joined(example)


def joined(pair: Pair) -> str:
    return SEPARATOR.join(pair) if any(pair) else ""


class PairsData(LabelColumn, TextFiles):
    """Files and columns of the pairs."""

    train: tuple[str, ...] = Field((), description="Training tables.")
    valid: tuple[str, ...] = Field((), description="Validation tables.")
    first: str = Field("first", description="Column of the first texts.")
    second: str = Field("second", description="Column of the second texts.")
    max_length: int = Field(256, ge=2, description="Maximum tokens of both.")


class PairsReader(Reader):
    train_hint = "--train FILE.tsv"
    valid_hint = "give pairs that are not in --train"
    input_hint = f"a tuple of two texts, or a text with {SEPARATOR.strip()!r} between them"

    def read_files(self, paths: Sequence[str], data: PairsData, part: Part) -> LabelledPairs:
        columns = (data.first, data.second, data.label)
        rows = [
            self._labelled(row.fields, data, f"{path}, line {row.line}")
            for path in paths
            for row in table_format(Path(path)).rows(
                Path(path), iterate_lines(path, data.encoding), columns
            )
        ]
        return LabelledPairs(rows, " + ".join(paths))

    def from_rows(self, rows: Rows, data: PairsData, name: str) -> LabelledPairs:
        where = (f"example {number} of {name}" for number, _ in enumerate(rows, start=1))
        return LabelledPairs(
            [self._labelled(row, data, at) for row, at in zip(rows, where, strict=True)], name
        )

    def _labelled(self, row: Mapping[str, Any], data: PairsData, where: str) -> LabelledPair:
        label = text_of_row(row, data.label, where)
        labels = label.split(data.separator) if data.separator else [label]
        return LabelledPair(self.input_of_row(row, data, where), tuple(labels), where)

    def input_of_row(self, row: Mapping[str, Any], data: PairsData, name: str) -> Pair:
        return Pair(text_of_row(row, data.first, name), text_of_row(row, data.second, name))

    def check_input(self, given: Any, name: str) -> Pair:
        match given:
            case (str(first), str(second)):
                return Pair(first, second)
        raise self.wrong_input(given, name)

    def parse(self, text: str, data: Any) -> Pair:
        first, _, second = text.partition(SEPARATOR)
        return Pair(first, second)

    def to_argument(self, example: Pair) -> str:
        return SEPARATOR.join(example)

    def to_json(self, example: Pair) -> dict[str, Any]:
        return example._asdict()

    def stream(self, source: InputFile, data: PairsData, output: OutputFormat) -> Stream:
        return PairStream(self, source, data, output)


class PairStream(Stream):
    unit = "pairs"
    cells_in_json = True

    def __init__(
        self, reader: PairsReader, source: InputFile, data: PairsData, output: OutputFormat
    ):
        self.reader, self.source, self.data, self.output = reader, source, data, output
        self.table = table_format(Path(source.name))

    def items(self) -> Iterator[TableRow]:
        columns = (self.data.first, self.data.second)
        return self.table.rows(self.source.path, self.source.lines, columns, self.output.columns)

    def input(self, item: TableRow) -> Pair:
        where = f"{self.source.path}, line {item.line}"
        return self.reader.input_of_row(item.fields, self.data, where)

    def header(self) -> str:
        header = self.table.header(self.output.columns)
        return "" if header is None else f"{header}\n"

    def format(
        self, item: TableRow, number: int, values: Mapping[str, Any], cells: Sequence[Any]
    ) -> str:
        added = dict(zip(self.output.columns, cells, strict=True))
        return f"{self.table.extend(item.raw, added)}\n"

    def to_json(self, item: TableRow, number: int) -> dict[str, Any]:
        return {"line": item.line}


class PairsConfig(TextConfig):
    """Configuration of `heedful train classify-pairs`."""

    data: PairsData = PairsData()  # type: ignore[assignment]
    training: ClassifyTraining = ClassifyTraining()
    prediction: LabelPrediction = LabelPrediction()


TASK = Task(
    name="classify-pairs",
    examples="pairs",
    configuration=PairsConfig,
    input=JoinedTexts,
    answer=Label,
    reader=PairsReader(),
)


def column(name: str) -> TaskOption:
    return TaskOption(
        name=name, setting=f"data.{name}", metavar="NAME", help="A column of texts.", default=name
    )


ENTRY = table.TaskEntry(
    module=__name__,
    options=(
        train_files("Training table."), valid_files("Validation table."), column("first"), column("second"),
        options.LABEL, options.ENCODING, options.ENCODER,
    ),
    summary="Train a classifier of pairs.", description="One label per pair.",
    train_examples=("--train t.tsv --valid t.tsv --out r",), config_example=("--encoder gru", "--train t.tsv"),
)  # fmt: skip

SMALL = (
    "training.keep_freed_memory=false", "training.threads=1", "training.batch_tokens=60", "training.epochs=30",
    "training.learning_rate=0.02", "vocabulary.min_frequency=1", "inputs.word_width=8", "encoder.hidden=16",
)  # fmt: skip


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a table, which is the current one, and a command that has the task."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(table.ENTRIES, "classify-pairs", ENTRY)
    monkeypatch.setattr("heedful.cli.compare_run.subprocess_runner", in_this_process)
    monkeypatch.setattr(main, "app", main.build_app())
    rows = [f"{a} film\t{b} play\t{'same' if a == b else 'other'}" for a in "xy" for b in "xy"]
    lines = ["one\tsecond\tlabel", *rows * 6]
    Path("t.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path


def test_pairs_pass_every_command(place: Path) -> None:
    small = [word for setting in SMALL for word in ("--set", setting)]
    data = ("--train", "t.tsv", "--valid", "t.tsv", "--first", "one")
    for command in (
        ("train", "classify-pairs", *data, "--encoder", "window", "--out", "r", *small),
        ("explain", "r", "x film ; y play", "--out", "seen.html"),
        # compare has the options of the tasks that are in the table when it is imported
        ("compare", "classify-pairs", *data[:-2], "--set", "data.first=one", "--encoders", "none,window",
         "--seeds", "1", "--budget", "steps=2", "--lengths", "2,5", "--out", "c", *small),
    ):  # fmt: skip
        ran = run_command(*command)
        assert ran.status == 0, ran.stderr
        if command[0] == "train":
            assert "heedful explain r 'x film ; x play'" in ran.stdout
    found = json.loads(run_command("evaluate", "r", "--test", "t.tsv", "--json").stdout)
    assert found["texts"] == 24
    lines = run_command("predict", "r", "t.tsv").stdout.splitlines()
    assert lines[0] == "one\tsecond\tlabel\tpredicted\tpredicted_probability"
    assert lines[1].startswith("x film\tx play\tsame\t")


def test_pairs_from_python(place: Path) -> None:
    rows = [
        {"first": a, "second": b, "label": str(a == b)} for a in "xy" for b in "xy" for _ in "123"
    ]
    model = api.train(
        "classify-pairs", train=rows, valid=rows, out="r", encoder="none",
        training={"epochs": 1, "keep_freed_memory": False, "threads": 1}, vocabulary={"min_frequency": 1},
    )  # fmt: skip
    row, pair, text, nothing = model.predict(
        [{"first": "x", "second": "y"}, ("x", "y"), "x ; y", ("", "")]
    )
    assert row == pair == text
    assert nothing.label is None
    assert model.explain(("x", "y")).title.endswith("x ; y")
    with pytest.raises(
        DataError, match=r"input 2 is \('x',\) \(tuple\); expected a tuple of two texts"
    ):
        model.predict([("x", "y"), ("x",)])
    with pytest.raises(DataError, match="example 2 of train: there is no column 'second'"):
        api.train(
            "classify-pairs", train=[rows[0], {"first": "x", "label": "a"}], valid=rows, out="s"
        )
