"""Lightning Fabric: device placement, mixed precision, and processes that reduce their gradients."""

from __future__ import annotations

import contextlib
import datetime
import logging
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, Literal

from heedful.tasks.sections import TrainingConfig

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment

PATIENCE: Final = 12
"""How many times as long as within a step processes wait for each other elsewhere, such as for a vocabulary that one
learns; the end of a process is noticed at once."""


def build_fabric(options: TrainingConfig) -> Fabric:
    """Return a Fabric with one device; its log messages about device and precision are suppressed."""
    # Imported here: Lightning imports torch._dynamo, a second of CPU that prediction does not need.
    from lightning_fabric import Fabric

    with _quiet():
        return Fabric(
            accelerator=options.accelerator, devices=1, precision=fabric_precision(options)
        )


def build_group_fabric(
    options: TrainingConfig, devices: int, nodes: int, environment: ClusterEnvironment
) -> Fabric:
    """Return the Fabric of a process that is one of `devices` on each of `nodes` machines, after all have met."""
    from lightning_fabric import Fabric

    from heedful.training.strategies import STRATEGIES

    limit = datetime.timedelta(seconds=options.peer_seconds)
    with _quiet():
        fabric = Fabric(
            accelerator=options.accelerator,
            devices=devices,
            num_nodes=nodes,
            strategy=STRATEGIES[options.strategy](
                limit, cluster_environment=environment, timeout=PATIENCE * limit
            ),
            precision=fabric_precision(options),
        )
        fabric.launch()
    return fabric


def fabric_precision(
    options: TrainingConfig,
) -> Literal["32-true", "16-mixed", "bf16-mixed"]:
    """Return the precision that Fabric is told, in which float64 is none: weights and batches are then made so here.

    Fabric would convert the batches of training alone, and none that holds edges.
    """
    return "32-true" if options.precision == "64-true" else options.precision


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    logger = logging.getLogger("lightning_fabric")
    before = logger.level
    logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)
