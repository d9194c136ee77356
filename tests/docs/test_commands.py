"""The commands that the documentation prints are commands that exist, and CI runs the README's own."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from heedful.cli.main import app
from tests.docs.blocks import ROOT, blocks, heedful_commands, label, pages

COMMANDS = [
    pytest.param(words, id=f"{label(page)}: {' '.join(words)}")
    for page in pages()
    for words in heedful_commands(page.read_text(encoding="utf-8"))
]


def parse(command: Any, words: list[str], parent: Any = None) -> None:
    """Parse the words as the command would, down to the last sub-command, and run nothing.

    Typer brings its own copy of Click in some versions, so a group is told by what it can do.
    """
    context = command.make_context(command.name, list(words), parent=parent)
    if hasattr(command, "resolve_command"):
        rest = [*getattr(context, "_protected_args", []), *context.args]
        _, inner, remaining = command.resolve_command(context, rest)
        parse(inner, remaining, context)


@pytest.mark.parametrize("words", COMMANDS)
def test_printed_commands_parse(words: list[str]) -> None:
    parse(get_command(app), words)


def test_a_misspelt_option_would_be_found() -> None:
    with pytest.raises(Exception, match="No such option"):
        parse(get_command(app), ["demo", "--no-such-option"])


def all_commands(command: Any, path: str = "heedful") -> Iterator[tuple[str, Any]]:
    """Yield each command that does something, with the words that name it."""
    if not hasattr(command, "commands"):
        yield path, command
        return
    for name, inner in command.commands.items():
        yield from all_commands(inner, f"{path} {name}")


@pytest.mark.parametrize(
    ("path", "command"),
    [pytest.param(*each, id=each[0]) for each in all_commands(get_command(app))],
)
def test_help_has_examples_that_parse(path: str, command: Any) -> None:
    after = command.help.partition("Example:")[2]
    lines = [line.strip() for line in after.splitlines() if "heedful" in line]
    examples = list(heedful_commands("```sh\n" + "\n".join(lines) + "\n```\n"))
    assert examples
    assert any(" ".join(["heedful", *words]).startswith(path) for words in examples)
    for words in examples:
        parse(get_command(app), words)


def readme_set_up_commands() -> list[str]:
    """Return the README's commands that begin with making a virtual environment."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    lines = [line for block in blocks(text, "sh") for line in block.code.splitlines()]
    return [line for line in lines if line.startswith("python3 -m venv")]


def test_readme_has_the_two_commands() -> None:
    demo, test = readme_set_up_commands()
    assert demo.endswith("heedful demo")
    assert test.endswith("python -m pytest -n 2 --dist loadfile")


def test_ci_runs_the_readme_test_command_word_for_word() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert readme_set_up_commands()[1] in [line.strip() for line in script.splitlines()]


def test_ci_names_tests_that_are_there() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    named = re.findall(r"^ +(tests/[\w/]+\.py)(?:::(\w+))?", script, re.MULTILINE)
    assert len(named) > 10
    for path, test in named:
        assert f"def {test}" in (ROOT / path).read_text(encoding="utf-8"), path


def test_ci_can_be_run_and_stops_at_the_first_failure() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert re.search(r"^set -euo pipefail$", script.read_text(encoding="utf-8"), re.MULTILINE)


def test_links_between_pages_lead_somewhere() -> None:
    broken = [
        f"{label(page)} -> {target}"
        for page in pages()
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8"))
        if "://" not in target and not (page.parent / Path(target)).exists()
    ]
    assert broken == []
