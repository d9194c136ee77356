"""The first picture of the README, light and dark: `heedful demo`, then `python docs/hero.py heedful-demo TEXT`.

Lines go from each character of the output to those of the input that it looked at, as wide as the weights.
"""

from __future__ import annotations

import argparse
import html
from pathlib import Path
from typing import Final

import numpy as np

import heedful
from heedful.data.words import SPACE_MARK
from heedful.explore import AttentionRecord
from heedful.tasks.alignment import END

IMAGES: Final = Path(__file__).parent / "images"
SCHEMES: Final = {
    "light": {"paper": "#ffffff", "ink": "#1a1f26", "soft": "#5a6470", "line": "#1764ab"},
    "dark": {"paper": "#0d1117", "ink": "#e8ecf0", "soft": "#a5b0bb", "line": "#7dbdf0"},
}
"""As of the explorer's pages."""
STEP: Final = 34
"""Pixels of a character."""
EDGE, TOP, BOTTOM = 40, 118, 330
LEAST: Final = 0.02
"""The smallest weight that is drawn."""


def hero(record: AttentionRecord, title: str, scheme: str) -> str:
    """Return an SVG of the mean over heads of a record."""
    colours = SCHEMES[scheme]
    weights = record.mean().weights[0]
    columns = max(len(record.key_tokens), len(record.query_tokens))
    width = 2 * EDGE + STEP * columns

    def places(count: int) -> list[float]:
        return [width / 2 + STEP * (n - (count - 1) / 2) for n in range(count)]

    above, below = places(len(record.key_tokens)), places(len(record.query_tokens))
    label = f"Which characters of the input each character of the output looked at: {title}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {BOTTOM + 56}" width="{width}" role="img" '
        f"aria-label=\"{html.escape(label)}\" font-family=\"system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif\">",
        f'<rect width="100%" height="100%" fill="{colours["paper"]}"/>',
        _text(EDGE, 44, title, colours["ink"], size=24, anchor="start", weight=600),
        _text(EDGE, TOP - 36, "read", colours["soft"], size=14, anchor="start"),
        _text(EDGE, BOTTOM + 34, "written", colours["soft"], size=14, anchor="start"),
    ]
    for query, key in np.argwhere(weights >= LEAST).tolist():
        weight = float(weights[query, key])
        middle = (TOP + BOTTOM) / 2
        start, end = f"{below[query]:.0f}", f"{above[key]:.0f}"
        path = f"M{start} {BOTTOM - 24}C{start} {middle} {end} {middle} {end} {TOP + 12}"
        parts.append(
            f'<path d="{path}" fill="none" stroke="{colours["line"]}" stroke-linecap="round" '
            f'stroke-opacity="{0.15 + 0.85 * weight**0.5:.2f}" stroke-width="{1 + 8 * weight:.1f}"/>'
        )
    for tokens, at, y in (
        (record.key_tokens, above, TOP),
        (record.query_tokens, below, BOTTOM),
    ):
        for token, x in zip(tokens, at, strict=True):
            shown = {SPACE_MARK: "", END: "end"}.get(token, token)
            size = 22 if len(shown) == 1 else 12
            parts.append(_text(x, y, shown, colours["ink" if size > 12 else "soft"], size=size))
    return "\n".join([*parts, "</svg>\n"])


def _text(
    x: float,
    y: float,
    text: str,
    fill: str,
    *,
    size: int,
    anchor: str = "middle",
    weight: int = 400,
) -> str:
    return (
        f'<text x="{x:.0f}" y="{y}" fill="{fill}" font-size="{size}" font-weight="{weight}" '
        f'text-anchor="{anchor}">{html.escape(text)}</text>'
    )


def main() -> None:
    """Draw what the run of the command line looked at."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("text")
    given = parser.parse_args()
    explained = heedful.load(given.run).explain(given.text)
    [record] = explained.main
    for scheme in SCHEMES:
        path = IMAGES / f"alignment-{scheme}.svg"
        path.write_text(hero(record, explained.title, scheme), encoding="utf-8")


if __name__ == "__main__":
    main()
