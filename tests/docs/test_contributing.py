"""CONTRIBUTING.md says what README.md, .ci/run and pyproject.toml say."""

from __future__ import annotations

import re
import tomllib

from tests.docs.blocks import ROOT, blocks

PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def supported() -> dict[str, str]:
    """What the table of supported versions says: name -> versions."""
    section = PAGE.partition("## Supported versions")[2].partition("\n## ")[0]
    return dict(re.findall(r"^\| (\w+) \| ([\d., \w]+) \|$", section, re.MULTILINE))


def requirement(name: str) -> str:
    return next(each for each in PROJECT["dependencies"] if re.match(rf"{name}\b", each))


def minor(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def test_python_versions() -> None:
    versions = supported()["Python"].split(", ")
    prefix = "Programming Language :: Python :: 3."
    assert versions == [
        f"3.{each.removeprefix(prefix)}"
        for each in PROJECT["classifiers"]
        if each.startswith(prefix)
    ]
    assert PROJECT["requires-python"] == f">={versions[0]}"


def test_torch_versions() -> None:
    oldest, newest = supported()["torch"].split(" to ")
    major, last = minor(newest)
    assert requirement("torch") == f"torch>={oldest},<{major}.{last + 1}"


def test_ci_installs_a_torch_of_the_range_before_the_project() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    (version,) = re.findall(
        r"^\.venv/bin/pip install -q torch==(\d+\.\d+)\.\d+$", script, re.MULTILINE
    )
    oldest, newest = supported()["torch"].split(" to ")
    assert minor(oldest) <= minor(version) <= minor(newest)
    assert script.index("torch==") < script.index('pip install -q -e ".[dev]"')


def test_numba_versions() -> None:
    oldest = supported()["numba"].removesuffix(" and newer")
    assert requirement("numba") == f"numba>={oldest}"


def shell_lines(text: str) -> set[str]:
    return {line.strip() for block in blocks(text, "sh") for line in block.code.splitlines()}


def test_set_up_is_that_of_the_readme() -> None:
    commands = {line for line in shell_lines(README) if line.startswith("python3 -m venv")}
    assert len(commands) == 2
    assert commands <= shell_lines(PAGE)


def test_lint_and_site_are_those_of_ci() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    checks = re.findall(r"^\.venv/bin/(?!pip |python \.ci/).*$", script, re.MULTILINE)
    assert len(checks) == 4
    # ci checks the format that a developer applies
    wanted = {line.removesuffix(" --check") for line in checks}
    assert wanted <= shell_lines(PAGE)


def test_narrow_vectors_are_those_of_ci() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    settings = re.findall(r"\b((?:NUMBA|ONEDNN|ATEN)_\w+=\S+)", script)
    assert len(settings) == 4
    assert " ".join(settings) in PAGE
