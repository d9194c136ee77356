"""Words with times as TextGrid, CTM and SRT: what is written is read back by the rules of each format."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence

import pytest

from heedful.data.timings import TIMING_FORMATS, TimedText, TimedWord, ctm, srt, text_grid
from heedful.errors import OptionError

WORDS = [
    TimedWord("one", 0.25, 0.5, 0.875),
    TimedWord('tw"o', 0.5, 0.75, 1.0),
    TimedWord("天", 3000.125, 3000.5),
]
TEXT = TimedText("my file.wav", 3700.0, WORDS)


def read_text_grid(grid: str) -> list[TimedWord]:
    """Read the intervals of a TextGrid in Praat's long format."""
    found = re.findall(r'xmin = (\S+)\s+xmax = (\S+)\s+text = "((?:[^"]|"")*)"', grid)
    return [TimedWord(text.replace('""', '"'), float(a), float(b)) for a, b, text in found]


def test_text_grid_covers_the_recording_without_gaps() -> None:
    grid = text_grid([TEXT])
    intervals = read_text_grid(grid)
    assert int(re.search(r"intervals: size = (\d+)", grid)[1]) == len(intervals)  # type: ignore[index]
    assert [(a.end, b.start) for a, b in itertools.pairwise(intervals) if a.end != b.start] == []
    assert (intervals[0].start, intervals[-1].end) == (0.0, TEXT.seconds)
    spoken = [word for word in intervals if word.text]
    assert spoken == [word._replace(confidence=None) for word in WORDS]


def test_text_grid_of_silence_is_one_empty_interval() -> None:
    assert read_text_grid(text_grid([TimedText("a", 2.0, [])])) == [TimedWord("", 0.0, 2.0)]


def test_ctm_is_read_back() -> None:
    rows = [line.split() for line in ctm([TEXT, TimedText("b", 1.0, [])]).splitlines()]
    assert {(row[0], row[1]) for row in rows} == {("my_file.wav", "1")}
    for row, word in zip(rows, WORDS, strict=True):
        assert row[4] == word.text
        assert float(row[2]) == pytest.approx(word.start, abs=5e-4)
        assert float(row[2]) + float(row[3]) == pytest.approx(word.end, abs=1e-3)
        assert [float(value) for value in row[5:]] == (
            [] if word.confidence is None else [word.confidence]
        )


def test_srt_is_numbered_and_in_order() -> None:
    words = [TimedWord(f"w{n}", 0.4 * n, 0.4 * n + 0.3) for n in range(20)]
    blocks = srt([TimedText("a", 3700.0, [*words, *WORDS[2:]])]).split("\n\n")
    assert [block.split("\n")[0] for block in blocks] == [str(n + 1) for n in range(len(blocks))]
    shown = [word for block in blocks for word in block.split("\n")[2].split()]
    assert shown == [word.text for word in words] + ["天"]
    assert blocks[-1].split("\n")[1] == "00:50:00,125 --> 00:50:00,500"
    assert all(len(block.split("\n")[2].split()) <= 10 for block in blocks)
    clock = re.compile(r"\d\d:\d\d:\d\d,\d{3} --> \d\d:\d\d:\d\d,\d{3}")
    assert all(clock.fullmatch(block.split("\n")[1]) for block in blocks)


@pytest.mark.parametrize("write", TIMING_FORMATS.values(), ids=TIMING_FORMATS)
@pytest.mark.parametrize(
    "words",
    [
        [TimedWord("a", 0.5, 0.4)],
        [TimedWord("a", 0.5, 1.4)],
        [TimedWord("a", -0.5, 0.4)],
        [TimedWord("a", 0.2, 0.6), TimedWord("b", 0.5, 0.7)],
    ],
)
def test_times_out_of_order_are_refused(
    write: Callable[[Sequence[TimedText]], str], words: list[TimedWord]
) -> None:
    with pytest.raises(OptionError, match=r"the word '.' is from .* expected times from"):
        write([TimedText("a.wav", 1.0, words)])


@pytest.mark.parametrize("write", [text_grid, srt])
def test_one_recording_a_file(write: Callable[[Sequence[TimedText]], str]) -> None:
    with pytest.raises(OptionError, match="holds one recording; got 2"):
        write([TEXT, TEXT])
