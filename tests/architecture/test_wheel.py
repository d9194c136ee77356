"""The check of the wheel that `.ci/run` makes: it finds what is missing and what is too much."""

from __future__ import annotations

import runpy
import zipfile
from pathlib import Path

from tests.architecture.sources import PACKAGE, ROOT

differences = runpy.run_path(str(ROOT / ".ci" / "check_wheel.py"))["differences"]
METADATA = ("METADATA", "entry_points.txt", "licenses/LICENSE")


def wheel_of(files: list[str], path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as wheel:
        for name in [*files, *(f"heedful-1.dist-info/{each}" for each in METADATA)]:
            wheel.writestr(name, "")
    return path


def test_the_check_finds_differences(tmp_path: Path) -> None:
    files = [
        f"heedful/{path.relative_to(PACKAGE).as_posix()}"
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    ]
    assert "heedful/serve/assets/try.js" in files
    assert differences(wheel_of(files, tmp_path / "whole.whl"), PACKAGE) == []
    changed = [*files, "tests/test_all.py"]
    changed.remove("heedful/serve/assets/try.js")
    assert differences(wheel_of(changed, tmp_path / "changed.whl"), PACKAGE) == [
        "missing: heedful/serve/assets/try.js",
        "too much: tests/test_all.py",
    ]
