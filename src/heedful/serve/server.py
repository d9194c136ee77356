"""Run a service on a port until a signal comes, and then until the requests under way are answered."""

from __future__ import annotations

import contextlib
import ipaddress
import math
import signal
import socket
import threading
from collections.abc import Collection, Iterator
from typing import Final

import uvicorn

from heedful.errors import OptionError
from heedful.serve.app import build_app
from heedful.serve.connections import limited_protocol
from heedful.serve.service import Service

LOOPBACK_NAMES: Final = ("localhost", "127.0.0.1", "::1")


def is_loopback(host: str) -> bool:
    """Return whether an address can be reached from this machine alone.

    >>> is_loopback("localhost"), is_loopback("127.0.0.9"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens, so that a port in use is an error before models are loaded.

    Args:
        host: a name or an address.
        port: 0: any free one.

    Raises: OptionError if it cannot be had.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(1024)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise OptionError(
            f"cannot listen on {host}, port {port}: {error.strerror or error}; give another --host or --port."
        ) from None
    return listener


class Server(uvicorn.Server):
    """uvicorn's server, which ends as usual after a signal instead of raising it again."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Let signals end the server within the context, in the main thread."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        handled = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self.handle_exit) for number in handled}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def build_server(
    service: Service, *, token: str | None = None, hosts: Collection[str] = ()
) -> Server:
    """Return the server of a service, whose `run` takes the sockets and returns after SIGTERM or SIGINT.

    Requests that are under way then are answered first.

    Args:
        service: the models, which have to be `running`.
        token: see `build_app`.
        hosts: see `build_app`.
    """
    limits = service.limits
    return Server(
        uvicorn.Config(
            build_app(service, token, hosts),
            http=limited_protocol(limits),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=math.ceil(limits.transfer_seconds),
            timeout_graceful_shutdown=math.ceil(limits.seconds + limits.transfer_seconds),
        )
    )
