"""`heedful train --devices N`: the command as several processes, and what it says when one of them ends the others."""

from __future__ import annotations

import signal
import sys

import typer

from heedful.cli.command import print_error
from heedful.cli.workers import Ended, Workers, run_workers
from heedful.tasks.sections import TrainingConfig
from heedful.training.processes import device_count


def train_in_workers(training: TrainingConfig, resume: str) -> None:
    """Run this command as the processes that the configuration asks for, and exit; return if it is one.

    Args:
        training: says how many.
        resume: the command that resumes the training.
    """
    devices = device_count(training)
    if devices * training.nodes == 1:
        return
    workers = Workers(devices=devices, nodes=training.nodes)
    status, ended = run_workers(workers, sys.argv[1:])
    if ended is not None:
        print_error(f"{_why(ended, workers, training.peer_seconds)}\nResume with: {resume}")
    raise typer.Exit(status)


def _why(ended: Ended, workers: Workers, seconds: float) -> str:
    """Say which process ended the training of several."""
    which = f"process {ended.index} of the {workers.devices * workers.nodes} that train together"
    if ended.index < 0:
        return "a process on another machine ended, or does not answer, so the training was ended"
    if ended.status == 0:
        return f"{which} did not answer in time (training.peer_seconds = {seconds:g}), so all were ended"
    if ended.status < 0:
        name = signal.Signals(-ended.status).name
        cause = ", perhaps as memory ran out" if name == "SIGKILL" else ""
        return f"{which} was ended by {name}{cause}, so the training was ended"
    return (
        f"{which} failed: {ended.message.removeprefix('error: ') or f'exit status {ended.status}'}"
    )
