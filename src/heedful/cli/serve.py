"""`heedful serve`: trained models behind HTTP."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from heedful.cli.options import Quiet
from heedful.cli.output import Output
from heedful.errors import OptionError

INSTALL: Final = 'serving needs packages that are not installed: pip install "heedful[serve]"'
SWITCH_SECONDS: Final = 0.0005
TOKEN: Final = "HEEDFUL_TOKEN"
"""Environment variable with the token; an argument would be seen in the list of processes."""


def serve(
    runs: Annotated[
        list[Path],
        typer.Argument(help="Folders of trained runs.", metavar="RUN...", show_default=False),
    ],
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Address to listen on.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, metavar="N", help="Port; 0 is any free one.")
    ] = 8000,
    token_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="File with the token that requests have to bring; or set HEEDFUL_TOKEN. Needed for every address "
            "but this machine's own.",
            show_default=False,
        ),
    ] = None,
    max_bytes: Annotated[
        int, typer.Option(min=1, metavar="N", help="Largest body of a request, in bytes.")
    ] = 10_000_000,
    max_inputs: Annotated[int, typer.Option(min=1, metavar="N", help="Inputs of a request.")] = 256,
    max_length: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Positions of an input, such as tokens.",
            show_default="4 times the longest training example, at least 512",
        ),
    ] = None,
    max_queue: Annotated[
        int,
        typer.Option(min=1, metavar="N", help="Inputs that may wait; beyond, the answer is 429."),
    ] = 1024,
    batch: Annotated[
        int, typer.Option(min=1, metavar="N", help="Inputs that are predicted together.")
    ] = 64,
    wait: Annotated[
        float,
        typer.Option(
            min=0, max=1000, metavar="MS", help="Milliseconds that an input waits for others."
        ),
    ] = 2.0,
    timeout: Annotated[
        float,
        typer.Option(min=0.1, metavar="S", help="Seconds until a request is given up, with 503."),
    ] = 30.0,
    max_connections: Annotated[
        int, typer.Option(min=1, metavar="N", help="Open connections.")
    ] = 1000,
    quiet: Quiet = False,
) -> None:
    """Answer requests over HTTP with trained models, of any task.

    Open http://localhost:8000 for a page to try them, and /openapi.json for the description of the interface.
    Translators also answer LibreTranslate's clients, and every model those of the Open Inference Protocol (v2).

    Only programs on this machine are answered, unless --host names another address; then requests need a token.
    Requests that arrive while a model is busy are predicted together. SIGTERM and Ctrl-C answer what is under way
    and end the server.

    Example:
        heedful serve runs/en-de
        heedful serve runs/en-de runs/mood --port 9000
        heedful serve runs/en-de --host 0.0.0.0 --token-file token.txt
    """
    try:
        from heedful.serve import server
        from heedful.serve.limits import Limits
        from heedful.serve.service import Service
    except ImportError as error:
        raise OptionError(f"{INSTALL} ({error.name} is missing)") from None
    from heedful import api

    token = _token(token_file)
    is_local = server.is_loopback(host)
    if not is_local and token is None:
        raise OptionError(
            f"--host {host} is reached from other machines; give --token-file FILE, or set {TOKEN}."
        )
    limits = Limits(
        request_bytes=max_bytes,
        waiting_bytes=max(20 * max_bytes, 100_000_000),
        inputs=max_inputs,
        queue=max_queue,
        batch=batch,
        wait=wait / 1000,
        seconds=timeout,
        connections=_connections(max_connections),
        length=max_length,
    )
    output = Output(json=False, quiet=quiet)
    with server.listen(host, port) as listener:
        predictors: dict[str, Any] = {_name(run): api.load(run).predictor for run in runs}
        if len(predictors) < len(runs):
            raise OptionError("two runs have folders of the same name; rename one of them.")
        shown_port = listener.getsockname()[1]

        hosts = server.LOOPBACK_NAMES if is_local and token is None else ()
        service = Service(predictors, limits)
        # Requests are read while a model computes in Python, which else keeps the interpreter for 5 ms at a time.
        sys.setswitchinterval(SWITCH_SECONDS)
        with service.running():
            output.say(f"serving {', '.join(predictors)} on http://{_shown(host)}:{shown_port}")
            server.build_server(service, token=token, hosts=hosts).run(sockets=[listener])
    output.say("ended")


def _name(run: Path) -> str:
    """Return the name of a model in addresses: that of its folder."""
    return run.resolve().name


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _token(file: Path | None) -> str | None:
    """Return the token of a file or of the environment.

    Raises: OptionError for a file that cannot be read, or a token that is too short.
    """
    if file is None:
        token = os.environ.get(TOKEN)
    else:
        try:
            token = file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise OptionError(f"--token-file {file} cannot be read: {error}") from None
    if token is not None and (len(token) < 16 or not token.isascii() or not token.isprintable()):
        raise OptionError(
            "the token has fewer than 16 characters, or others than ASCII's; make one with: "
            "python -c 'import secrets; print(secrets.token_urlsafe())'"
        )
    return token


def _connections(wanted: int) -> int:
    """Return how many connections may be open: files of this process are limited, too."""
    try:
        import resource
    except ImportError:  # Windows
        return wanted
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + 100
    if soft < needed:
        soft = min(needed, hard) if hard != resource.RLIM_INFINITY else needed
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return max(1, min(wanted, soft - 100))
