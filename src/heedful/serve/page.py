"""The page to try the models: its parts are files of the package, and nothing in it comes from a request."""

from __future__ import annotations

from importlib import resources
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from heedful.explore.html import asset
from heedful.serve.refused import RefusedError

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' blob:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
SCRIPT: Final = "text/javascript"
STYLE: Final = "text/css"


def _own(name: str) -> str:
    return (resources.files("heedful.serve") / "assets" / name).read_text(encoding="utf-8")


def _files() -> dict[str, tuple[str, str]]:
    """Return the parts of the page: name -> (media type, text)."""
    return {
        "try.js": (SCRIPT, _own("try.js")),
        "try.css": (STYLE, _own("try.css")),
        "explorer.js": (SCRIPT, asset("explorer.js")),
        "page.css": (STYLE, asset("page.css")),
    }


async def try_page(request: Request) -> Response:
    """Return the page."""
    headers = {"content-security-policy": POLICY}
    return Response(_own("try.html"), media_type="text/html", headers=headers)


async def static(request: Request) -> Response:
    """Return a part of the page; anything else is not there."""
    found = _files().get(request.path_params["name"])
    if found is None:
        raise RefusedError(404, "the page has no such part.")
    return Response(found[1], media_type=found[0])
