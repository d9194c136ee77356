"""Weights over a long text in a terminal: its words one after another, each shaded by its share."""

from __future__ import annotations

from collections.abc import Collection

from rich.text import Text

from heedful.errors import unknown_choice
from heedful.explore.schema import AttentionRecord
from heedful.explore.select import kind_name
from heedful.explore.terminal import STYLES, colour
from heedful.explore.tokens import visible

LEAST: float = 2.0
"""Without colours a word shows its share if it has so many times that of an even one."""


def shaded_text(
    record: AttentionRecord, *, style: str = "color", breaks: Collection[str] = ()
) -> Text:
    r"""Return the key tokens of a record as running text, each with the mean of its weights over heads and queries.

    In colour the background says the share, darkest the greatest; without, the words of the greatest shares are
    followed by them. A heat map of so many columns would not fit.

    Args:
        record: the weights.
        style: "color", "shades" (no colour) or "ascii", as of `heat_map`.
        breaks: tokens that a new line begins with, such as those of speakers.

    Raises:
        OptionError: no such style.

    >>> record = AttentionRecord("", "cross", 0, ("Yes",), ("user:", "are", "you", "free"), [[[0, 0.5, 0.5, 0]]])
    >>> print(shaded_text(record, style="shades", breaks=["user:"]))
    cross: output × input, layer 1, summed up: attention weights
    user: are[.50] you[.50] free
    """
    if style not in STYLES:
        raise unknown_choice("terminal style", style, STYLES)
    shares = record.mean().weights[0].mean(axis=0)
    most, even = max(float(shares.max()), 1e-9), float(shares.mean())
    layer = f"{kind_name(record.kind)}, layer {record.layer + 1}"
    heading = f"{layer}, summed up: {record.measure}"
    text = Text()
    text.append(heading if style != "ascii" else heading.replace("×", "x"), style="bold")
    start = "\n"
    for token, share in zip(record.key_tokens, shares.tolist(), strict=True):
        text.append("\n" if token in breaks else start)
        start = " "
        if STYLES[style].coloured:
            dark = share > most / 2
            red, green, blue = colour(share / most)
            written = f"{'white' if dark else 'black'} on rgb({red},{green},{blue})"
            text.append(visible(token), style=written)
        else:
            text.append(visible(token))
            if share >= LEAST * even:
                text.append(f"[{share:.2f}]".replace("[0.", "[."))
    return text
