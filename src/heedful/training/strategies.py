"""What each of several processes holds of a model in training: everything, or a share of it."""

from __future__ import annotations

import datetime
import inspect
from collections.abc import Mapping
from typing import Any, Final

import torch
import torch.distributed as dist
from lightning_fabric.strategies.ddp import DDPStrategy
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

_SYNC_BUFFERS: Final = (
    "forward_sync_buffers"
    if "forward_sync_buffers" in inspect.signature(DistributedDataParallel).parameters
    else "broadcast_buffers"
)
"""PyTorch's name of the option, which changed in 2.12."""


class ReplicatedStrategy(DDPStrategy):
    """The strategy ddp: each process holds everything, and gradients are averaged while they are computed.

    Which parameters a batch uses may differ from process to process, and those that none uses keep no gradient, as
    in one process. Buffers are constants here, so they are not sent.

    Args:
        limit: longest wait for the gradients of another process.
        options: those of Fabric's strategy, whose `timeout` is that of the processes for each other at the start.
    """

    def __init__(self, limit: datetime.timedelta, **options: Any):
        super().__init__(**options)
        self.limit = limit

    def setup_module(self, module: nn.Module) -> Any:
        options: dict[str, Any] = {_SYNC_BUFFERS: False}
        return DistributedDataParallel(
            module,
            device_ids=self._determine_ddp_device_ids(),
            process_group=dist.new_group(timeout=self.limit),
            find_unused_parameters=True,
            **options,
        )


class ShardedStrategy(ReplicatedStrategy):
    """The strategy fsdp: weights, gradients and the optimizer's state are divided among the processes.

    Fabric's own needs a GPU; PyTorch's `fully_shard` (Zhao et al. 2023, https://arxiv.org/abs/2304.11277) also works
    with gloo. The module is one group, whole within a step: tasks call parts of a model by other ways than `forward`.
    """

    def setup_module(self, module: nn.Module) -> Any:
        group = dist.new_group(timeout=self.limit)
        mesh = DeviceMesh.from_group(group, self.root_device.type)
        fully_shard(module, mesh=mesh)  # changes the module itself
        return module

    def clip_gradients_norm(self, *arguments: Any, **options: Any) -> Tensor:
        """Clip, and return the norm over all processes."""
        norm = super().clip_gradients_norm(*arguments, **options)
        return norm.full_tensor() if isinstance(norm, DTensor) else norm


STRATEGIES: Final[Mapping[str, Any]] = {"ddp": ReplicatedStrategy, "fsdp": ShardedStrategy}
"""Values of training.strategy."""


class Shards:
    """A sharded module in training beside the whole one that validates and is saved, and both optimizers.

    Every method is called in all processes.
    """

    def __init__(
        self,
        whole: nn.Module,
        sharded: nn.Module,
        whole_optimizer: torch.optim.Optimizer,
        optimizer: torch.optim.Optimizer,
    ):
        self.whole = whole
        self.whole_optimizer = whole_optimizer
        self.optimizer = optimizer
        self.pairs = list(zip(whole.parameters(), sharded.parameters(), strict=True))

    @torch.no_grad()
    def gather_weights(self) -> None:
        """Copy the weights in training to the whole module, in each process."""
        for whole, shard in self.pairs:
            whole.copy_(_whole(shard))

    @torch.no_grad()
    def scatter(self) -> None:
        """Copy weights and optimizer state of the whole module to the one in training; that state is then dropped."""
        for whole, shard in self.pairs:
            shard.copy_(_shard(whole, shard))
            if whole in self.whole_optimizer.state:
                self.optimizer.state[shard] = {
                    name: _shard(value, shard) if value.shape == whole.shape else value.clone()
                    for name, value in self.whole_optimizer.state[whole].items()
                }
        self.whole_optimizer.state.clear()

    @torch.no_grad()
    def gather(self, *, keep: bool) -> None:
        """Copy weights and optimizer state to the whole module; the state only in a process that is to `keep` it."""
        self.gather_weights()
        for whole, shard in self.pairs:
            state = {
                name: _whole(value) for name, value in self.optimizer.state.get(shard, {}).items()
            }
            if keep and state:
                self.whole_optimizer.state[whole] = state


def _whole(tensor: Tensor) -> Tensor:
    found: Tensor = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
    return found.detach()


def _shard(value: Tensor, like: Tensor) -> Tensor:
    assert isinstance(like, DTensor)
    return distribute_tensor(value.detach(), like.device_mesh, like.placements)
