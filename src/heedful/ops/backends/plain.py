"""Plain mathematics in bounded memory: the fallback of the fast backends, for example with NaN behind a mask."""

from __future__ import annotations

from heedful.ops.backends.base import WHOLE_BYTES
from heedful.ops.backends.chunked import Chunked
from heedful.ops.backends.reference import Reference
from heedful.ops.call import Attended, Call


def attend_plainly(call: Call) -> Attended:
    """Compute a call by `reference`, or by `chunked` if all scores together exceed `WHOLE_BYTES`."""
    reference = Reference()
    fits = reference.bytes_at_once(call) <= WHOLE_BYTES
    if fits or Chunked().supports(call) is not None:
        return reference.run(call)
    return Chunked().run(call)
