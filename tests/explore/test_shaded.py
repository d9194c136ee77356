"""Running text shaded by weights: lines, shares and colours."""

from __future__ import annotations

import numpy as np
import pytest

from heedful.errors import OptionError
from heedful.explore.schema import AttentionRecord
from heedful.explore.shaded import shaded_text
from heedful.explore.terminal import colour

KEYS = ("user:", "hi", "assistant:", "hello", "user:", "are", "you", "free")
WEIGHTS = np.array([[[0, 0.1, 0, 0, 0, 0.3, 0.6, 0], [0, 0.1, 0, 0, 0, 0.5, 0.2, 0.2]]])
RECORD = AttentionRecord("", "cross", 0, ("Yes", "."), KEYS, WEIGHTS)


def test_each_turn_is_a_line_and_great_shares_are_written() -> None:
    text = shaded_text(RECORD, style="shades", breaks=["user:", "assistant:"]).plain
    assert text.split("\n")[1:] == ["user: hi", "assistant: hello", "user: are[.40] you[.40] free"]
    assert "x input" in shaded_text(RECORD, style="ascii").plain


def test_in_colour_the_greatest_share_is_darkest() -> None:
    text = shaded_text(RECORD, breaks=["user:"])
    styles = {text.plain[span.start : span.end].strip(): str(span.style) for span in text.spans[1:]}
    assert f"rgb({','.join(map(str, colour(1.0)))})" in styles["you"]
    assert styles["you"].startswith("white")
    assert styles["hello"] == f"black on rgb({','.join(map(str, colour(0.0)))})"
    assert "[" not in text.plain


def test_an_unknown_style() -> None:
    with pytest.raises(OptionError, match="unknown terminal style 'shadow'"):
        shaded_text(RECORD, style="shadow")
