"""The page to try the models: its parts are files of the package, and nothing in it comes from a request."""

from __future__ import annotations

from importlib import resources
from typing import Final, NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from heedful.explore.html import asset
from heedful.serve.refused import RefusedError

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' blob: data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
SCRIPT: Final = "text/javascript"
STYLE: Final = "text/css"


PAGE: Final = "try.html"


class Part(NamedTuple):
    """A file of the page."""

    media_type: str
    text: str


def _own(name: str) -> str:
    return (resources.files("heedful.serve") / "assets" / name).read_text(encoding="utf-8")


def parts() -> dict[str, Part]:
    """Return the parts of the page by name."""
    return {
        PAGE: Part("text/html", _own(PAGE)),
        "try.js": Part(SCRIPT, _own("try.js")),
        "try.css": Part(STYLE, _own("try.css")),
        "explorer.js": Part(SCRIPT, asset("explorer.js")),
        "page.css": Part(STYLE, asset("page.css")),
    }


async def try_page(request: Request) -> Response:
    """Return the page."""
    found = parts()[PAGE]
    headers = {"content-security-policy": POLICY}
    return Response(found.text, media_type=found.media_type, headers=headers)


async def static(request: Request) -> Response:
    """Return a part of the page; anything else is not there."""
    found = parts().get(request.path_params["name"])
    if found is None or found.media_type not in (SCRIPT, STYLE):
        raise RefusedError(404, "the page has no such part.")
    return Response(found.text, media_type=found.media_type)
