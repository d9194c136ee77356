"""Options of the commands that generate text: how outputs are searched for, and what they must hold."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from heedful.cli.options import Parameter

RUN_SETTING: Final = "the run's setting"


def _number(
    name: str, kind: Any, metavar: str, help: str, default: str | bool = RUN_SETTING
) -> Parameter:
    option = typer.Option(
        f"--{name.replace('_', '-')}", metavar=metavar, help=help, show_default=default
    )
    return name, Annotated[kind | None, option], None


def _flag(name: str, help: str) -> Parameter:
    return name, Annotated[bool, typer.Option(f"--{name.replace('_', '-')}", help=help)], False


def _text(name: str, kind: Any, metavar: str, help: str) -> Parameter:
    return _number(name, kind, metavar, help, default=False)


DECODING: Final[tuple[Parameter, ...]] = (
    _number("length_penalty", float, "POWER", "Generated text: exponent of the length penalty; 0: none."),
    _number("length_form", str, "FORM", "Form of the length penalty: gnmt, ((5 + length) / 6)^POWER, or power, "
            "length^POWER."),
    _number("coverage_penalty", float, "WEIGHT", "Lower the score of outputs that left parts of the source without "
            "attention."),
    _number("no_repeat_ngram", int, "N", "No N tokens in a row occur twice in an output; 0: any may."),
    _number("max_repetition", int, "N", "Tokens that repeats of one short sequence may cover; 0: any number."),
    _number("max_length_ratio", float, "RATIO", "Maximum tokens of an output per token of its source, plus 10."),
    _number("min_length_ratio", float, "RATIO", "Minimum tokens of an output per token of its source."),
    _text("prefix", str, "TEXT", "Outputs begin with these words."),
    _text("require", list[str], "PHRASE", "Outputs hold this phrase; repeatable."),
    _text("ban", list[str], "PHRASE", "Outputs do not hold this phrase; repeatable."),
    _flag("copy_unknown", "In the place of an unknown word put the part of the source that it attends to most."),
    _number("shortlist", int, "N", "Score only the N likeliest target tokens of each source token, where the run has "
            "learned them; 0: all."),
    _flag("int8", "Multiply the output layer in numbers of 8 bits, on a processor."),
    _flag("sample", "Draw outputs at random instead of searching for the best; with --nbest several."),
    _number("temperature", float, "T", "Of --sample: below 1 nearer to the best, above 1 further from it.", "1"),
    _number("top_p", float, "P", "Of --sample: draw among the fewest tokens whose probabilities sum to P.", "1"),
    _number("seed", int, "N", "Of --sample: another number draws other outputs.", "0"),
)  # fmt: skip
"""What `predict`, `evaluate` and `explain` have in common."""
TOP_K: Final = _number(
    "top_k", int, "N", "Of --sample: draw among the N most probable tokens.", "all"
)
PER_LINE: Final[tuple[Parameter, ...]] = (
    _text("prefix_file", Path, "FILE", "Line by line, the words that the output begins with; may be empty."),
    _text("require_file", Path, "FILE", "Line by line, the phrases that the output holds, with tabs between them."),
)  # fmt: skip


def search_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return decoding options as `Task.check_options` takes them, with the lines of their files.

    Raises: OptionError for a phrase given both for all lines and by a file; DataError for a file that cannot be read.
    """
    from heedful.errors import OptionError

    options = {name: value for name, value in given.items() if not name.endswith("_file")}
    for name in ("prefix", "require"):
        file = given.get(f"{name}_file")
        if file is None:
            continue
        if options.get(name):
            raise OptionError(f"--{name} and --{name}-file exclude each other; give one of them")
        lines = _lines(file)
        options[name] = (
            lines
            if name == "prefix"
            else [[part for part in line.split("\t") if part.strip()] for line in lines]
        )
    return options


def _lines(file: Path) -> list[str]:
    from heedful.data.files import iterate_lines

    return list(iterate_lines(file, advice=""))
