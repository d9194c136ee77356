"""The fenced code blocks of the documentation."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
FENCE = re.compile(r"^```(?P<language>[^\n`]*)\n(?P<code>.*?)^```[ ]*$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """One fenced block: the language behind its fence, its text, and the line where the text begins."""

    language: str
    code: str
    line: int


def pages() -> list[Path]:
    """Return the pages at the root of the repository and every page under docs/."""
    top = ("README.md", "README.zh-CN.md", "CONTRIBUTING.md")
    return [*(ROOT / name for name in top), *sorted((ROOT / "docs").rglob("*.md"))]


def label(page: Path) -> str:
    """Name a page relative to the repository."""
    return page.relative_to(ROOT).as_posix()


def blocks(text: str, *languages: str) -> Iterator[Block]:
    """Yield the blocks of a page that are written in one of the languages."""
    for match in FENCE.finditer(text):
        language = match["language"].strip()
        if language in languages:
            yield Block(language, match["code"], text.count("\n", 0, match.start("code")) + 1)


def heedful_commands(text: str) -> Iterator[list[str]]:
    """Yield the words after `heedful` of every such command in the shell blocks of a page.

    Knows what the pages use: `$ ` before a command and its output under it, a backslash at the end of a
    line, `#` comments, and `&&`, `|`, `<`, `>` between commands and files.
    """
    for block in blocks(text, "sh", "bash", "console"):
        for line in block.code.replace("\\\n", " ").splitlines():
            if block.language == "console" and not line.startswith("$ "):
                continue
            lexer = shlex.shlex(line.removeprefix("$ "), posix=True, punctuation_chars=True)
            lexer.whitespace_split = True
            words: list[str] = []
            for word in [*lexer, ";"]:
                if set(word) <= set("();<>|&"):
                    if words and Path(words[0]).name == "heedful":
                        yield words[1:]
                    # what follows < or > is a file, and the words before it are already yielded
                    words = []
                else:
                    words.append(word)
