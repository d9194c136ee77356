"""Lightning Fabric: device placement and mixed precision."""

from __future__ import annotations

import logging

from lightning_fabric import Fabric

from heedful.tasks.sections import TrainingConfig


def build_fabric(options: TrainingConfig) -> Fabric:
    """Return a Fabric with one device; its log messages about device and precision are suppressed."""
    logger = logging.getLogger("lightning_fabric")
    before = logger.level
    logger.setLevel(logging.WARNING)
    try:
        return Fabric(accelerator=options.accelerator, devices=1, precision=options.precision)
    finally:
        logger.setLevel(before)
