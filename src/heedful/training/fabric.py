"""Lightning Fabric: device placement and mixed precision."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from heedful.tasks.sections import TrainingConfig

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def build_fabric(options: TrainingConfig) -> Fabric:
    """Return a Fabric with one device; its log messages about device and precision are suppressed."""
    # Imported here: Lightning imports torch._dynamo, a second of CPU that prediction does not need.
    from lightning_fabric import Fabric

    logger = logging.getLogger("lightning_fabric")
    before = logger.level
    logger.setLevel(logging.WARNING)
    try:
        return Fabric(accelerator=options.accelerator, devices=1, precision=options.precision)
    finally:
        logger.setLevel(before)
