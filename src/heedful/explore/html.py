"""Interactive heat maps of attention records in one offline HTML file; all tokens are escaped."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Final

from heedful.errors import OptionError
from heedful.explore.gates.draw import LayerGates
from heedful.explore.gold import GoldAlignment
from heedful.explore.page_data import Drawing, page_data
from heedful.explore.schema import ATTENTION, AttentionRecord
from heedful.explore.steps import Steps
from heedful.explore.tokens import html_text

CAUTION: Final = (
    "Each row holds the attention weights of one position over the columns. They show which positions "
    "the model attended to, not why it made its prediction."
)

_HATCH: Final = (
    '<svg width="0" height="0" style="position:absolute" aria-hidden="true"><defs>'
    '<pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse">'
    '<path d="M-1 1L1 -1M-1 7L7 -1M5 7L7 5" style="stroke:var(--hatch);stroke-width:1"/>'
    "</pattern></defs></svg>"
)


def asset(name: str) -> str:
    """Return a style sheet or script of the page."""
    return (resources.files("heedful.explore") / "assets" / name).read_text(encoding="utf-8")


def embedded_json(values: object) -> str:
    r"""Return JSON that is safe inside an HTML script element, whatever its strings contain.

    JSON holds these characters in strings alone, where an escape is the same character: `<`, `>` and `&`, by which
    HTML would find `</script>` or `<!--`, and all that is not ASCII, such as line separators. Double quotes and
    backslashes mean nothing to HTML here, and stay as JSON writes them.

    >>> print(embedded_json(["</script>", "a\\"]))
    ["\u003c/script\u003e","a\\"]
    """
    text = json.dumps(values, allow_nan=False, separators=(",", ":"))
    for character in "<>&'\x7f":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def figure(
    records: Sequence[AttentionRecord],
    *,
    name: str,
    gold: GoldAlignment | None = None,
    steps: Sequence[Steps] = (),
    gates: Sequence[LayerGates] = (),
    drawing: Drawing | None = None,
) -> str:
    """Return the HTML of one interactive figure over `records`; `name` must be unique in the page.

    If there are records of words and of subwords, the figure has a switch between them. Gold alignments are drawn over
    records of kind "cross". A `drawing` of the input is what the weights are first shown on.

    Raises:
        OptionError: there are no records, or a gold link is outside of them.
    """
    if not records:
        raise OptionError("there are no attention records to draw; record a model first.")
    for record in records:
        if gold is not None and record.kind == "cross":
            gold.check(record)
    data = page_data(records, name=name, gold=gold, steps=steps, gates=gates, drawing=drawing)
    parts = "".join(
        f'<script type="application/octet-stream" id="{html_text(part)}">{text}</script>\n'
        for part, text in data.parts.items()
    )
    return (
        f'<div class="figure" data-records="{html_text(name)}"></div>\n'
        f'<script type="application/json" id="{html_text(name)}">{embedded_json(data.description)}</script>\n'
        f"{parts}"
    )


def figure_values(
    records: Sequence[AttentionRecord], *, drawing: Drawing | None = None
) -> dict[str, Any]:
    """Return a figure as JSON values, with its parts, for a page that comes to its records later; see `figure`.

    The page puts them into a JSON script, names it in the attribute `data-records` of an element of class `figure`, and
    dispatches the event `heedful:figure` at that element.

    Raises:
        OptionError: there are no records.
    """
    if not records:
        raise OptionError("there are no attention records to draw; record a model first.")
    digest = hashlib.sha256()
    for record in records:
        tokens = (*record.query_tokens, *record.key_tokens)
        digest.update(repr(tokens).encode("utf-8", "replace"))
        digest.update(record.weights.tobytes())
    # Parts are kept by name: of other records they have other names.
    data = page_data(records, name=f"later-{digest.hexdigest()[:16]}", drawing=drawing)
    return {**data.description, "parts": dict(data.parts)}


def introduction(records: Iterable[AttentionRecord]) -> str:
    """Return the line above the heat maps: what they measure, and a caution about attention weights.

    >>> introduction([AttentionRecord("", "cross", 0, "x", "y", [[[1.0]]], measure="saliency")])
    'Shown: saliency.'
    """
    measures = list(dict.fromkeys(record.measure for record in records))
    shown = f"Shown: {', '.join(measures)}."
    return f"{shown} {CAUTION}" if ATTENTION in measures else shown


def page(title: str, body: str, *, live: str = "") -> str:
    """Wrap a body in the template that every HTML output shares.

    `live` says whom the page may ask for more while it is open: its "server", or the notebook around its "frame".

    The content security policy forbids all requests and all scripts but the page's own, so that
    no token can load or run anything. Pictures and sounds are part of the page (data:).
    """
    # What asks for more stands before what is drawn by it, and only in live pages.
    scripts = [asset(name) for name in (*(["transport.js"] if live else []), "explorer.js")]
    digests = " ".join(f"'sha256-{_digest(script)}'" for script in scripts)
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src {digests}"
    policy += "; img-src data:; media-src data:"
    policy += "; connect-src 'self'" if live == "server" else ""
    mark = f' data-live="{live}"' if live else ""
    return (
        f'<!DOCTYPE html>\n<html lang="en"{mark}>\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html_text(title)}</title>\n<style>\n{asset('page.css')}</style>\n</head>\n"
        f"<body>\n{_HATCH}\n<main>\n<h1>{html_text(title)}</h1>\n{body}</main>\n"
        "<noscript><p>The heat maps are drawn by JavaScript, which is switched off here.</p></noscript>\n"
        + "".join(f'<script type="module">{script}</script>\n' for script in scripts)
        + "</body>\n</html>\n"
    )


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def draw_html(
    records: Sequence[AttentionRecord],
    *,
    title: str = "Attention weights",
    picture: str = "",
    gold: GoldAlignment | None = None,
    steps: Sequence[Steps] = (),
    gates: Sequence[LayerGates] = (),
    after: str = "",
    drawing: Drawing | None = None,
) -> str:
    """Return a complete HTML page with the heat maps of the records, between the HTML `picture` and `after`.

    It opens with the record that `first_shown` names. Gold alignments are drawn over records of kind "cross".
    `steps` are shown step by step, for one query at a time, and `gates` of recurrent layers below; on a `drawing` of
    the input the weights are first shown.

    Raises:
        OptionError: there are no records, or a gold link is outside of them.

    >>> record = AttentionRecord("cross", "cross", 0, ("Haus",), ("house",), [[[1.0]]])
    >>> draw_html([record]).startswith("<!DOCTYPE html>")
    True
    """
    drawn = figure(records, name="records-1", gold=gold, steps=steps, gates=gates, drawing=drawing)
    note = f'<p class="note">{html_text(introduction(records))}</p>\n'
    return page(title, f"{picture}{drawn}{after}{note}")


def save_html(
    records: Sequence[AttentionRecord], path: str | Path, title: str = "Attention weights"
) -> None:
    """Write the page of `draw_html` to a file.

    Raises:
        OptionError: there are no records.
    """
    Path(path).write_text(draw_html(records, title=title), encoding="utf-8")
