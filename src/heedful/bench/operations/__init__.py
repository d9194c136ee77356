"""The operations that are measured. A new one is one file and one line in `OPERATIONS`."""

from __future__ import annotations

from heedful.bench.operations.additive import ADDITIVE
from heedful.bench.operations.cache import CACHE
from heedful.bench.operations.graph import GAT, GATV2, GRAPH_TRANSFORMER
from heedful.bench.operations.served import (
    SERVED,
    SERVED_BFLOAT16,
    SERVED_BOOLEAN,
    SERVED_CAUSAL,
    SERVED_FLOAT16,
    SERVED_PACKED,
    SERVED_PADDED,
)
from heedful.bench.operations.sparse import ENTMAX, SPARSEMAX
from heedful.bench.operations.sparse_window import WINDOW_ENTMAX, WINDOW_SPARSEMAX
from heedful.bench.operations.step import STEP
from heedful.bench.operations.training import DECODER, TRAINING
from heedful.bench.operations.window import WINDOW
from heedful.bench.values import Operation

OPERATIONS: dict[str, Operation] = {
    operation.name: operation
    for operation in (
        ADDITIVE,
        STEP,
        WINDOW,
        WINDOW_SPARSEMAX,
        WINDOW_ENTMAX,
        GAT,
        GATV2,
        GRAPH_TRANSFORMER,
        SPARSEMAX,
        ENTMAX,
        SERVED,
        SERVED_CAUSAL,
        SERVED_PADDED,
        SERVED_PACKED,
        SERVED_BOOLEAN,
        SERVED_BFLOAT16,
        SERVED_FLOAT16,
        CACHE,
        DECODER,
        TRAINING,
    )
}
"""Every operation by name."""

__all__ = ["OPERATIONS"]
