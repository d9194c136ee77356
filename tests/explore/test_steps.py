"""Attention step by step: what the page recomputes in a browser is what the model computed."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from heedful import masks, nn, normalizers, positions
from heedful.errors import OptionError
from heedful.explore import draw_html, recording
from heedful.explore.call_detail import CallDetail
from heedful.explore.steps import MAX_NUMBERS, steps_of
from tests.explore.browser import BROWSER, browsing, saved_files


def observed(memory_length: int = 0, **options: Any) -> Any:
    torch.manual_seed(0)
    module = nn.MultiHeadAttention(8, 4, **options)
    x = torch.randn(1, 5, 8)
    with recording(module, details=True) as recorder:
        if memory_length:
            module(x, torch.randn(1, memory_length, 8))
        else:
            module(x, mask=masks.Causal(), bias=torch.linspace(0, 1, 25).view(5, 5))
    return recorder


CASES: dict[str, dict[str, Any]] = {
    "grouped": {"num_kv_heads": 2},
    "rotary": {"rotary": positions.Rotary(2)},
    "additive": {"score": "additive"},
    "sparsemax": {"normalizer": normalizers.Sparsemax()},
    "cross": {"memory_length": 7},
}


@pytest.mark.skipif(BROWSER is None, reason="no browser is installed (chromium)")
@pytest.mark.parametrize("name", CASES)
def test_the_page_recomputes_every_number(name: str, tmp_path: Path) -> None:
    recorder = observed(**CASES[name])
    records = recorder.records()
    steps = steps_of(records, recorder.details())
    with browsing(draw_html(records, steps=steps), tmp_path) as (page, failures):
        page.click(".steps summary")
        page.wait_for_selector(".steps table")
        page.locator(".steps select").first.select_option("2")
        page.wait_for_function("() => document.querySelector('.steps select').value === '2'")
        rows = page.locator(".steps tbody tr").count()
        differences = page.locator(".steps .note").last.inner_text()
        weights = page.locator(".steps tbody tr td:nth-last-child(2)").all_inner_texts()
        files = saved_files(page, ".steps")
        text = page.inner_text(".steps")
    assert failures == []
    assert rows == len(records[0].key_tokens)
    assert len(files["CSV"].decode("utf-8-sig").strip().splitlines()) == 1 + rows
    told = re.findall(r"(scores|weights|output) ([\d.e-]*\d)", differences)
    assert max(float(number) for _, number in told) < 1e-5
    assert ("scores" in dict(told)) == (name != "additive")
    found = [float(each) for each in weights]
    assert found == pytest.approx(records[0].weights[0, 2].tolist(), abs=5e-4)
    assert ("masked: 0" in text) == (name != "cross")
    assert ("weights" in differences) == (name != "sparsemax")


def test_steps_that_are_too_many_or_do_not_give_the_weights_are_refused() -> None:
    recorder = observed()
    records, details = recorder.records(), recorder.details()
    [(path, detail)] = details.items()
    wrong = replace(detail, recomputed=detail.recomputed + 0.01)
    with pytest.raises(OptionError, match="differ by 0.01 from the model's"):
        steps_of(records, {path: wrong})
    long: CallDetail = replace(detail, key=torch.zeros(4, 5, MAX_NUMBERS))
    with pytest.raises(OptionError, match="a page holds 1,048,576"):
        steps_of(records, {path: long})
    with pytest.raises(OptionError, match="no steps to show"):
        steps_of(records, {})
