"""What every sub-command shares: options of two values, and errors as one message and a status."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import PurePath
from typing import Any, Final

import typer
from typer.core import TyperCommand

from heedful.cli.choices import with_choices
from heedful.data.words import has_surrogate
from heedful.errors import HeedfulError, OptionError

FAILED: Final = 1
USAGE: Final = 2
INTERRUPTED: Final = 130

PAIRED: Final = ("--train", "--valid", "--test", "--columns")
"""Options that take one value or two."""
_TABLES: Final = (".tsv", ".tab", ".csv", ".jsonl", ".ndjson", ".conllu", ".conll", ".bio", ".iob")


class HeedfulCommand(TyperCommand):
    """A command whose errors are one message on standard error, and whose pairs are `--train A B`."""

    def __init__(self, *args: Any, help: str | None = None, **options: Any):
        # A line of \b tells the formatter to leave the lines of the paragraph as they are.
        kept = help and help.replace("\nExample:\n", "\n\b\nExample:\n")
        super().__init__(*args, help=kept, **options)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help, with the names of tables in place of their placeholders."""
        for parameter in self.params:
            if text := getattr(parameter, "help", None):
                parameter.help = with_choices(text)  # type: ignore[attr-defined]
        super().format_help(ctx, formatter)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take `--train A B` as two values of one option; refuse what is not UTF-8."""
        for number, word in enumerate(args, start=1):
            if has_surrogate(word):
                shown = word.encode("ascii", "backslashreplace").decode()
                raise typer.BadParameter(
                    f"argument {number}, '{shown}', is not UTF-8; give text in UTF-8, and rename such a file."
                )
        return super().parse_args(ctx, repeat_paired(args))

    def invoke(self, ctx: Any) -> Any:
        with errors_as_messages(), quiet_libraries():
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result


def repeat_paired(args: Sequence[str]) -> list[str]:
    """Write `--train A B` as `--train A --train B`, which is how the parser knows two values.

    A built-in corpus, a table and `a,b` are complete with one value.

    >>> repeat_paired(["--train", "a.en", "a.de", "--out", "run"])
    ['--train', 'a.en', '--train', 'a.de', '--out', 'run']
    >>> repeat_paired(["--test", "builtin:dates", "run"])
    ['--test', 'builtin:dates', 'run']
    """
    written: list[str] = []
    rest = list(args)
    while rest:
        word = rest.pop(0)
        if word == "--":
            return [*written, word, *rest]
        option, equals, value = word.partition("=")
        written.append(word)
        if option not in PAIRED:
            continue
        if not equals and rest:
            value = rest.pop(0)
            written.append(value)
        if rest and not rest[0].startswith("-") and not _complete(option, value):
            written += [option, rest.pop(0)]
    return written


def _complete(option: str, value: str) -> bool:
    if option == "--columns":
        return "," in value
    path = PurePath(value)
    suffix = PurePath(path.stem).suffix if path.suffix == ".gz" else path.suffix
    return value.startswith(("builtin:", "-")) or suffix.lower() in _TABLES


@contextlib.contextmanager
def errors_as_messages() -> Iterator[None]:
    """Turn what a person can mend into a message on standard error and an exit status."""
    try:
        yield
    except HeedfulError as error:
        print_error(str(error))
        raise typer.Exit(USAGE if isinstance(error, OptionError) else FAILED) from None
    except KeyboardInterrupt:
        print_error("stopped", label="")
        raise typer.Exit(INTERRUPTED) from None
    except BrokenPipeError:
        _forget_standard_output()
        raise typer.Exit(FAILED) from None
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print_error(f"{where}{error.strerror or error}")
        raise typer.Exit(FAILED) from None
    except MemoryError:
        print_error(_NO_MEMORY)
        raise typer.Exit(FAILED) from None
    except RuntimeError as error:
        # PyTorch has a class for a full accelerator and none for a full main memory
        if "out of memory" not in str(error) and "can't allocate memory" not in str(error):
            raise
        print_error(_NO_MEMORY)
        raise typer.Exit(FAILED) from None


_NO_MEMORY: Final = (
    "not enough memory; smaller batches need less: --set training.batch_tokens=1024 for training, "
    "decoding.batch_tokens in the run's config.toml for translating"
)


def print_error(message: str, label: str = "error: ") -> None:
    """Write a message to standard error, in red where that is a terminal."""
    typer.echo(typer.style(label, fg="red", bold=True) + message, err=True)


def _forget_standard_output() -> None:
    """Whoever read it has gone: let Python's last flush go nowhere instead of complaining."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """Keep what libraries say to their developers from the people who use the command.

    `python -W` and PYTHONWARNINGS bring the warnings back.
    """
    for name in ("lightning_fabric", "lightning.fabric", "lightning_utilities", "matplotlib"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        if not sys.warnoptions:
            warnings.simplefilter("ignore")
        yield
