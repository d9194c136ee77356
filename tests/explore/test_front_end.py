"""The scripts of pages and notebooks are what their TypeScript sources build."""

from __future__ import annotations

import shutil
import subprocess
from importlib import resources
from pathlib import Path

import pytest

SOURCES = Path(__file__).parents[2] / "explorer"
VITE = SOURCES / "node_modules" / "vite" / "bin" / "vite.js"
MAX_BYTES = 100_000


NAMES = ("explorer.js", "transport.js", "widget.js")


def shipped(name: str) -> bytes:
    return (resources.files("heedful.explore") / "assets" / name).read_bytes()


def test_they_are_small_and_plain_ascii() -> None:
    assert sum(len(shipped(name)) for name in NAMES) <= MAX_BYTES
    assert all(shipped(name).isascii() for name in NAMES)
    assert b"</script" not in shipped("explorer.js")


@pytest.mark.skipif(
    shutil.which("node") is None, reason="node is not installed; not compared with a fresh build"
)
@pytest.mark.skipif(
    not VITE.exists(),
    reason="vite is not there (npm ci in explorer/); not compared with a fresh build",
)
def test_a_fresh_build_gives_the_same_bytes(tmp_path: Path) -> None:
    command = ["node", str(VITE), "build", "--outDir", str(tmp_path), "--logLevel", "error"]
    subprocess.run(command, cwd=SOURCES, check=True, timeout=120)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(NAMES)
    for name in NAMES:
        assert (tmp_path / name).read_bytes() == shipped(name)
