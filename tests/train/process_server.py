"""A server that trains in several forked children at once, which train one model together."""

from __future__ import annotations

import json
import os
import signal
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.attack.forking_server import ForkingServer, answer_requests


class ProcessServer(ForkingServer):
    """Trains in several processes."""

    module = "tests.train.process_server"

    def train(self, out: Path, processes: int = 1, **request: Any) -> list[dict[str, Any]]:
        """Train in so many children; return what each came to, `{"status": ...}` for one that was killed."""
        answer = self.ask({"out": str(out), "processes": processes, **request})
        found: list[dict[str, Any]] = answer["found"]
        return found


def serve() -> None:
    os.environ["TORCH_CPP_LOG_LEVEL"] = "ERROR"
    import torch
    from torch.distributed import fsdp  # noqa: F401 - so that no child imports it

    from heedful.training import strategies  # noqa: F401

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:  # imports what a training needs
        _train(Path(folder, "run"), "tag", 0)
    answer_requests(_in_children)


def _in_children(request: dict[str, Any]) -> dict[str, Any]:
    processes = request.pop("processes")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    children = []
    for index in range(processes):
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            try:
                if processes > 1:
                    _be_one_of(processes, index, port)
                result = json.dumps(_train(**request, index=index))
                with os.fdopen(writing, "w") as pipe:
                    pipe.write(result)
            finally:
                os._exit(0)
        os.close(writing)
        children.append((child, reading))
    found = []
    for child, reading in children:
        with os.fdopen(reading) as pipe:
            result = pipe.read()
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        found.append(json.loads(result) if result else {"status": status})
    return {"found": found}


def _be_one_of(processes: int, index: int, port: int) -> None:
    """Set the variables that torchrun sets."""
    os.environ.update(
        TORCHELASTIC_RUN_ID="test",
        MASTER_ADDR="127.0.0.1",
        MASTER_PORT=str(port),
        GROUP_RANK="0",
        LOCAL_RANK=str(index),
        RANK=str(index),
        WORLD_SIZE=str(processes),
    )


def configuration(task: str, sections: dict[str, Any] | None = None, **training: Any) -> Any:
    """Return the configuration of a tiny model without dropout."""
    from heedful.config import build
    from heedful.tasks.table import TASKS
    from tests.compare.conftest import case_of

    case = case_of(task)
    values = {**case.base, **list(case.contenders.values())[-1], **(sections or {})}
    values["training"] = {
        **values["training"],
        "batch_tokens": 16,
        "progress_steps": 1,
        "precision": "64-true",
        "peer_seconds": 60,
        **training,
    }
    config = build(TASKS[task].configuration, values).model_dump()
    return build(TASKS[task].configuration, _without_dropout(config))


def _without_dropout(values: Any) -> Any:
    if not isinstance(values, dict):
        return values
    return {
        key: 0.0 if "dropout" in key and isinstance(value, float) else _without_dropout(value)
        for key, value in values.items()
    }


def _train(
    out: str | Path,
    task: str,
    index: int,
    *,
    resume: bool = False,
    stop_at: int = 0,
    kill: int | None = None,
    dropout: bool = False,
    training: dict[str, Any] | None = None,
    sections: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Train a tiny model; the first process is asked to stop at a step, or another one kills itself at it."""
    from heedful.api import fit
    from heedful.errors import HeedfulError
    from heedful.tasks.table import TASKS
    from heedful.training.events import Event, Finished, Progress, Validated
    from tests.compare.conftest import case_of

    config, data = configuration(task, sections, **training or {}), case_of(task).data
    if dropout:
        config = config.model_copy(
            update={"inputs": config.inputs.model_copy(update={"dropout": 0.3})}
        )
    found: dict[str, Any] = {"losses": [], "validated": [], "error": None}
    step = 0

    def seen(event: Event) -> None:
        nonlocal step
        if isinstance(event, Progress):
            step = event.step
            found["losses"].append(event.loss)
        if isinstance(event, Validated):
            found["validated"].append(event.scores)
        if isinstance(event, Finished):
            found["chosen"] = event.chosen

    try:
        fit(
            TASKS[task],
            config,
            data,
            data,
            out,
            resume=resume,
            progress=seen,
            stop=_stop(lambda: step, index, stop_at, kill),
        )
    except HeedfulError as error:
        found["error"], found["kind"] = str(error), type(error).__name__
    return found


def _stop(
    step: Callable[[], int], index: int, stop_at: int, kill: int | None
) -> Callable[[], bool]:
    def stop() -> bool:
        is_due = bool(stop_at) and step() + 1 >= stop_at
        if is_due and kill == index:
            os.kill(os.getpid(), signal.SIGKILL)
        return is_due and kill is None and index == 0

    return stop


if __name__ == "__main__":
    serve()
