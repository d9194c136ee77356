"""Check that the wheel holds each file of the package, its metadata, and nothing else: check_wheel.py WHEEL SOURCE."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path, PurePosixPath


def differences(wheel: Path, source: Path) -> list[str]:
    """Return what is missing from the wheel, and what it should not hold."""
    held = {PurePosixPath(name) for name in zipfile.ZipFile(wheel).namelist()}
    metadata = {path for path in held if path.parts[0].endswith(".dist-info")}
    wanted = {
        PurePosixPath("heedful", *path.relative_to(source).parts)
        for path in source.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    names = {path.name for path in metadata}
    missing = [*map(str, wanted - held), *({"METADATA", "entry_points.txt", "LICENSE"} - names)]
    extra = map(str, held - wanted - metadata)
    return sorted(
        [f"missing: {each}" for each in missing] + [f"too much: {each}" for each in extra]
    )


if __name__ == "__main__":
    found = differences(Path(sys.argv[1]), Path(sys.argv[2]))
    sys.exit("\n".join(found) or None)
