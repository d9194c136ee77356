"""The processes that train one model together: what each computes of a batch, and what they tell each other."""

from __future__ import annotations

import contextlib
import datetime
import logging
import os
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import nn

from heedful.errors import LostProcessError, OptionError, count
from heedful.tasks.sections import TrainingConfig
from heedful.training.fabric import PATIENCE, build_group_fabric

if TYPE_CHECKING:
    from lightning_fabric import Fabric

Value = TypeVar("Value")

logger = logging.getLogger(__name__)

PROCESSES_A_CORE: Final = 8
"""More are refused: their memory is lost, and nothing won."""
REPORT_SECONDS: Final = 3.0
"""How long those that miss a process wait for the others to say that they are there."""
LOST: Final = (
    "gloo",
    "connection",
    "timed out",
    "timeout",
    "closed by peer",
    "nccl",
    "broken pipe",
)
"""Words in errors of PyTorch about a process that ended or does not answer."""


class Processes:
    """The processes of one training. This class is the usual case of one: it communicates with nobody.

    >>> one = Processes()
    >>> one.count, one.is_first, one.totals(3.0, 4.0), one.share("data"), one.gather("data")
    (1, True, (3.0, 4.0), 'data', ['data'])
    """

    index = 0
    count = 1
    fabric: Fabric | None = None
    """Set up for the process, where there are several."""

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that reads and writes the run folder."""
        return self.index == 0

    def threads(self, wanted: int) -> int:
        """Return the threads of this process; 0: PyTorch's default."""
        return wanted

    def seed(self, seed: int, step: int) -> None:
        """Seed the random numbers of a step, so that they depend on (seed, step, process) alone; of one, they go on."""

    def totals(self, *values: float) -> tuple[float, ...]:
        """Return the sums of numbers over the processes, in float64."""
        return values

    def share(self, value: Value) -> Value:
        """Return the value of the first process in each."""
        return value

    def gather(self, value: Value) -> list[Value]:
        """Return the values of all processes in each."""
        return [value]

    def copy_weights(self, module: nn.Module) -> None:
        """Give the module the parameters and buffers that it has in the first process."""

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Raise LostProcessError for what PyTorch raises where another process ended or does not answer."""
        yield


class Group(Processes):
    """Several processes, of which this is one: PyTorch's process group, set up by Fabric.

    Numbers, counts and objects go through gloo, whatever the device; Fabric's strategy reduces the gradients.
    """

    def __init__(self, fabric: Fabric, local: int, seconds: float):
        self.fabric = fabric
        self.index, self.count = fabric.global_rank, fabric.world_size
        self.local = local
        self.seconds = seconds
        limit = datetime.timedelta(seconds=seconds)
        with self.watching():
            self._prompt = dist.new_group(backend="gloo", timeout=limit)
            self._patient = dist.new_group(backend="gloo", timeout=PATIENCE * limit)

    def threads(self, wanted: int) -> int:
        return wanted or max(1, torch.get_num_threads() // self.local)

    def seed(self, seed: int, step: int) -> None:
        [state] = np.random.SeedSequence([seed, step, self.index]).generate_state(1, np.uint64)
        torch.manual_seed(int(state >> np.uint64(1)))

    def totals(self, *values: float) -> tuple[float, ...]:
        numbers = torch.tensor(values, dtype=torch.float64)
        with self.watching():
            dist.all_reduce(numbers, group=self._prompt)
        return tuple(numbers.tolist())

    def share(self, value: Value) -> Value:
        values = [value]
        with self.watching():
            dist.broadcast_object_list(values, src=0, group=self._patient)
        return values[0]

    def gather(self, value: Value) -> list[Value]:
        values: list[Any] = [None] * self.count
        with self.watching():
            dist.all_gather_object(values, value, group=self._patient)
        return values

    def copy_weights(self, module: nn.Module) -> None:
        with self.watching(), torch.no_grad():
            for tensor in module.state_dict().values():
                sent = tensor.cpu().contiguous()
                dist.broadcast(sent, src=0, group=self._patient)
                tensor.copy_(sent)

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            if not any(word in str(error).lower() for word in LOST):
                raise
            raise LostProcessError(self._missing(), self.count, self.seconds) from error

    def _missing(self) -> list[int]:
        """Return which processes do not say within `REPORT_SECONDS` that they are there."""
        # not public, but the one store that every process of the group already knows
        store = dist.distributed_c10d._get_default_store()
        missing = set(range(self.count)) - {self.index}
        try:
            store.set(_present(self.index), "yes")
            end = time.monotonic() + REPORT_SECONDS
            while missing and time.monotonic() < end:
                missing = {each for each in missing if not store.check([_present(each)])}
                time.sleep(0.05)
        except RuntimeError:  # it is in the first process, which is gone
            return [0]
        return sorted(missing)


def _present(index: int) -> str:
    return f"heedful/present/{index}"


def is_launched() -> bool:
    """Whether this program was started as one of several processes, by torchrun or `heedful train --devices`."""
    return dist.is_available() and dist.is_torchelastic_launched()


def launched_count() -> int:
    """Return as how many processes this program was started."""
    if not is_launched():
        return 1
    from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment

    return TorchElasticEnvironment().world_size()


def device_count(options: TrainingConfig) -> int:
    """Return how many processes a training takes on this machine, where it is not started as several.

    For "auto" all GPUs, and on a CPU of two threads two processes of one each: a small model trains faster so, as its
    operations are too short to be divided. With more threads it has not been measured, and is one.

    >>> device_count(TrainingConfig(devices=3))
    3
    """
    available = _accelerators(options)
    if options.devices == "auto":
        if available is not None:
            return max(available, 1)
        return 2 if (options.threads or torch.get_num_threads()) == 2 else 1
    _check_count(available, options.devices)
    cores = os.cpu_count() or 1
    if available is None and options.devices > cores:
        logger.warning(
            "%d processes share %s; more than one a core train no faster",
            options.devices,
            count(cores, "core"),
        )
    return options.devices


def _accelerators(options: TrainingConfig) -> int | None:
    """Return how many devices there are of the kind that a training takes; None for a CPU, which has no number."""
    if options.accelerator in ("cuda", "auto") and torch.cuda.is_available():
        return torch.cuda.device_count()
    if options.accelerator in ("mps", "auto") and torch.backends.mps.is_available():
        return 1
    return None if options.accelerator in ("cpu", "auto") else 0


def _check_count(available: int | None, wanted: int) -> None:
    """Refuse more processes than there are GPUs, and so many on a CPU that they would only wait for each other."""
    if available is None:
        cores = os.cpu_count() or 1
        if wanted > PROCESSES_A_CORE * cores:
            raise OptionError(
                f"training.devices is {wanted}, but this machine has {count(cores, 'core')}, on each of which one "
                f"process is fastest; expected at most {PROCESSES_A_CORE * cores}"
            )
    elif wanted > max(available, 1):
        raise OptionError(
            f"training.devices is {wanted}, but PyTorch finds {count(available, 'GPU')} on this machine; give no "
            "more, or train on the CPU with --device cpu"
        )


def join(options: TrainingConfig) -> Processes:
    """Return the processes of a training, after those of this program have found each other.

    Raises: OptionError if the program was started as another number of processes than `options` say;
        LostProcessError if some process does not come.
    """
    if not is_launched():
        if options.devices not in (1, "auto") or options.nodes > 1:
            raise OptionError(
                f"training.devices is {options.devices} and training.nodes {options.nodes}, but this program runs as "
                "one process. Train with the command `heedful train`, which starts the others, or start the program "
                "with torchrun"
            )
        return Processes()
    # Imported here: Lightning imports torch._dynamo, a second of CPU that a wrong option should not wait for.
    from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment

    environment = TorchElasticEnvironment()
    world = environment.world_size()
    local = _local_processes(options, world, environment.node_rank())
    _check_count(_accelerators(options), local)
    if world == 1:
        return Processes()
    try:
        fabric = build_group_fabric(options, local, world // local, environment)
    except RuntimeError as error:
        if not any(word in str(error).lower() for word in LOST):
            raise
        raise LostProcessError((), world, options.peer_seconds) from error
    return Group(fabric, local, options.peer_seconds)


def _local_processes(options: TrainingConfig, world: int, machine: int) -> int:
    """Return how many processes of `world` are on this machine, and check that they are those of the options."""
    if machine >= options.nodes or world % options.nodes:
        raise OptionError(
            f"training.nodes is {options.nodes}, but the program was started as {count(world, 'process')[:-1]}es of "
            f"more machines; set it to the number of machines, as in --set training.nodes=2"
        )
    local = world // options.nodes
    # 1 is the default, so that torchrun alone says how many there are
    if options.devices not in (1, "auto", local):
        raise OptionError(
            f"training.devices is {options.devices}, but {local} processes were started on this machine; leave "
            "--devices out, or start as many"
        )
    return local


def local_part(tensor: torch.Tensor) -> torch.Tensor:
    """Return the part of a tensor that this process holds: all of it, unless it is sharded."""
    return tensor.to_local() if hasattr(tensor, "to_local") else tensor


def own_rows(rows: int, processes: Processes) -> Sequence[int]:
    """Return which of so many rows this process computes."""
    return range(processes.index, rows, processes.count)
