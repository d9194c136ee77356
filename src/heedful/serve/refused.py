"""A request that is answered with an error."""

from __future__ import annotations

from heedful.errors import HeedfulError


class RefusedError(HeedfulError):
    """A request that is not served.

    Args:
        status: the HTTP status.
        message: what was got, what was wanted and how to mend it.
        retry_after: seconds after which it may be tried again, for an overloaded server.
    """

    def __init__(self, status: int, message: str, retry_after: int | None = None):
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after
