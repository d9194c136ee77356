"""Words with times, and the files that hold them: TextGrid, CTM, SRT."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from heedful.errors import OptionError


class TimedWord(NamedTuple):
    """A word and when it is spoken."""

    text: str
    start: float
    """In seconds from the start of the recording."""
    end: float
    confidence: float | None = None
    """Its probability, from 0 to 1, where there is one."""


class TimedText(NamedTuple):
    """The words of one recording, in order."""

    name: str
    """Of the recording."""
    seconds: float
    """Its length."""
    words: Sequence[TimedWord]


def check_times(text: TimedText) -> None:
    """Raise OptionError unless the words are in order, in the recording, and do not overlap."""
    before = 0.0
    for word in text.words:
        if not before <= word.start <= word.end <= text.seconds:
            raise OptionError(
                f"{text.name}: the word {word.text!r} is from {word.start} to {word.end} s; expected times from "
                f"{before} to {text.seconds} s, the start before the end."
            )
        before = word.end


def text_grid(texts: Sequence[TimedText]) -> str:
    """Return a Praat TextGrid of one recording, with one interval tier "words" that covers all of it.

    Pauses are intervals without text.

    Raises: OptionError for more or fewer recordings than one, or times out of order.

    >>> grid = text_grid([TimedText("a.wav", 1.5, [TimedWord("two", 0.25, 1.0)])])
    >>> [line.strip() for line in grid.splitlines() if "text" in line]
    ['text = ""', 'text = "two"', 'text = ""']
    """
    if len(texts) != 1:
        raise OptionError(
            f"a TextGrid holds one recording; got {len(texts)}. Write one file for each, or CTM."
        )
    [text] = texts
    check_times(text)
    intervals: list[TimedWord] = []
    before = 0.0
    for word in [*text.words, TimedWord("", text.seconds, text.seconds)]:
        if word.start > before:
            intervals.append(TimedWord("", before, word.start))
        if word.end > word.start:
            intervals.append(word)
        before = word.end
    lines = [
        'File type = "ooTextFile"',
        'Object class = "TextGrid"',
        "",
        "xmin = 0",
        f"xmax = {_number(text.seconds)}",
        "tiers? <exists>",
        "size = 1",
        "item []:",
        "    item [1]:",
        '        class = "IntervalTier"',
        '        name = "words"',
        "        xmin = 0",
        f"        xmax = {_number(text.seconds)}",
        f"        intervals: size = {len(intervals)}",
    ]
    for number, word in enumerate(intervals, start=1):
        lines += [
            f"        intervals [{number}]:",
            f"            xmin = {_number(word.start)}",
            f"            xmax = {_number(word.end)}",
            '            text = "{}"'.format(word.text.replace('"', '""')),
        ]
    return "\n".join(lines) + "\n"


def _number(seconds: float) -> str:
    return f"{round(seconds, 6):.12g}"


def ctm(texts: Sequence[TimedText]) -> str:
    r"""Return NIST CTM lines: recording, channel 1, start, duration, word and, where there is one, confidence.

    Spaces in names of recordings become underscores.

    Raises: OptionError for times out of order.

    >>> ctm([TimedText("a.wav", 1.5, [TimedWord("two", 0.25, 1.0, 0.9)])])
    'a.wav 1 0.250 0.750 two 0.900\n'
    """
    lines = []
    for text in texts:
        check_times(text)
        name = "_".join(text.name.split()) or "-"
        for word in text.words:
            shown = "" if word.confidence is None else f" {word.confidence:.3f}"
            start, end = round(word.start, 3), round(word.end, 3)
            lines.append(f"{name} 1 {start:.3f} {end - start:.3f} {word.text}{shown}\n")
    return "".join(lines)


SRT_WORDS: Final = 10
SRT_SECONDS: Final = 5.0
SRT_PAUSE: Final = 1.0
"""A subtitle ends after so many words or seconds, or before a pause of so many seconds."""


def srt(texts: Sequence[TimedText]) -> str:
    """Return SubRip subtitles of one recording, of at most 10 words and about 5 seconds each.

    Raises: OptionError for more or fewer recordings than one, or times out of order.

    >>> print(srt([TimedText("a.wav", 3661.5, [TimedWord("two", 3660.25, 3661.0)])]), end="")
    1
    01:01:00,250 --> 01:01:01,000
    two
    """
    if len(texts) != 1:
        raise OptionError(
            f"an SRT file holds one recording; got {len(texts)}. Write one file for each, or CTM."
        )
    check_times(texts[0])
    groups: list[list[TimedWord]] = []
    for word in texts[0].words:
        group = groups[-1] if groups else []
        if (
            not group
            or len(group) == SRT_WORDS
            or word.end - group[0].start > SRT_SECONDS
            or word.start - group[-1].end > SRT_PAUSE
        ):
            groups.append([word])
        else:
            group.append(word)
    return "\n".join(
        f"{number}\n{_clock(group[0].start)} --> {_clock(group[-1].end)}\n"
        + " ".join(word.text for word in group)
        + "\n"
        for number, group in enumerate(groups, start=1)
    )


def _clock(seconds: float) -> str:
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02},{rest % 1000:03}"


TIMING_FORMATS: Final[dict[str, Callable[[Sequence[TimedText]], str]]] = {
    "textgrid": text_grid,
    "ctm": ctm,
    "srt": srt,
}
"""Name of a format -> its writer."""
