"""Input from anywhere: pipes, endless lines, gzip data that explode, sentences and rows without an end."""

from __future__ import annotations

import gzip
import io
import itertools
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from heedful.cli import main
from heedful.data import opening
from heedful.data.decoding import decode_lines
from heedful.data.files import iterate_lines, read_lines, read_pairs
from heedful.data.labelled import LabelledFile, iterate_sentences
from heedful.data.opening import MAX_LINE, MAX_RATIO, bounded_lines
from heedful.data.series.tables import SeriesColumns, read_series
from heedful.data.tables import CsvTable
from heedful.errors import DataError
from tests.attack.isolated import isolated
from tests.attack.run_folder_cases import OLD_RUNS

INPUTS = {
    "translate-gru": "ein hund\n\nzwei\n",
    "classify-lstm": "text\nWho was he ?\nHow far is it ?\n",
    "regress-gru": "text\nWho was he ?\n",
    "tag-lstm-chain": "1\tdogs\t_\t_\t_\t_\t_\t_\t_\t_\n\n",
}
"""The input of a stored run, in the format of its training data."""
SUFFIXES = {"translate-gru": ".txt", "tag-lstm-chain": ".conllu", "regress-gru": ".csv"}


def predict(name: str, file: Path | str, *options: str) -> tuple[int, str, str]:
    command = ["predict", str(OLD_RUNS / name), str(file), "-q", *options]
    found = CliRunner().invoke(main.app, command, prog_name="heedful")
    if found.exception is not None and not isinstance(found.exception, SystemExit):
        raise found.exception
    return found.exit_code, found.stdout, found.stderr


@pytest.mark.parametrize("name", INPUTS)
def test_a_pipe_is_predicted_as_a_file_is(name: str, tmp_path: Path) -> None:
    suffix = SUFFIXES.get(name, ".tsv")
    file, pipe = tmp_path / f"file{suffix}", tmp_path / "pipe"
    file.write_text(INPUTS[name], encoding="utf-8")
    os.mkfifo(pipe)
    wanted = predict(name, file)
    assert wanted[0] == 0, wanted
    writer = threading.Thread(target=pipe.write_text, args=(INPUTS[name],))
    writer.start()
    assert predict(name, pipe) == wanted
    writer.join()


@pytest.mark.parametrize(
    "shell",
    [
        "cat in | {} /dev/stdin",
        *(
            pytest.param(way, marks=pytest.mark.long)
            for way in ("{} <(cat in)", "{} /dev/stdin < in", "{} < in")
        ),
    ],
)
def test_a_shell_gives_input_in_any_way(shell: str, tmp_path: Path) -> None:
    (tmp_path / "in").write_text(INPUTS["translate-gru"], encoding="utf-8")
    command = f"{sys.executable} -m heedful predict -q {OLD_RUNS / 'translate-gru'}"
    ran = subprocess.run(
        ["bash", "-c", shell.format(command)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout == predict("translate-gru", tmp_path / "in")[1]
    assert ran.stdout.count("\n") == 3


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_what_is_read_more_than_once_is_a_file(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "pipe.npy" if kind == "pipe" else Path("/dev/zero")
    if kind == "pipe":
        os.mkfifo(path)
    for read in (lambda: read_pairs(path, path), lambda: read_series(path, SeriesColumns())):
        with pytest.raises(DataError, match="a pipe or a device, which can be read only once"):
            read()


def test_an_endless_line_meets_the_limit(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"line 1: the line is longer than 10,000,000 bytes.*--max-line"
    ):
        next(iterate_lines("/dev/zero", may_be_pipe=True))
    outcome = isolated(lambda: next(iterate_lines("/dev/zero", may_be_pipe=True)), tmp_path)
    assert outcome.kind == "refused"


def test_a_line_is_counted_without_its_ending() -> None:
    lines = [b"abc\n", b"abc\r\n", b"abc"]
    assert list(bounded_lines(io.BytesIO(b"".join(lines)), "x", 3)) == lines
    for number, line in enumerate((b"abcd\n", b"abcd\r\n", b"abcd", b"a" * 100), start=1):
        with pytest.raises(DataError, match=f"x, line {number}: the line is longer than 3 bytes"):
            list(bounded_lines(io.BytesIO(b"a\n" * (number - 1) + line), "x", 3))


@pytest.mark.parametrize("options", [(), ("--max-line", "20")])
def test_the_command_has_the_limit(options: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "new.txt").write_text("a short line\n" + "hund " * 20 + "\n", encoding="utf-8")
    status, written, message = predict("translate-gru", tmp_path / "new.txt", *options)
    assert status == bool(options)
    assert not options or "line 2: the line is longer than 20 bytes" in message
    assert (written == "") == bool(options)


def test_a_line_of_another_encoding_is_bounded_and_read_in_linear_time() -> None:
    """U+0A0A is two bytes that look like line ends in UTF-16: 200,000 parts of one line."""
    raw = ("\u0a0a" * 100_000).encode("utf-16-le")
    parts = list(bounded_lines(io.BytesIO(raw), "x"))
    assert len(parts) == 200_000
    assert list(decode_lines(parts, "x", "utf-16-le")) == ["\u0a0a" * 100_000]
    with pytest.raises(DataError, match="x, line 1: the line is longer than 1,000 bytes"):
        list(decode_lines(parts, "x", "utf-16-le", max_line=1000))
    text = "a\r\nb\n\nc"
    assert list(decode_lines([text.encode("utf-16")], "x", "utf-16")) == ["a", "b", "", "c"]


@pytest.mark.parametrize("content", [b"\n", b"a" * 1000 + b"\n", b"1,2\n"])
def test_gzip_data_that_explode_are_refused(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "FREE_BYTES", 100_000)
    path = tmp_path / "a.txt.gz"
    path.write_bytes(gzip.compress(content * (1_000_000 // len(content))))
    with pytest.raises(DataError, match=f"expand to more than {MAX_RATIO} times their size"):
        read_lines(path)
    path.write_bytes(gzip.compress(os.urandom(500_000).hex().encode()))
    assert len(read_lines(path)) == 1


def test_a_gzip_bomb_fits_into_little_memory(tmp_path: Path) -> None:
    zeros = gzip.compress(bytes(20_000_000))
    (tmp_path / "a.gz").write_bytes(zeros * 100)  # one line of 2 GB
    (tmp_path / "b.gz").write_bytes(gzip.compress((b"a" * 99 + b"\n") * 200_000) * 100)
    for name in ("a.gz", "b.gz"):
        outcome = isolated(lambda name=name: read_lines(tmp_path / name), tmp_path, memory=2**29)
        assert outcome.kind == "refused", outcome


def test_rows_and_sentences_of_many_lines_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("heedful.data.tables.MAX_ROW", 1000)
    monkeypatch.setattr("heedful.data.label_base.MAX_ROW", 1000)
    endless = itertools.chain(["text,label", '"a'], itertools.repeat("b" * 10))
    with pytest.raises(
        DataError, match=r"line 2: the row that starts here is longer than 1,000 characters"
    ):
        list(CsvTable().rows(Path("a.csv"), endless, ["text"]))
    file_format = LabelledFile().reader("a.conll")
    with pytest.raises(DataError, match=r"line 2: the sentence is longer than 1,000 characters"):
        list(
            file_format.read(Path("a.conll"), itertools.chain([""], itertools.repeat("dogs NOUN")))
        )


def test_a_sentence_has_the_limit_of_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.conll"
    path.write_text("dogs NOUN\n" + "x" * 100 + " NOUN\n", encoding="utf-8")
    with pytest.raises(DataError, match="line 2: the line is longer than 50 bytes"):
        list(iterate_sentences(path, LabelledFile(max_line=50)))
    assert LabelledFile().max_line == MAX_LINE


@pytest.mark.parametrize("shape", [(10**12, 2), (2**62, 4), (3, 2)])
def test_an_array_is_as_large_as_its_file(shape: tuple[int, ...], tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.ones((2, 2)))
    path.write_bytes(path.read_bytes().replace(b"(2, 2), }", f"{shape}, }}".encode()))
    outcome = isolated(lambda: read_series(path, SeriesColumns(), answers=False), tmp_path)
    assert outcome.kind == "refused"
    assert "not a NumPy array of numbers" in outcome.detail
