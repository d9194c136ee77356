"""The errors a caller can mend: what was got, what was wanted, where, and how to mend it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence, Sized
from itertools import islice
from pathlib import Path
from typing import Final

SHOWN: Final = 200
"""Maximum characters of one value that a message quotes."""
LISTED: Final = 30
"""Maximum names that a message lists."""
MESSAGE: Final = 2000
"""Maximum characters of a message."""

_CONTROL: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff"
    "\U000e0000-\U000e007f]"
)
"""Characters that move the cursor, turn text around or are invisible; not the joiners, which scripts need."""


class HeedfulError(ValueError):
    r"""Base of every error that the caller of Heedful can mend.

    Control characters in the message are escaped, but for line breaks, and a message of more than `MESSAGE`
    characters lacks its middle.

    >>> print(HeedfulError("got \x1b[2J"))
    got \x1b[2J
    """

    def __init__(self, message: str = ""):
        super().__init__(shorten(escape_lines(message), MESSAGE))


class ShapeError(HeedfulError):
    """A tensor has the wrong shape or rank."""


class DtypeError(HeedfulError):
    """A tensor has the wrong element type."""


class DeviceError(HeedfulError):
    """Tensors that meet in one call lie on different devices."""


class MaskError(HeedfulError):
    """A mask whose meaning is wrong or in doubt."""


class BackendError(HeedfulError):
    """A backend asked for by name cannot serve the call."""


class OptionError(HeedfulError):
    """An option or a choice that does not exist, or a value out of its range."""


class DataError(HeedfulError):
    """A file of data that cannot be used; the message names the file and, where there is one, the line."""

    def __init__(self, message: str, *, path: str | Path | None = None, line: int | None = None):
        file = "" if path is None else unquoted(path, 2 * SHOWN)
        self.where = file if path is None or line is None else f"{file}, line {line}"
        """File and line as far as they are known."""
        super().__init__(f"{self.where}: {message}" if self.where else message)
        self.path = None if path is None else Path(path)
        self.line = line


class RunError(HeedfulError):
    """A run folder that is missing, foreign, truncated or already there."""


def escape(text: str) -> str:
    r"""Escape control characters, characters that turn text around, and halves of surrogate pairs.

    >>> print(escape("a\n\u202eb"))
    a\n\u202eb
    """
    return _CONTROL.sub(lambda found: repr(found[0])[1:-1], text)


def escape_lines(text: str) -> str:
    """Escape as `escape` does, but keep line breaks."""
    return "\n".join(map(escape, text.split("\n")))


def shorten(text: str, limit: int = SHOWN) -> str:
    """Return a text of at most `limit` characters: in place of its middle there is how many are left out.

    >>> shorten("a" * 1000, 60)
    'aaaaaaaaaaaaaaaaaaa… (975 characters left out) …aaaaaa'
    """
    if len(text) <= limit:
        return text
    room = limit - 35
    start, end = room - room // 4, room // 4
    left_out = f"… ({len(text) - start - end:,} characters left out) …"
    return text[:start] + left_out + text[len(text) - end :]


def shown(value: object, limit: int = SHOWN) -> str:
    r"""Return how a message quotes a value: as Python writes it, shortened, with control characters escaped.

    >>> print(shown("a\x1b[2J"), len(shown("a" * 10_000)) <= 200)
    'a\x1b[2J' True
    """
    if isinstance(value, str):
        value = shorten(value, limit - 2)
    try:
        written = repr(value)
    except (
        ValueError,
        RecursionError,
    ):  # a number of thousands of digits, or a list of thousands of levels
        written = f"a {type(value).__name__} too large to show"
    return shorten(written, limit)


def unquoted(value: object, limit: int = SHOWN) -> str:
    """Return how a message shows a value without quotation marks, such as a path: shortened and on one line."""
    return shorten(escape(shorten(str(value), limit)), limit)


def listed(names: Iterable[object], limit: int = LISTED) -> str:
    """Return names separated by commas; of more than `limit` the first ones, and how many there are.

    >>> listed("abc", 2)
    'a, b, … (3 in all)'
    """
    names = names if isinstance(names, Sized) else list(names)
    shown_names = ", ".join(unquoted(name, 40) for name in islice(names, limit))
    return shown_names if len(names) <= limit else f"{shown_names}, … ({len(names):,} in all)"


class WriteError(RunError):
    """A file of a run that cannot be written; what was there before is as it was."""

    def __init__(self, path: str | Path, cause: OSError, advice: str = ""):
        super().__init__(
            f"{path} cannot be written: {cause.strerror or cause}{f'. {advice}' if advice else ''}"
        )
        self.path = Path(path)
        self.cause = cause


class NonFiniteError(HeedfulError):
    """A model whose output for some input holds NaN or infinity.

    `row` is the index of the first such input among those given; the model says so of a batch, and each caller that
    knows more replaces it by the input's number, file and line.
    """

    def __init__(self, row: int, where: str = ""):
        super().__init__(
            f"{where or f'input {row + 1}'}: the model's output holds NaN or infinity, so there is no prediction; the "
            "weights are damaged or the input holds extreme numbers. Train again with a lower learning rate, or "
            "remove the input."
        )
        self.row = row


class DivergedError(HeedfulError):
    """A training that ended as its loss, gradient or weights were no longer finite; its last checkpoint is kept.

    Attributes:
        problem: what was not finite, as a sentence.
        step: the step, counted from 1, at which it was noticed.
        learning_rate: a peak learning rate to go on with.
    """

    def __init__(self, problem: str, cure: str, *, step: int, learning_rate: float):
        super().__init__(f"{problem} {cure}")
        self.problem, self.step, self.learning_rate = problem, step, learning_rate


class LostProcessError(HeedfulError):
    """A training that ended as another of its processes ended or did not answer; it can be resumed.

    Attributes:
        missing: the indices of the processes that are gone, as far as known.
    """

    def __init__(self, missing: Sequence[int], processes: int, seconds: float):
        names = ", ".join(map(str, missing)) or "some process"
        which = f"process{'es' if len(missing) > 1 else ''} {names}" if missing else names
        super().__init__(
            f"{which} of the {processes} that train together ended, or did not answer in time (training.peer_seconds = "
            f"{seconds:g}). The run keeps its last checkpoint; resume it, with any number of processes"
        )
        self.missing = tuple(missing)
        self.speaker = min(set(range(processes)) - set(missing), default=0)
        """The index of the process that says so."""


class StoppedError(HeedfulError):
    """A training that ended early because it was asked to; it can be resumed from its checkpoint."""


def count(number: int, what: str) -> str:
    """Write how many there are of something.

    >>> count(1, "column"), count(9, "column")
    ('1 column', '9 columns')
    """
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def nearest(got: str, choices: Iterable[str]) -> str | None:
    """Return the choice spelt most like `got`, or None when none is near.

    >>> nearest("aditive", ["dot", "additive"])
    'additive'
    """
    near = difflib.get_close_matches(got[:SHOWN], list(islice(choices, 1000)), n=1, cutoff=0.5)
    return near[0] if near else None


def unknown_choice(kind: str, got: object, choices: Iterable[str]) -> OptionError:
    """Build the error for a name that is in no table, naming the nearest one that is.

    >>> print(unknown_choice("score", "aditive", ["dot", "additive"]))
    unknown score 'aditive'; did you mean 'additive'? The choices are: dot, additive.
    """
    names = list(choices)
    near = nearest(str(got), names)
    hint = f"; did you mean {shown(near)}?" if near else "."
    return OptionError(f"unknown {kind} {shown(got)}{hint} The choices are: {listed(names)}.")
