"""The application of `heedful serve` as one of Ray Serve, which keeps several copies of it on a cluster."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from starlette.types import ASGIApp, Receive, Scope, Send

from heedful.errors import OptionError
from heedful.serve.app import build_app
from heedful.serve.limits import Limits
from heedful.serve.service import Service
from heedful.tasks.runs import task_of

INSTALL: Final = (
    'Ray Serve needs a package that is not installed: pip install "heedful[cluster,serve]"'
)


def application(
    runs: Sequence[str | Path],
    *,
    token: str | None = None,
    limits: Limits | None = None,
    **deployment: Any,
) -> Any:
    """Return the application that `ray.serve.run` takes: every endpoint of `heedful serve`, with its limits.

    Args:
        runs: run folders, which every machine of the cluster has to see; a model is named after its folder.
        token: what a request has to bring; None: nothing. Give one if Ray Serve listens to other machines.
        limits: of each copy; default: those of `heedful serve`.
        deployment: options of `ray.serve.deployment`, such as `num_replicas` and `ray_actor_options`.

    Raises: OptionError if Ray Serve is not installed, or two runs have folders of the same name; RunError for a folder
        that is no run.
    """
    try:
        from ray import serve
    except ImportError as error:
        raise OptionError(f"{INSTALL} ({error.name} is missing)") from None
    folders = {Path(run).resolve().name: Path(run).resolve() for run in runs}
    if len(folders) < len(runs):
        raise OptionError("two runs have folders of the same name; rename one of them.")
    for folder in folders.values():
        task_of(folder)

    def build() -> ASGIApp:
        return Replica(folders, token, limits or Limits())

    return serve.deployment(**deployment)(serve.ingress(build)()).bind()


class Replica:
    """One copy of the application, whose models answer from the start of its process to the end.

    Args:
        folders: name of a model -> run folder.
        token: see `build_app`.
        limits: see `Limits`.
    """

    def __init__(self, folders: dict[str, Path], token: str | None, limits: Limits):
        predictors = {name: task_of(run).load(run) for name, run in folders.items()}
        self.service = Service(predictors, limits)
        self.app = build_app(self.service, token)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or start and end with the process."""
        if scope["type"] != "lifespan":
            await self.app(scope, receive, send)
            return
        with contextlib.ExitStack() as running:
            while True:
                message = await receive()
                if message["type"] == "lifespan.startup":
                    running.enter_context(self.service.running())
                    await send({"type": "lifespan.startup.complete"})
                else:
                    running.close()
                    await send({"type": "lifespan.shutdown.complete"})
                    return
