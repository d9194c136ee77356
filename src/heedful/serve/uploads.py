"""Files that clients send: kept in a folder of their own while they are answered, and then removed."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heedful.errors import shorten
from heedful.serve.refused import RefusedError

_SUFFIX = re.compile(r"\.[a-z0-9]{1,5}(\.gz)?\Z")


@dataclass(frozen=True)
class Upload:
    """A file of a client."""

    name: str
    """As the client calls it, for messages; nothing of the server is called so."""
    content: bytes

    @property
    def suffix(self) -> str:
        """The ending of the name, which readers tell formats by; empty unless it is a few letters."""
        found = _SUFFIX.search(self.name.lower())
        return found[0] if found else ""

    @property
    def shown_name(self) -> str:
        """The name without folders, shortened."""
        return shorten(re.split(r"[/\\]", self.name)[-1], 80) or "the file"

    @property
    def own_name(self) -> str:
        """The name of the file on the server."""
        return f"upload{self.suffix}"

    def write(self, folder: Path) -> Path:
        """Write the file under a name of the server's own."""
        path = folder / self.own_name
        path.write_bytes(self.content)
        return path


def upload_of_json(given: Any) -> Any:
    """Return the upload in `{"base64": ..., "name": ...}`; anything else as it is.

    Raises: RefusedError for what is not base64.

    >>> upload_of_json({"base64": "aGk=", "name": "a.PNG"}).suffix
    '.png'
    """
    if not isinstance(given, Mapping) or "base64" not in given:
        return given
    content, name = given["base64"], given.get("name", "")
    if not isinstance(content, str) or not isinstance(name, str) or set(given) - {"base64", "name"}:
        raise RefusedError(400, 'expected {"base64": TEXT, "name": TEXT}.')
    try:
        return Upload(name, base64.b64decode(content, validate=True))
    except (binascii.Error, ValueError):
        raise RefusedError(400, "base64 holds other characters than those of base64.") from None
