"""The script of the pages is what its TypeScript sources build."""

from __future__ import annotations

import shutil
import subprocess
from importlib import resources
from pathlib import Path

import pytest

SOURCES = Path(__file__).parents[2] / "explorer"
VITE = SOURCES / "node_modules" / "vite" / "bin" / "vite.js"
MAX_BYTES = 100_000


def shipped() -> bytes:
    return (resources.files("heedful.explore") / "assets" / "explorer.js").read_bytes()


def test_it_is_small_and_plain_ascii() -> None:
    assert len(shipped()) <= MAX_BYTES
    assert shipped().isascii()
    assert b"</script" not in shipped()


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
    assert (tmp_path / "explorer.js").read_bytes() == shipped()
