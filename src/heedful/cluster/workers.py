"""Worker processes of `heedful.worker_process` on the machines of a cluster."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from heedful.errors import RunError
from heedful.worker_process import stream_events

PASSING = ("progress",)
"""Kinds of events that are of use only while they happen."""
_RUN: Final = (
    "import runpy, sys; sys.path.insert(0, sys.argv.pop(1)); "
    "runpy.run_module(sys.argv.pop(1), run_name='__main__')"
)
"""Runs a module of the Heedful that this process has, wherever that is installed."""


def run_worker(
    module: str, job: Mapping[str, Any], directory: str, shared: str
) -> list[dict[str, Any]]:
    """Run a job in a worker process on this machine, and return its events.

    Called again after this process was lost, the job goes on from what is in its folder.

    Args:
        module: what calls `heedful.worker_process.serve`.
        job: the job.
        directory: the working directory, from which relative names of data files are read.
        shared: a file of the folder that the job writes to; it must be visible on every machine.
    """
    if not Path(shared).is_file() or not Path(directory).is_dir():
        missing = shared if Path(directory).is_dir() else directory
        return [_failed(
            f"{missing} is not on {platform.node()}; the data and the folder --out have to be in a file system that "
            "all machines of the cluster share"
        )]  # fmt: skip
    package = str(Path(__file__).parents[2])
    command = [sys.executable, "-c", _RUN, package, module]
    found = []
    try:
        with closing(stream_events(command, job, None, directory=directory)) as events:
            found += [event for event in events if event["kind"] not in PASSING]
    except RunError as error:
        found.append(_failed(str(error)))
    return found


def _failed(message: str) -> dict[str, Any]:
    return {"kind": "failed", "value": message}
