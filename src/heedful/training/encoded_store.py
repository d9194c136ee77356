"""The encoded training data of a run, kept beside its checkpoint so that a resumed run does not encode them again."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from heedful.data.packed_ids import PackedIds
from heedful.errors import RunError
from heedful.tasks.batches import Encoded

ENCODED: Final = "encoded"
"""Folder of the arrays, among the checkpoints of a run."""
_CONTENTS: Final = "contents.json"
_BLOCK: Final = 1 << 20


@dataclass(frozen=True)
class EncodedStore:
    """Packed ids in the folder of a run's checkpoints, which is removed when the run has finished.

    The folder is written under another name and renamed when it is complete. It records what it was made of and a
    checksum of each file; a folder of anything else, or a damaged one, is not used.
    """

    checkpoints: Path
    source: str
    """What was encoded: the digest of the texts."""

    @property
    def folder(self) -> Path:
        """The folder of the arrays."""
        return self.checkpoints / ENCODED

    def save(self, encoded: Encoded) -> Encoded:
        """Write packed ids that are not in memory to the folder, and return the same data, memory-mapped from there.

        Data that are in memory are returned as they are: encoding them again takes seconds.

        Raises: RunError for a full disk, naming the file.
        """
        packed = [each for each in encoded if isinstance(each, PackedIds)]
        if len(packed) < len(encoded) or not any(each.is_on_disk for each in packed):
            return encoded
        arrays: dict[str, NDArray[Any]] = {}
        for name, part in zip(Encoded._fields, packed, strict=True):
            arrays |= {f"{name}.ids": part.values, f"{name}.offsets": part.offsets}
        partial = self.folder.with_name(f"{ENCODED}.partial")
        for old in (partial, self.folder):
            shutil.rmtree(old, ignore_errors=True)
        with _naming(partial):
            partial.mkdir()
        for name, array in arrays.items():
            _write(partial / name, array)
        described = {
            name: {"type": array.dtype.str, "sha256": _checksum(partial / name)}
            for name, array in arrays.items()
        }
        contents = json.dumps({"key": self._key(), "arrays": described})
        _write(partial / _CONTENTS, np.frombuffer(contents.encode(), np.uint8))
        partial.rename(self.folder)
        return self._open(described)

    def load(self) -> Encoded | None:
        """Return the data that `save` wrote; None if there are none, or of another source, or damaged."""
        try:
            contents = json.loads((self.folder / _CONTENTS).read_text(encoding="utf-8"))
            if contents["key"] != self._key():
                return None
            arrays = contents["arrays"]
            if any(_checksum(self.folder / each) != arrays[each]["sha256"] for each in arrays):
                return None
            return self._open(arrays)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def _open(self, arrays: Mapping[str, Mapping[str, str]]) -> Encoded:
        def part(name: str) -> PackedIds:
            values, offsets = (
                np.memmap(self.folder / each, arrays[each]["type"], mode="r").view(np.ndarray)
                for each in (f"{name}.ids", f"{name}.offsets")
            )
            return PackedIds(values, offsets, is_on_disk=True)

        return Encoded(*map(part, Encoded._fields))

    def _key(self) -> str:
        """Return a digest of the source and of the vocabularies of the run."""
        digest = hashlib.sha256(self.source.encode())
        for path in sorted(self.checkpoints.parent.glob("*vocabulary.json")):
            digest.update(path.name.encode())
            digest.update(path.read_bytes())
        return digest.hexdigest()


def _write(path: Path, array: NDArray[Any]) -> None:
    with _naming(path), path.open("wb") as file:
        for start in range(0, len(array), _BLOCK):
            file.write(array[start : start + _BLOCK].tobytes())
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RunError(
            f"{path} cannot be written: {error.strerror}; free some space and resume the run"
        ) from None


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
