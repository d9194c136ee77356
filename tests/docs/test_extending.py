"""The steps of docs/extending.md, carried out in a copy of the repository, give entries that pass every contract."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.blocks import FENCE, ROOT

PAGE = ROOT / "docs" / "extending.md"
STEP = re.compile(r"(?P<kind>python|diff) file=(?P<file>\S+)")
COPIED = ("src", "tests", "docs", "pyproject.toml", "README.md")


def steps() -> list[tuple[str, str, str]]:
    """(kind, file, text) of every step: a whole new file, or a change of one that is there."""
    found = []
    for match in FENCE.finditer(PAGE.read_text(encoding="utf-8")):
        step = STEP.fullmatch(match["language"].strip())
        if step is not None:
            found.append((step["kind"], step["file"], match["code"]))
    return found


def changed(text: str, hunk: str) -> str:
    """Apply one hunk: its lines that start with a space or a minus stand in `text`, one after the other, once."""
    given, lines = text.splitlines(), hunk.splitlines()
    old = [line[1:] for line in lines if line[:1] in " -"]
    new = [line[1:] for line in lines if line[:1] in " +"]
    places = [i for i in range(len(given)) if given[i : i + len(old)] == old]
    assert len(places) == 1, f"there {len(places)} times: {old}"
    return "\n".join([*given[: places[0]], *new, *given[places[0] + len(old) :], ""])


def carried_out(folder: Path) -> None:
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            ignored = shutil.ignore_patterns("*.pyc", ".pytest_cache")
            shutil.copytree(source, folder / name, ignore=ignored)
        else:
            shutil.copy(source, folder / name)
    for kind, file, text in steps():
        path = folder / file
        if kind == "python":
            assert not path.exists()
            path.write_text(text, encoding="utf-8")
        else:
            path.write_text(changed(path.read_text(encoding="utf-8"), text), encoding="utf-8")


def pytest_in(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:xdist",
            *arguments,
        ],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    return done.stdout


def test_the_file_of_a_step_is_named_where_readers_see_it() -> None:
    text = PAGE.read_text(encoding="utf-8")
    shown = re.findall(r"^`(\S+)`:\n\n```(?:python|diff) file=", text, re.MULTILINE)
    assert shown == [file for _, file, _ in steps()]


def test_a_hunk_has_to_be_there_once() -> None:
    assert changed("a\nb\nc\n", " a\n+x\n-b\n") == "a\nx\nc\n"
    with pytest.raises(AssertionError, match="there 2 times"):
        changed("a\nb\na\nb\n", " a\n+x\n b\n")
    with pytest.raises(AssertionError, match="there 0 times"):
        changed("a\nbc\n", " a\n+x\n b\n")


def test_the_steps_give_entries_that_pass_the_contract_tests(tmp_path: Path) -> None:
    assert len(steps()) > 20
    carried_out(tmp_path)
    files = [file for kind, file, _ in steps() if kind == "python" and "/ops/" in file]
    files += [
        f"tests/ops/test_{name}.py"
        for name in ("contract", "gradcheck", "plan", "tables", "errors")
    ]
    # The ordinary run takes new entries with one another; the long one with everything.
    new = "(laplacian and dilated) or (share and dilated) or (rows and (laplacian or share))"
    said = pytest_in(
        tmp_path,
        "-k",
        f"{new} or heedful or test_tables or test_errors",
        *files,
        "tests/docs/test_tables.py",
    )
    passed = re.search(r"(\d+) passed", said)
    assert passed is not None
    assert int(passed[1]) > 250, said[-300:]


def test_the_new_encoder_passes_the_contract_tests(tmp_path: Path) -> None:
    carried_out(tmp_path)
    said = pytest_in(
        tmp_path,
        "-k",
        "running_mean or tables",
        "tests/models/test_encoders.py",
        "tests/architecture/test_tables.py",
        "tests/docs/test_tables.py",
        "src/heedful/models/encoders/running_mean.py",
    )
    passed = re.search(r"(\d+) passed", said)
    assert passed is not None
    assert int(passed[1]) >= 12, said[-300:]


def test_the_new_task_passes_every_command(tmp_path: Path) -> None:
    carried_out(tmp_path)
    said = pytest_in(
        tmp_path,
        "tests/cli/test_classify_utf8.py",
        "src/heedful/inputs/utf8.py",
        "src/heedful/tasks/table.py",
    )
    assert re.search(r"[2-9] passed", said), said[-300:]


@pytest.mark.long
def test_everything_about_ops_passes_with_the_new_entries(tmp_path: Path) -> None:
    carried_out(tmp_path)
    pytest_in(tmp_path, "tests/ops", "tests/docs/test_tables.py")
