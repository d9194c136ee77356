"""Base class of the sub-commands: options with two values, error messages and exit statuses."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Collection, Iterator, Sequence
from pathlib import PurePath
from typing import Any, Final

import typer
from typer.core import TyperCommand

from heedful.cli.choices import fill_choices
from heedful.errors import MESSAGE, HeedfulError, OptionError, escape_lines, shorten

FAILED: Final = 1
USAGE: Final = 2
INTERRUPTED: Final = 130

PAIR_OPTIONS: Final = ("--train", "--valid", "--test", "--columns")
"""Options that take one value or two, or several complete files."""
_SUFFIXES = (
    ".tsv", ".tab", ".csv", ".jsonl", ".ndjson", ".conllu", ".conll", ".bio", ".iob", ".ts", ".npy",
)  # fmt: skip
"""Extensions of files that hold inputs and answers both, unlike a file of two line-aligned ones."""


class HeedfulCommand(TyperCommand):
    """A command that accepts `--train A B` and prints an error as one message to standard error."""

    def __init__(self, *args: Any, help: str | None = None, **options: Any):
        # a line of \b keeps the formatter from rewrapping the paragraph
        unwrapped = help and help.replace("\nExample:\n", "\n\b\nExample:\n")
        super().__init__(*args, help=unwrapped, **options)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help with its placeholders replaced."""
        for parameter in self.params:
            if text := getattr(parameter, "help", None):
                parameter.help = fill_choices(text)  # type: ignore[attr-defined]
        super().format_help(ctx, formatter)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse `--train A B` as two values of one option; refuse arguments that are not UTF-8."""
        for number, word in enumerate(args, start=1):
            if not word.isascii() and _has_surrogate(word):
                shown = word.encode("ascii", "backslashreplace").decode()
                raise typer.BadParameter(
                    f"argument {number}, '{shown}', is not UTF-8; give text in UTF-8, and rename such a file."
                )
        options = [name for each in self.params for name in each.opts]
        return super().parse_args(ctx, rename_columns(expand_pairs(args), options))

    def invoke(self, ctx: Any) -> Any:
        with report_errors(), silence_libraries():
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result


def _has_surrogate(word: str) -> bool:
    # Imported here: the module imports `regex`, a quarter of the time of `heedful --help`.
    from heedful.data.words import has_surrogate

    return has_surrogate(word)


def expand_pairs(args: Sequence[str]) -> list[str]:
    """Rewrite `--train A B` as `--train A --train B`, the form that the parser accepts.

    No second value follows a built-in corpus or `a,b`, and only further tables follow a table.

    >>> expand_pairs(["--train", "a.en", "a.de", "--out", "run"])
    ['--train', 'a.en', '--train', 'a.de', '--out', 'run']
    >>> expand_pairs(["--test", "a.tsv", "b.tsv.gz", "run"])
    ['--test', 'a.tsv', '--test', 'b.tsv.gz', 'run']
    >>> expand_pairs(["--test", "builtin:dates", "run"])
    ['--test', 'builtin:dates', 'run']
    """
    expanded: list[str] = []
    rest = list(args)
    while rest:
        word = rest.pop(0)
        if word == "--":
            return [*expanded, word, *rest]
        option, equals, value = word.partition("=")
        expanded.append(word)
        if option not in PAIR_OPTIONS:
            continue
        if not equals and rest:
            value = rest.pop(0)
            expanded.append(value)
        if rest and not rest[0].startswith("-") and not _is_complete(option, value):
            expanded += [option, rest.pop(0)]
        while (
            option != "--columns"
            and _is_complete_file(value)
            and rest
            and _is_complete_file(rest[0])
        ):
            expanded += [option, rest.pop(0)]
    return expanded


def rename_columns(args: Sequence[str], options: Collection[str]) -> list[str]:
    """Rewrite chemprop's `--smiles-columns S --target-columns A B` as `--smiles S --target A,B`, or `--label A,B`.

    Args:
        args: the arguments.
        options: the options of the command; one without --smiles is left alone.

    >>> rename_columns(["--target-columns", "logS", "logP", "--out", "run"], ["--smiles", "--target"])
    ['--target', 'logS,logP', '--out', 'run']
    """
    if "--smiles" not in options:
        return list(args)
    # `compare` and `replicate` have the options of all tasks, and the name of theirs among the arguments.
    is_label = "--target" not in options or "classify-molecules" in args
    names = {
        "--smiles-columns": "--smiles",
        "--target-columns": "--label" if is_label else "--target",
    }
    renamed: list[str] = []
    first: int | None = None
    for word in args:
        option, equals, value = word.partition("=")
        if option in names:
            renamed.append(names[option] + equals + value)
            first = len(renamed) if option == "--target-columns" and not equals else None
        elif first is not None and len(renamed) > first and not word.startswith("-"):
            renamed[-1] += f",{word}"
        else:
            first = None if word.startswith("-") else first
            renamed.append(word)
    return renamed


def _is_complete(option: str, value: str) -> bool:
    if option == "--columns":
        return "," in value
    return value.startswith(("builtin:", "-")) or _is_complete_file(value)


def _is_complete_file(value: str) -> bool:
    path = PurePath(value)
    suffix = PurePath(path.stem).suffix if path.suffix == ".gz" else path.suffix
    return suffix.lower() in _SUFFIXES


@contextlib.contextmanager
def report_errors() -> Iterator[None]:
    """Turn errors that the user can fix into a message on standard error and an exit status."""
    try:
        yield
    except HeedfulError as error:
        print_error(str(error))
        raise typer.Exit(USAGE if isinstance(error, OptionError) else FAILED) from None
    except KeyboardInterrupt:
        print_error("interrupted", label="")
        raise typer.Exit(INTERRUPTED) from None
    except BrokenPipeError:
        _discard_standard_output()
        raise typer.Exit(FAILED) from None
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print_error(f"{where}{error.strerror or error}")
        raise typer.Exit(FAILED) from None
    except MemoryError:
        print_error(_NO_MEMORY)
        raise typer.Exit(FAILED) from None
    except RuntimeError as error:
        # PyTorch has an exception class for a full accelerator, but none for full main memory
        if "out of memory" not in str(error) and "can't allocate memory" not in str(error):
            raise
        print_error(_NO_MEMORY)
        raise typer.Exit(FAILED) from None


_NO_MEMORY: Final = (
    "out of memory; use smaller batches: --set training.batch_tokens=1024 for training, "
    "decoding.batch_tokens in the run's config.toml for translation"
)


def print_error(message: str, label: str = "error: ") -> None:
    """Write a message to standard error, with a red label if that is a terminal.

    Control characters are escaped, also where the message is that of the system, which may quote any path.
    """
    written = shorten(escape_lines(message), MESSAGE)
    typer.echo(typer.style(label, fg="red", bold=True) + written, err=True)


def _discard_standard_output() -> None:
    """Redirect standard output to the null device, so that the flush at exit does not fail on a closed pipe."""
    with contextlib.suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)


@contextlib.contextmanager
def silence_libraries() -> Iterator[None]:
    """Suppress warnings and logs of libraries; `python -W` and PYTHONWARNINGS re-enable the warnings."""
    for name in ("lightning_fabric", "lightning.fabric", "lightning_utilities", "matplotlib"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        if not sys.warnoptions:
            warnings.simplefilter("ignore")
        yield
