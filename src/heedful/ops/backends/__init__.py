"""The ways to compute attention. A new backend is one file and one line in `BACKENDS`."""

from __future__ import annotations

from heedful.ops.backends.additive.backend import AdditiveBackend
from heedful.ops.backends.band.backend import Banded
from heedful.ops.backends.base import Backend
from heedful.ops.backends.chunked import Chunked
from heedful.ops.backends.decode.backend import Decode
from heedful.ops.backends.edges.backend import EdgeByEdge
from heedful.ops.backends.flex import Flex
from heedful.ops.backends.reference import Reference
from heedful.ops.backends.sdpa.backend import SDPA

BACKENDS: dict[str, Backend] = {
    backend.name: backend
    for backend in (
        SDPA(),
        Flex(),
        Banded(),
        Decode(),
        EdgeByEdge(),
        AdditiveBackend(),
        Chunked(),
        Reference(),
    )
}
"""Every backend by name."""

__all__ = ["BACKENDS", "Backend"]
