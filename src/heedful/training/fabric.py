"""Lightning Fabric, which moves the training to its device and computes in its precision."""

from __future__ import annotations

import logging

from lightning_fabric import Fabric

from heedful.tasks.sections import TrainingConfig


def build_fabric(options: TrainingConfig) -> Fabric:
    """Return a Fabric of one device; what it would log of its choices stays unsaid: they are ours."""
    logger = logging.getLogger("lightning_fabric")
    before = logger.level
    logger.setLevel(logging.WARNING)
    try:
        return Fabric(accelerator=options.accelerator, devices=1, precision=options.precision)
    finally:
        logger.setLevel(before)
