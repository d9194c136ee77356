"""A folder of computed features, so that they are computed once."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from heedful.errors import RunError, WriteError
from heedful.run_lock import LOCK, RunLock

Features = NDArray[np.float32]
"""(frames, bands)."""
Compute = Callable[[Sequence[str]], Iterable[Features]]


class FeatureCache:
    """Features of recordings by key, in packs that are written once and then mapped into memory.

    A pack is a file `HASH.f32` of all frames, one recording after the other, and `HASH.json` with the bands and the
    (key, frames) of each recording, which is written last. Two processes may write the same pack at once: the files are
    equal. A folder that cannot be written, and a damaged pack, cost time only: the features are computed.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     first = FeatureCache(Path(folder)).get(["a", "b"], lambda keys: [np.ones((2, 3), np.float32)] * 2)
    ...     again = FeatureCache(Path(folder)).get(["b"], lambda keys: [])
    ...     [each.shape for each in first], again[0].tolist()
    ([(2, 3), (2, 3)], [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]])
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._known: dict[str, Features] | None = None

    def get(self, keys: Sequence[str], compute: Compute) -> list[Features]:
        """Return the features of each key; `compute` returns those of the keys that are missing, in order."""
        known = self._known = self._load() if self._known is None else self._known
        missing = [key for key in dict.fromkeys(keys) if key not in known]
        if missing:
            try:
                known.update(self._store(missing, compute))
            except (OSError, WriteError):  # a full or read-only disk
                known.update(zip(missing, compute(missing), strict=True))
        return [known[key] for key in keys]

    def _load(self) -> dict[str, Features]:
        self._clean()
        found: dict[str, Features] = {}
        for index in sorted(self.folder.glob("*.json")):
            try:
                found.update(_read_pack(index))
            except (OSError, ValueError, TypeError, KeyError):
                continue
        return found

    def _clean(self) -> None:
        """Remove the drafts and the lock that killed processes left, unless another process writes now."""
        if any(self.folder.glob("*.tmp")) or (self.folder / LOCK).exists():
            # The lock removes its file when it is given up.
            with contextlib.suppress(OSError, RunError, WriteError), RunLock(self.folder):
                for draft in self.folder.glob("*.tmp"):
                    draft.unlink(missing_ok=True)

    def _store(self, keys: Sequence[str], compute: Compute) -> dict[str, Features]:
        """Write a pack, under the lock of the folder if no other process has it."""
        try:
            with RunLock(self.folder):
                return self._write(keys, compute)
        except RunError:
            return self._write(keys, compute)

    def _write(self, keys: Sequence[str], compute: Compute) -> dict[str, Features]:
        name = hashlib.blake2b("\n".join(keys).encode(), digest_size=16).hexdigest()
        self.folder.mkdir(parents=True, exist_ok=True)
        pack, index = self.folder / f"{name}.f32", self.folder / f"{name}.json"
        draft = self.folder / f"{name}.{os.getpid()}.tmp"
        entries, bands = [], 0
        try:
            with draft.open("wb") as file:
                for key, features in zip(keys, compute(keys), strict=True):
                    file.write(np.ascontiguousarray(features, np.float32).tobytes())
                    entries.append((key, len(features)))
                    bands = features.shape[1]
            os.replace(draft, pack)
            draft.write_text(json.dumps({"bands": bands, "entries": entries}), encoding="utf-8")
            os.replace(draft, index)
        finally:
            draft.unlink(missing_ok=True)
        return _read_pack(index)


def _read_pack(index: Path) -> dict[str, Features]:
    """Map a pack into memory.

    Raises: ValueError, TypeError, KeyError or OSError for a damaged one.
    """
    values = json.loads(index.read_text(encoding="utf-8"))
    bands, entries = int(values["bands"]), values["entries"]
    total = sum(frames for _, frames in entries)
    path = index.with_suffix(".f32")
    if path.stat().st_size != 4 * total * bands:
        raise ValueError(f"{path} is truncated")
    frames = np.memmap(path, np.float32, mode="r", shape=(total, bands))
    ends = np.cumsum([count for _, count in entries])
    # Plain arrays over the map: slicing a memmap is slow.
    flat = np.asarray(frames)
    return {key: flat[end - count : end] for (key, count), end in zip(entries, ends, strict=True)}
