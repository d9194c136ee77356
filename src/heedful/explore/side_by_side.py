"""A page of two explanations, of two models or two inputs, and their difference."""

from __future__ import annotations

from heedful.explore.difference import differences
from heedful.explore.explanation import Explanation
from heedful.explore.page_data import Drawing
from heedful.explore.report import Maps, report_page

Titled = tuple[str, Explanation]


def comparison_page(title: str, first: Titled, second: Titled) -> str:
    """Return an offline HTML page: the difference of the weights, second − first, then both.

    Args:
        title: of the page.
        first, second: (what it is called, the explanation) of each.

    Raises:
        OptionError: there is no layer that both have, or their texts have no token in common.
    """
    return report_page(title, [comparison_maps(first, second)])


def comparison_maps(first: Titled, second: Titled) -> Maps:
    """Return the heat maps of `comparison_page`, as a section of a page."""
    one, two = first[1], second[1]
    found = differences(one.records, two.records)
    examples = [
        (f"Difference: {second[0]} \N{MINUS SIGN} {first[0]}", found),
        (first[0], one.records),
        (second[0], two.records),
    ]
    # Of one graph or image the difference has the same places.
    shared: Drawing | None = one.drawing if one.drawing == two.drawing else None
    return Maps("", examples, ["", one.picture, two.picture], [shared, one.drawing, two.drawing])
