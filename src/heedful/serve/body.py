"""Bodies of requests: read within limits, counted while they are held, and parsed."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final, NoReturn

import python_multipart  # noqa: F401  # what Starlette reads forms with, if it is there
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from heedful.errors import shown
from heedful.serve.limits import Limits
from heedful.serve.refused import RefusedError
from heedful.serve.uploads import Upload

JSON: Final = "application/json"
MULTIPART: Final = "multipart/form-data"
FORM: Final = "application/x-www-form-urlencoded"
FIELDS: Final = 100
"""Fields of a form that are no files."""


class GoneError(Exception):
    """The client has closed its connection."""


class Bodies:
    """Reads the bodies of requests, and knows how many bytes of them are held."""

    def __init__(self, limits: Limits):
        self.limits = limits
        self.held = 0

    @contextlib.asynccontextmanager
    async def read(self, request: Request) -> AsyncIterator[bytes]:
        """Read a body, which is counted until the context is left.

        Raises: RefusedError for one that is too large or too slow, or if all of them together are too large; GoneError.
        """
        announced = request.headers.get("content-length", "0")
        if not announced.isdecimal() or int(announced[:20]) > self.limits.request_bytes:
            raise self._too_large()
        parts: list[bytes] = []
        try:
            async with asyncio.timeout(self.limits.transfer_seconds):
                async for part in request.stream():
                    parts.append(part)
                    self.held += len(part)
                    if sum(map(len, parts)) > self.limits.request_bytes:
                        raise self._too_large()
                    if self.held > self.limits.waiting_bytes:
                        raise RefusedError(429, "too many bytes of requests are being answered.", 1)
            yield b"".join(parts)
        except TimeoutError:
            raise RefusedError(
                408,
                f"the body took longer than {self.limits.transfer_seconds:g} seconds to arrive.",
            ) from None
        except ClientDisconnect:
            raise GoneError from None
        finally:
            self.held -= sum(map(len, parts))

    def _too_large(self) -> RefusedError:
        return RefusedError(
            413, f"the body is larger than the {self.limits.request_bytes:,} bytes of the limit."
        )


def content_type(request: Request) -> str:
    """Return the media type of a request without its parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def parse_json(body: bytes) -> dict[str, Any]:
    """Return the object of a body in JSON.

    Raises: RefusedError for anything else.

    >>> parse_json(b'{"inputs": ["a"]}')
    {'inputs': ['a']}
    """
    try:
        values = json.loads(body.decode("utf-8"), parse_constant=_constant)
    except RecursionError:
        raise RefusedError(400, "the JSON is nested too deeply.") from None
    except ValueError as error:
        raise RefusedError(400, f"the body is not JSON in UTF-8: {error}.") from None
    if not isinstance(values, dict):
        raise RefusedError(400, f"the body is {shown(values, 60)}; expected an object of JSON.")
    return values


async def read_form(request: Request, body: bytes, files: int) -> dict[str, Any]:
    """Return the fields of a form: texts, and for each name of files a list of uploads.

    Raises: RefusedError for a body that is no form, or more than so many files.
    """
    is_sent = False

    async def receive() -> Message:
        nonlocal is_sent
        if is_sent:
            return {"type": "http.disconnect"}
        is_sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    again = Request(request.scope, receive)
    try:
        async with again.form(
            max_files=files, max_fields=FIELDS, max_part_size=len(body) + 1
        ) as form:
            found: dict[str, Any] = {}
            for name, value in form.multi_items():
                if isinstance(value, UploadFile):
                    upload = Upload(value.filename or "", await value.read())
                    found.setdefault(name, []).append(upload)
                else:
                    found[name] = value
            return found
    except HTTPException as error:
        raise RefusedError(400, f"the form cannot be read: {error.detail}") from None
    except (ValueError, KeyError):
        raise RefusedError(400, "the form cannot be read.") from None


async def read_values(request: Request, body: bytes, files: int) -> Mapping[str, Any]:
    """Return the fields of a body in JSON or of a form.

    Raises: RefusedError for another media type.
    """
    kind = content_type(request)
    # curl -d says that it sends a form, whatever it is.
    if kind == JSON or (kind == FORM and body.lstrip().startswith(b"{")):
        return parse_json(body)
    if kind in (MULTIPART, FORM):
        return await read_form(request, body, files)
    raise RefusedError(
        415, f"the content type is {shown(kind, 60)}; expected {JSON} or {MULTIPART}."
    )
