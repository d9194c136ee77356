"""Replace the run of a folder: the old run is removed only once the new one has begun."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from heedful.training.events import Event


def replacing(folder: Path, events: Iterator[Event]) -> Iterator[Event]:
    """Yield the events of a training into `folder`, whose old run is renamed until the first event.

    A training that ends before its first event, in which its folder is made, leaves the old run as it was.
    """
    old, begun = _renamed(folder), False
    try:
        for event in events:
            if not begun:
                begun = True
                shutil.rmtree(old)
            yield event
    finally:
        if not begun:
            shutil.rmtree(folder, ignore_errors=True)
            old.rename(folder.resolve())


def _renamed(folder: Path) -> Path:
    """Rename the run to a free name beside it."""
    place = folder.resolve()
    number = 1
    while (old := place.with_name(f".{place.name}.replaced-{number}")).exists():
        number += 1
    return place.rename(old)
