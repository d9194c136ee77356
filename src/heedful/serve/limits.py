"""The limits of a server: how large, how many, how long."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a server takes; anything beyond is answered with an error and costs little."""

    request_bytes: int = 10_000_000
    """Of the body of one request."""
    waiting_bytes: int = 200_000_000
    """Of the bodies of all requests that are being read or answered."""
    inputs: int = 256
    """Of one request."""
    queue: int = 1024
    """Inputs of a model that wait for their batch."""
    batch: int = 64
    """Inputs that are predicted together; a request is never divided."""
    wait: float = 0.002
    """Seconds that the first input of a batch waits for others while the model is free."""
    seconds: float = 30.0
    """From the end of a request to its answer."""
    transfer_seconds: float = 15.0
    """For the header of a request, for its body, and for the client to take the answer: each."""
    connections: int = 1000
    """Open connections; when one more comes, the one that has been idle longest is closed."""
    length: int | None = None
    """Positions of an input, such as tokens; None: see `length_limit`."""
    beam: int = 16
    """The largest beam that a request may ask for."""
    explained: int = 8
    """Inputs of a request whose attention is returned."""


def length_limit(limits: Limits, config: Any) -> int:
    """Return how many positions an input may have.

    By default 4 times the longest training example, and no less than 512, but at most a batch of predictions: time and
    memory of attention grow with the square of the length.
    """
    if limits.length is not None:
        return limits.length
    longest = max(4 * config.data.max_length, 512)
    return int(min(longest, config.prediction.batch_tokens))
