"""A connection to a Ray cluster (Moritz et al. 2018, https://arxiv.org/abs/1712.05889), and calls that run there."""

from __future__ import annotations

import contextlib
import socket
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from heedful.errors import HeedfulError, OptionError, RunError

INSTALL: Final = (
    'running on a cluster needs a package that is not installed: pip install "heedful[cluster]"'
)
RAY: Final = "ray"
"""This machine, or the cluster that RAY_ADDRESS or a running Ray names."""
CLIENT: Final = "ray://"
"""What the address of a cluster's head begins with, such as ray://head:10001."""
CLIENT_PORT: Final = 10001
"""Of a Ray cluster's head for such an address, if it names none."""
REACH_SECONDS: Final = 10.0
"""How long a cluster's head may take to accept a connection."""
RETRIES: Final = 3
"""How often a call is repeated whose process or machine was lost."""
END_SECONDS: Final = 70.0
"""How long calls that are asked to end may take: a training saves a checkpoint first."""


def check_address(on: str) -> None:
    """Raise OptionError for what is no address of a cluster.

    >>> check_address("ray")
    >>> check_address("spark")
    Traceback (most recent call last):
    heedful.errors.OptionError: --on 'spark': expected ray, or ray://HOST:PORT of a cluster's head
    """
    if on != RAY and not (on.startswith(CLIENT) and len(on) > len(CLIENT)):
        raise OptionError(f"--on {on!r}: expected ray, or ray://HOST:PORT of a cluster's head")


@contextlib.contextmanager
def connected(on: str) -> Iterator[Cluster]:
    """Connect to a cluster for the time of the context; a connection that is there already is used and kept.

    "ray" is the cluster of the environment variable RAY_ADDRESS or of a Ray that runs on this machine, else all
    processors of this machine. Within the context at its end, calls that still run are asked to end.

    Raises: OptionError for another address, or if ray is not installed; RunError for a cluster that does not answer.
    """
    check_address(on)
    try:
        import ray
    except ImportError as error:
        raise OptionError(f"{INSTALL} ({error.name} is missing)") from None
    was_connected = ray.is_initialized()
    if not was_connected:
        _connect(ray, on)
    cluster = Cluster(ray)
    try:
        yield cluster
    finally:
        try:
            cluster.cancel()
        finally:
            if not was_connected:
                ray.shutdown()


def _connect(ray: Any, on: str) -> None:
    if on != RAY:
        _check_reachable(on)
    # What trainings say comes back as events.
    options = {"log_to_driver": False, "logging_level": "ERROR", "include_dashboard": False}
    try:
        ray.init(None if on == RAY else on, **options)
    except (ConnectionError, RuntimeError, ValueError, TimeoutError, OSError, ImportError) as error:
        first = next(iter(str(error).strip().splitlines()), type(error).__name__)
        where = "this machine or RAY_ADDRESS" if on == RAY else on
        raise RunError(f"no Ray cluster answers at {where}: {first}") from None


def _check_reachable(on: str) -> None:
    """Raise RunError for a head that accepts no connection; Ray itself tries for a minute without a word."""
    address = urlsplit(on)
    try:
        host, port = address.hostname or "", address.port or CLIENT_PORT
        socket.create_connection((host, port), timeout=REACH_SECONDS).close()
    except (OSError, ValueError) as error:
        raise RunError(
            f"no Ray cluster answers at {on}: {error}. Give the address of its head, and the port that "
            f"`ray start --head` names, {CLIENT_PORT} by default"
        ) from None


class Cluster:
    """Calls of functions in processes of a cluster. Functions are found by name: Heedful is installed on each machine.

    Args:
        ray: the module, connected.
    """

    def __init__(self, ray: Any):
        self.ray = ray
        self.running: list[Any] = []
        """Calls that have not been waited for."""

    @property
    def cpus(self) -> int:
        """The number of processors."""
        return max(1, int(self.ray.cluster_resources().get("CPU", 1)))

    @property
    def most_cpus(self) -> int:
        """The number of processors of the machine that has the most."""
        alive = [each["Resources"].get("CPU", 0) for each in self.ray.nodes() if each["Alive"]]
        return max(1, int(max(alive, default=1)))

    def submit(self, function: Callable[..., Any], *arguments: Any, cpus: int = 1) -> Any:
        """Start a call on so many processors of one machine, as soon as they are free; return what `result` takes.

        A call whose process or machine is lost is repeated, at most `RETRIES` times.

        Raises: OptionError if no machine has so many processors.
        """
        if cpus > self.most_cpus:
            raise OptionError(
                f"a training of {cpus} threads needs a machine with as many processors, and the largest of the cluster "
                f"has {self.most_cpus}; set training.threads lower."
            )
        remote = self.ray.remote(num_cpus=cpus, max_retries=RETRIES)(function)
        call = remote.remote(*arguments)
        self.running.append(call)
        return call

    def result(self, call: Any) -> Any:
        """Wait for a call and return its result.

        Raises: RunError if its process was lost too often; what the function raised.
        """
        problems = self.ray.exceptions
        try:
            return self.ray.get(call)
        except problems.RayError as error:
            cause = error.cause if isinstance(error, problems.RayTaskError) else error
            if isinstance(cause, HeedfulError):
                raise cause from None
            if isinstance(cause, problems.TaskCancelledError):
                raise RunError("it was asked to end") from None
            first = next(iter(str(cause).strip().splitlines()), type(cause).__name__)
            raise RunError(f"its process on the cluster ended early: {first}") from None
        finally:
            self.running = [each for each in self.running if each != call]

    def share(self, value: Any) -> Any:
        """Put a value where every process of the cluster can read it; return what `ray.get` takes."""
        return self.ray.put(value)

    def ordered(
        self, function: Callable[..., Any], calls: Iterable[Sequence[Any]]
    ) -> Iterator[Any]:
        """Yield the result of the function for each sequence of arguments, in order, each called once.

        About two calls a processor are started before their results are asked for. An exception of `calls` is raised
        after the results of the calls before it.
        """
        waiting: deque[Any] = deque()
        rest, ahead = iter(calls), 2 * self.cpus
        problem: Exception | None = None
        is_more = True
        while is_more or waiting:
            while is_more and len(waiting) < ahead:
                try:
                    waiting.append(self.submit(function, *next(rest)))
                except StopIteration:
                    is_more = False
                except Exception as error:
                    is_more, problem = False, error
            if waiting:
                yield self.result(waiting.popleft())
        if problem is not None:
            raise problem

    def cancel(self) -> None:
        """Ask calls that still run to end, and wait for them; those that do not are killed."""
        calls, self.running = self.running, []
        for call in calls:
            self.ray.cancel(call)
        if calls:
            _, late = self.ray.wait(calls, num_returns=len(calls), timeout=END_SECONDS)
            for call in late:
                self.ray.cancel(call, force=True)
