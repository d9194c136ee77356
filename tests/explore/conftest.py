"""Small records that the renderers are tried on."""

from __future__ import annotations

import numpy
import pytest

from heedful.explore import AttentionRecord

HOSTILE = (
    "</script><img src=x onerror=alert(1)>",
    "<!--",
    "\"'&",
    "\u2028",
    "",
    " ",
    "\u202egnp",
)


@pytest.fixture
def cross() -> AttentionRecord:
    """Two heads, three German words that look at four English ones."""
    weights = numpy.array(
        [
            [[0.7, 0.1, 0.1, 0.1], [0.0, 0.9, 0.1, 0.0], [0.25, 0.25, 0.25, 0.25]],
            [[0.1, 0.1, 0.1, 0.7], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]],
        ]
    )
    return AttentionRecord(
        module_path="decoder.layers.0.cross",
        kind="cross",
        layer=0,
        query_tokens=("ein", "Hund", "läuft"),
        key_tokens=("a", "dog", "is", "running"),
        weights=weights,
        backend="reference",
    )


@pytest.fixture
def causal() -> AttentionRecord:
    """One head of a decoder's self-attention: what comes later is masked."""
    return AttentionRecord(
        module_path="decoder.layers.0.attention",
        kind="decoder",
        layer=0,
        query_tokens=("<begin>", "ein", "Hund"),
        key_tokens=("<begin>", "ein", "Hund"),
        weights=[[[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.2, 0.3, 0.5]]],
        mask=[[[True, False, False], [True, True, False], [True, True, True]]],
        backend="chunked",
    )


@pytest.fixture
def hostile() -> AttentionRecord:
    """Tokens that try to break out of whatever holds them."""
    count = len(HOSTILE)
    return AttentionRecord(
        module_path="</script>",
        kind="cross",
        layer=0,
        query_tokens=HOSTILE,
        key_tokens=HOSTILE,
        weights=[numpy.eye(count)],
        backend="<!--",
    )
