"""What the suite measures: for each operation its lengths, and how long it may take."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from heedful.bench.operations import OPERATIONS
from heedful.bench.settings import Job, Settings

LENGTHS = (64, 256, 1024, 4096, 16384, 65536, 131072)
THREADS = (1, 2)
QUICK_SECONDS = 0.2


@dataclass(frozen=True)
class Scan:
    """The lengths of one operation."""

    lengths: tuple[int, ...] = LENGTHS
    quick: tuple[int, ...] = (64, 256)
    seconds: float = 2.0
    """For the rounds of one length."""

    def job(
        self,
        name: str,
        threads: int,
        *,
        quick: bool,
        only: tuple[int, ...] = (),
        processor_time: bool = False,
    ) -> Job:
        """Return what is measured of the operation; `quick` is short, small and without compiling.

        `only` keeps some of the lengths, or all where it is empty.
        """
        settings = Settings(
            threads=threads,
            seconds=QUICK_SECONDS if quick else self.seconds,
            call_seconds=5.0,
            compiled=not quick,
            processor_time=processor_time,
        )
        lengths = self.quick if quick else self.lengths
        if only:
            lengths = tuple(length for length in lengths if length in only)
        return Job(name, tuple(map(OPERATIONS[name].scanned, lengths)), settings)


# A few percent are to be told apart here, as much as one sample differs from the next.
_SERVED = Scan((16, 64, 256, 1024), seconds=10.0)
SCANS = {
    "additive": Scan(),
    "decoder-step": Scan(
        (16, 64, 256, 1024, 4096)
    ),  # longer memories of 32 sentences take GiB as inputs
    "window": Scan(quick=(256, 1024)),
    "window-sparsemax": Scan((256, 1024, 4096, 16384, 65536), quick=(256, 1024)),
    "window-entmax": Scan((256, 1024, 4096, 16384, 65536), quick=(256, 1024)),
    # ten edges to a node: 100,000 nodes have the million edges that the headline asks for
    "gat": Scan((64, 1024, 16384, 100_000, 131072), quick=(1024,)),
    "gatv2": Scan((64, 256, 1024, 4096, 16384, 65536, 100_000, 131072), quick=(1024,)),
    "graph-transformer": Scan((64, 1024, 16384, 100_000, 131072), quick=(1024,)),
    "sparsemax": Scan((64, 512, 4096, 32768)),
    "entmax": Scan((64, 512, 4096, 32768)),
    "dot": _SERVED,
    "dot-causal": _SERVED,
    "dot-padded": _SERVED,
    "dot-packed": _SERVED,
    "dot-boolean": _SERVED,
    "dot-causal-bfloat16": _SERVED,
    "dot-causal-float16": _SERVED,
    "cache": Scan((256, 1024, 4096, 32768), quick=(256, 1024)),
    "bahdanau-decoder": Scan((8, 16, 32), quick=(8,)),
    "bahdanau-training": Scan((8, 16, 32), quick=(8,)),
}
"""Every operation of `heedful bench`, by name."""


def jobs(
    names: list[str],
    threads: tuple[int, ...],
    *,
    quick: bool,
    only: tuple[int, ...] = (),
    processor_time: bool = False,
) -> Iterator[Job]:
    """Yield the jobs of the operations named, each with one number of threads, where any length is left."""
    for name in names:
        for count in threads:
            job = SCANS[name].job(
                name, count, quick=quick, only=only, processor_time=processor_time
            )
            if job.cases:
                yield job
