"""Checkpoints: the complete training state, to resume from, in one safetensors file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from heedful.answers.base import Scores
from heedful.errors import RunError
from heedful.run_folder import read_tensors, write_tensors
from heedful.strict_json import numbers_from_json, to_strict_json


@dataclass(frozen=True, kw_only=True)
class Position:
    """The progress of a training run: counters, best epoch and times."""

    epoch: int = 0
    """Epochs completed and validated."""
    batch: int = 0
    """Batches processed in the current epoch."""
    step: int = 0
    epoch_loss: float = 0.0
    """Sum of the training loss over the current epoch."""
    epoch_tokens: int = 0
    """Number of predictions that `epoch_loss` sums over."""
    best_epoch: int = 0
    """0 before the first validation."""
    best: Scores | None = None
    seconds: float = 0.0
    tokens: int = 0
    """Tokens predicted in all steps so far."""
    training_seconds: float = 0.0
    """Time of the training steps, without validation."""
    skipped: int = 0
    """Steps left out, as their loss or gradient was not finite."""
    skipped_in_row: int = 0
    """How many of them were the last steps so far."""


@dataclass(frozen=True)
class Origin:
    """What a training was begun with, and must have when it is resumed."""

    config: Mapping[str, Any] | None
    """The complete configuration as JSON values; None for a run of an older version."""
    data: str | None
    """The digest of the training and validation data; None as `config`."""

    def to_metadata(self) -> dict[str, str]:
        """Serialize to strings, for a safetensors file."""
        return {"config": to_strict_json(self.config), "data": str(self.data)}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> Self:
        """Deserialize the result of `to_metadata`."""
        return cls(json.loads(metadata.get("config", "null")), metadata.get("data"))


def save_checkpoint(
    path: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    position: Position,
    origin: Origin,
    average: nn.Module | None = None,
) -> None:
    """Write weights, optimizer state, random-number states, position and origin atomically.

    Where there is a moving average of the weights, as a second model, it is written too.
    """
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    if average is not None:
        tensors |= {f"average.{name}": tensor for name, tensor in average.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": tensor for name, tensor in state.items()}
    tensors |= {f"random.{name}": state for name, state in get_rng_states().items()}
    metadata = {"position": to_strict_json(asdict(position)), **origin.to_metadata()}
    write_tensors(path, tensors, metadata)


def load_checkpoint(
    path: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    average: nn.Module | None = None,
) -> Position:
    """Load a checkpoint into model, optimizer, moving average and random-number generators, and return its position.

    Raises: RunError for a missing, truncated or corrupt checkpoint, or one of another model.
    """
    tensors, metadata = read_tensors(path, advice="")
    groups: dict[str, dict[str, Tensor]] = {
        "model": {}, "optimizer": {}, "random": {}, "average": {},
    }  # fmt: skip
    for name, tensor in tensors.items():
        group, _, rest = name.partition(".")
        groups[group][rest] = tensor
    moments: dict[int, dict[str, Any]] = {}
    for name, tensor in groups["optimizer"].items():
        index, _, key = name.partition(".")
        moments.setdefault(int(index), {})[key] = tensor
    try:
        position = read_position(metadata)
        model.load_state_dict(groups["model"])
        if average is not None:
            average.load_state_dict(groups["average"])
        optimizer.load_state_dict(
            {"state": moments, "param_groups": optimizer.state_dict()["param_groups"]}
        )
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise RunError(f"{path} does not match the run's configuration ({error})") from None
    set_rng_states(groups["random"])
    return position


def read_position(metadata: dict[str, str]) -> Position:
    """Deserialize the position from a checkpoint's metadata."""
    values = json.loads(metadata["position"])
    best = values.get("best")
    return Position(**{**values, "best": None if best is None else numbers_from_json(best)})


def get_rng_states() -> dict[str, Tensor]:
    """Return the states of PyTorch's random-number generators, one per device."""
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states |= {f"cuda.{i}": state for i, state in enumerate(torch.cuda.get_rng_state_all())}
    return states


def set_rng_states(states: dict[str, Tensor]) -> None:
    """Restore the states that `get_rng_states` returned."""
    torch.set_rng_state(states["cpu"])
    for name, state in states.items():
        device, _, index = name.partition(".")
        if device == "cuda":
            torch.cuda.set_rng_state(state, int(index))


def average_weights(paths: list[Path]) -> dict[str, Tensor]:
    """Average the weights of several safetensors files in float64; integer tensors are those of the first."""
    total: dict[str, Tensor] = {}
    first: dict[str, Tensor] = {}
    for path in paths:
        tensors, _ = read_tensors(path)
        first = first or tensors
        for name, tensor in tensors.items():
            if tensor.is_floating_point():
                total[name] = total.get(name, 0.0) + tensor.double() / len(paths)
    return {name: total[name].to(t.dtype) if name in total else t for name, t in first.items()}
