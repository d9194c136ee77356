"""A server that trains in forked children, to kill them."""

from __future__ import annotations

import json
import os
import select
import signal
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.attack.forking_server import ForkingServer, answer_requests


@dataclass(frozen=True)
class Answer:
    """How a training ended."""

    killed: bool
    error: str | None = None
    """The message of a `HeedfulError`."""
    kind: str | None = None
    """The class of that error."""
    operations: list[str] = field(default_factory=list)
    """The operations on files, if it was not killed."""
    seconds: float = 0.0


class TrainingServer(ForkingServer):
    """Trains."""

    module = "tests.attack.training_server"

    def train(self, task: str, out: Path, **request: Any) -> Answer:
        """Train in a child of the server; see `_train` for the request."""
        return Answer(**self.ask({"task": task, "out": str(out), **request}))


def serve() -> None:
    import torch

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:  # imports what a training needs
        _train("tag", str(Path(folder, "run")))
    answer_requests(_in_child)


def _in_child(request: dict[str, Any]) -> dict[str, Any]:
    """Fork, train in the child, and kill it after `kill_after` seconds if it still runs then."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        status = 1
        try:
            result = json.dumps(_train(**request)).encode()
            with os.fdopen(writing, "wb") as pipe:
                pipe.write(result)
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    limit = request.get("kill_after")
    if limit is not None and not select.select([reading], [], [], limit)[0]:
        os.kill(child, signal.SIGKILL)
    with os.fdopen(reading, "rb") as pipe:
        result = pipe.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status == -signal.SIGKILL:
        return {"killed": True}
    if status:
        return {"killed": False, "error": "the child crashed", "kind": "crash"}
    return {"killed": False, **json.loads(result)}


def configuration(task: str, **training: Any) -> Any:
    """Return the configuration of a tiny model of the task."""
    from heedful.config import build
    from heedful.tasks.table import TASKS
    from tests.compare.conftest import case_of

    case = case_of(task)
    contender = next(iter(case.contenders.values()))
    training = {
        **case.base["training"],
        "batch_tokens": 16,
        "checkpoint_steps": 2,
        "average_epochs": 2,
        "patience": 0,
        **training,
    }
    return build(TASKS[task].configuration, {**case.base, **contender, "training": training})


def _train(
    task: str,
    out: str,
    *,
    epochs: int = 2,
    seed: int = 0,
    resume: bool = False,
    overwrite: bool = False,
    compare: bool = False,
    at: int = 0,
    fault: str = "kill",
    file_limit: int | None = None,
    kill_after: float | None = None,
) -> dict[str, Any]:
    """Train a tiny model with its report, or run a comparison, with a fault at the operation `at` on files."""
    import resource
    import time
    import traceback

    from heedful.api import fit
    from heedful.errors import HeedfulError
    from heedful.tasks.table import TASKS
    from tests.attack.file_faults import FileFaults
    from tests.compare.conftest import case_of

    config, data = configuration(task, epochs=epochs, seed=seed), case_of(task).data
    if file_limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, file_limit))
    start, error = time.monotonic(), None
    with FileFaults(Path(out).parent, at, fault) as faults:
        try:
            if compare:
                _compare(task, Path(out))
            else:
                fit(TASKS[task], config, data, data, out, resume=resume, overwrite=overwrite)
        except HeedfulError as problem:
            error = problem
        except BaseException:
            traceback.print_exc()
            raise
    return {
        "error": None if error is None else str(error),
        "kind": None if error is None else type(error).__name__,
        "operations": faults.operations,
        "seconds": time.monotonic() - start,
    }


def _compare(task: str, out: Path) -> None:
    """Run a comparison, or go on with it, in this process."""
    from heedful.compare.comparison import JobFinished, check_folder, data_digest, run_all
    from heedful.compare.run import run_job
    from tests.compare.conftest import case_of, plan_of

    plan, data = plan_of(task, seeds=1), (case_of(task).data,) * 2

    def run(job: Any, folder: Path) -> Any:
        yield from run_job(plan.task, job, data, folder, plan.lengths)

    check_folder(plan, out, data_digest(data))
    for event in run_all(plan, out, data_digest(data), run):
        if isinstance(event, JobFinished):
            assert event.outcome.error is None, event.outcome.error


if __name__ == "__main__":
    serve()
