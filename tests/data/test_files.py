from __future__ import annotations

import gzip
import io
import os
import threading
from pathlib import Path

import pytest

from heedful.data.decoding import decode_lines
from heedful.data.files import (
    Pairs,
    check_file,
    iterate_lines,
    read_lines,
    read_pairs,
)
from heedful.errors import DataError, OptionError
from tests.conftest import CORPORA

MULTI30K = CORPORA / "multi30k"


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_lines_end_in_lf_or_crlf_and_in_nothing_else(tmp_path: Path) -> None:
    # Form feed, U+2028 and U+0085 end lines for str.splitlines, and for no other tool.
    path = write(tmp_path / "a.txt", "one\r\ntwo\x0cstill\u2028two\x85!\n\nfour\rstill four")
    assert read_lines(path) == ["one", "two\x0cstill\u2028two\x85!", "", "four\rstill four"]


@pytest.mark.parametrize("end", ["", "\n"])
def test_the_last_line_may_lack_its_end(tmp_path: Path, end: str) -> None:
    assert read_lines(write(tmp_path / "a.txt", "one\ntwo" + end)) == ["one", "two"]


def test_a_byte_order_mark_is_dropped_at_the_start_alone(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "\ufeffone\n\ufefftwo\n")
    assert read_lines(path) == ["one", "\ufefftwo"]


@pytest.mark.parametrize("name", ["a.txt.gz", "a.txt"])
def test_gzip_is_detected_by_content(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, gzip.compress("Grüße\n你好\n".encode()))
    assert read_lines(path) == ["Grüße", "你好"]


def test_gzip_of_several_members_is_read_whole(tmp_path: Path) -> None:
    path = write(tmp_path / "a.gz", gzip.compress(b"one\n") + gzip.compress(b"two\n"))
    assert read_lines(path) == ["one", "two"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize("content", [b"one\ntwo\n", gzip.compress(b"one\ntwo\n", mtime=0)])
def test_a_pipe_is_read_where_once_is_enough(tmp_path: Path, content: bytes) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(content,))
    writer.start()
    with pytest.raises(DataError, match="this is a pipe or a device, which can be read only once"):
        read_lines(pipe)
    assert list(iterate_lines(pipe, may_be_pipe=True)) == ["one", "two"]
    writer.join()


def test_lines_are_streamed() -> None:
    def stream() -> object:
        yield b"one\n"
        raise AssertionError("the second line was asked for too early")

    assert next(decode_lines(stream(), "stream")) == "one"  # type: ignore[arg-type]


def test_no_file_stays_open(tmp_path: Path) -> None:
    # An open file would warn when it is collected, and warnings are errors.
    path = write(tmp_path / "a.gz", gzip.compress(b"one\ntwo\n"))
    lines = iterate_lines(path)
    assert next(lines) == "one"
    del lines
    with pytest.raises(DataError, match="not UTF-8"):
        read_lines(write(tmp_path / "b", b"\xff\n"))


def test_invalid_utf8_names_file_line_and_byte(tmp_path: Path) -> None:
    path = write(tmp_path / "latin.de", b"gut\nauch gut\nsch\xf6n\n")
    with pytest.raises(
        DataError, match=r"latin\.de, line 3: byte 4 of the line \(0xf6\) is not UTF-8; save"
    ) as caught:
        read_lines(path)
    assert (caught.value.path, caught.value.line) == (path, 3)


def test_invalid_utf8_inside_gzip_names_the_line(tmp_path: Path) -> None:
    path = write(tmp_path / "a.gz", gzip.compress(b"gut\n\xe9\n"))
    with pytest.raises(DataError, match=r"a\.gz, line 2: byte 1 of the line \(0xe9\)"):
        read_lines(path)


def test_standard_input_is_named_as_the_caller_names_it() -> None:
    with pytest.raises(DataError, match=r"^standard input, line 2: byte 1"):
        list(decode_lines(io.BytesIO(b"ok\n\x80\n"), "standard input"))


def test_utf16_is_recognised(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "hello\n".encode("utf-16"))
    with pytest.raises(DataError, match=r"line 1: this is UTF-16, not UTF-8; save the file"):
        read_lines(path)


GUESSES = {
    "cp1252": "schön – café",
    "gb18030": "早餐太差，没有",
    "cp1251": "Привет, мир",
    "utf-16-le": "hello",
    "utf-16-be": "hello",
}


@pytest.mark.parametrize("encoding", GUESSES)
def test_the_likely_encoding_is_named_and_reads_the_file(tmp_path: Path, encoding: str) -> None:
    path = write(tmp_path / "a.txt", (GUESSES[encoding] + "\n").encode(encoding))
    with pytest.raises(DataError, match=f"line 1: .* read it with --encoding {encoding}, which"):
        read_lines(path)
    assert read_lines(path, encoding) == [GUESSES[encoding]]


def test_what_another_encoding_cannot_read_names_the_line(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", b"one\ntwo\n\x81\n")
    with pytest.raises(DataError, match=r"a\.txt, line 3: not cp1252 \(.*name the encoding"):
        read_lines(path, "cp1252")
    with pytest.raises(OptionError, match="unknown encoding 'cp-none'; give one such as"):
        read_lines(path, "cp-none")
    with pytest.raises(OptionError, match="unknown encoding 'base64'"):
        read_lines(path, "base64")


def test_a_missing_file_names_the_nearest(tmp_path: Path) -> None:
    write(tmp_path / "train.de.gz", b"")
    write(tmp_path / "other", b"")
    with pytest.raises(DataError, match=r"train\.de: no such file; did you mean '.*train\.de\.gz'"):
        read_lines(tmp_path / "train.de")


def test_a_missing_file_with_nothing_near(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"train\.de: no such file\.$"):
        read_lines(tmp_path / "train.de")


def test_a_missing_folder_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no such file, and no folder '.*nowhere'\.$"):
        check_file(tmp_path / "nowhere" / "train.de")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="this is a folder; expected a file"):
        read_lines(tmp_path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read all")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a", b"one\n")
    path.chmod(0)
    with pytest.raises(DataError, match="cannot be read: Permission denied"):
        read_lines(path)


def test_a_file_that_cannot_be_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a", b"one\n")

    def refuse(self: Path, mode: str) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(DataError, match="a: cannot be read: Permission denied"):
        read_lines(path)


@pytest.mark.parametrize("content", [b"", gzip.compress(b"", mtime=0), b"\xef\xbb\xbf"])
def test_an_empty_file(tmp_path: Path, content: bytes) -> None:
    path = write(tmp_path / "a.gz" if content[:1] != b"\xef" else tmp_path / "a", content)
    with pytest.raises(DataError, match="the file is empty"):
        read_lines(path)


def test_gz_that_is_no_gzip(tmp_path: Path) -> None:
    path = write(tmp_path / "a.gz", b"plain text\n")
    with pytest.raises(DataError, match=r"the name ends in \.gz but the file is not gzip data"):
        read_lines(path)


@pytest.mark.parametrize("damage", ["cut", "garbage after", "flipped"])
def test_damaged_gzip(tmp_path: Path, damage: str) -> None:
    whole = gzip.compress(os.urandom(3000).hex().encode() + b"\n")
    if damage == "cut":
        content = whole[: len(whole) // 2]
    elif damage == "garbage after":
        content = whole + b"garbage"
    else:
        content = whole[:40] + bytes(byte ^ 0xFF for byte in whole[40:80]) + whole[80:]
    with pytest.raises(DataError, match=r"line \d+: the gzip data is damaged or truncated"):
        read_lines(write(tmp_path / "a.gz", content))


def test_pairs_of_two_files(tmp_path: Path) -> None:
    source = write(tmp_path / "a.en", "one\ntwo\n")
    target = write(tmp_path / "a.de.gz", gzip.compress(b"eins\r\nzwei\r\n"))
    pairs = read_pairs(source, target)
    assert pairs == Pairs(["one", "two"], ["eins", "zwei"], name="a.en + a.de.gz")
    assert list(pairs) == [("one", "eins"), ("two", "zwei")]


@pytest.mark.parametrize("short_is_source", [True, False])
def test_unequal_lengths_say_which_ends_first_and_where(
    tmp_path: Path, short_is_source: bool
) -> None:
    short = write(tmp_path / "short", "one\ntwo\n")
    long = write(tmp_path / "long", "eins\nzwei\ndrei\n")
    with pytest.raises(
        DataError,
        match=r"short, line 2: this file ends first: it has 2 lines and .*long has 3; line i",
    ) as caught:
        read_pairs(*((short, long) if short_is_source else (long, short)))
    assert (caught.value.path, caught.value.line) == (short, 2)


@pytest.mark.parametrize("blank", ["", "  \t", "\u3000"])
@pytest.mark.parametrize("side", [0, 1])
def test_empty_lines_are_refused_with_file_and_line(tmp_path: Path, blank: str, side: int) -> None:
    good = write(tmp_path / "good", "one\ntwo\nthree\n")
    bad = write(tmp_path / "bad", f"one\n{blank}\nthree\n")
    with pytest.raises(DataError, match=r"bad, line 2: the line is empty; remove the pair"):
        read_pairs(*((bad, good) if side == 0 else (good, bad)))


def test_pairs_must_be_equally_many() -> None:
    with pytest.raises(DataError, match="pairs has 2 source texts and 1 target texts"):
        Pairs(["a", "b"], ["c"])


@pytest.mark.skipif(not MULTI30K.is_dir(), reason="the corpus multi30k is not here")
def test_multi30k_is_read_whole() -> None:
    pairs = read_pairs(MULTI30K / "train.en.gz", MULTI30K / "train.de.gz")
    assert len(pairs) == 29_000
    assert pairs.target[0].startswith("Zwei junge weiße Männer sind im Freien")
