"""A live page in a notebook: anywidget's messages in Python, and its module in a browser with a small host."""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

import heedful
from heedful.errors import DataError, OptionError
from heedful.explore import AttentionRecord
from heedful.explore.explanation import Explanation
from heedful.explore.html import asset
from heedful.explore.live_session import LiveSession
from heedful.explore.notebook import live_widget, reply
from tests.explore.browser import BROWSER, browsing


def explain(text: str) -> Explanation:
    if text == "bad":
        raise DataError("this text cannot be read")
    words = text.split()
    record = AttentionRecord("a", "pooling", 0, ["good"], words, [[[1 / len(words)] * len(words)]])
    return Explanation(f"good: {text}", text, None, None, [record], "")


class Kernel:
    """Stands for the widget of a session: keeps what is sent to its page."""

    def __init__(self) -> None:
        self.session = LiveSession(explain, title="A model", frame=True)
        self.sent: list[tuple[dict[str, Any], bytes]] = []

    def send(self, content: dict[str, Any], buffers: list[bytes]) -> None:
        self.sent.append((content, buffers[0]))

    def ask(self, number: int, path: str) -> dict[str, Any]:
        reply(self.session, self, {"id": number, "path": path}, [])
        content, data = self.sent[-1]
        return {**content, "bytes": base64.b64encode(data).decode()}


def test_the_kernel_answers_messages() -> None:
    pytest.importorskip("anywidget")
    widget = live_widget(explain, title="A model")
    assert "postMessage" in widget._esm
    sent: list[tuple[Any, Any]] = []
    widget.send = lambda content, buffers: sent.append((content, buffers))
    widget._handle_custom_msg({"id": 1, "path": f"explain?text={quote('a fine day')}"}, [])
    [(content, [data])] = sent
    assert content == {"id": 1, "status": 200}
    [figure] = json.loads(data)["figures"]
    widget._handle_custom_msg(
        {"id": 2, "path": f"part/{figure['data']['records'][0]['weights']}"}, []
    )
    assert sent[1][0] == {"id": 2, "status": 200}
    widget._handle_custom_msg({"id": 3, "path": "part/none"}, [])
    assert sent[2][0]["status"] == 404
    for wrong in ("text", {"id": "1", "path": ""}, {"id": 1}, {"id": 1, "path": 2}):
        widget._handle_custom_msg(wrong, [])
    assert len(sent) == 3


def test_a_trained_model_is_live(tmp_path: Path) -> None:
    pytest.importorskip("anywidget")
    rows = [{"text": "a good film", "label": "good"}, {"text": "a bad film", "label": "bad"}] * 4
    model = heedful.train(
        "classify", train=rows, valid=rows, out=tmp_path / "mood", training={"epochs": 1}
    )
    widget = model.live()
    sent: list[tuple[Any, Any]] = []
    widget.send = lambda content, buffers: sent.append((content, buffers))
    widget._handle_custom_msg({"id": 1, "path": "explain?text=a+good+day"}, [])
    assert json.loads(sent[0][1][0])["message"] == ""


def test_without_anywidget_one_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "anywidget", None)
    with pytest.raises(OptionError, match=r'pip install "heedful\[notebook\]"'):
        live_widget(explain, title="A model")


HOST = """<!DOCTYPE html><meta charset="utf-8"><body><p data-state="all">cell</p><div id="cell"></div>
<script type="module">
import widget from "data:text/javascript;base64,{module}";
const acts = [];
const model = {{
  on: (name, act) => acts.push(act),
  off: () => {{}},
  send: async (content) => {{
    const found = await window.kernel(content.id, content.path);
    const bytes = Uint8Array.from(atob(found.bytes), (character) => character.charCodeAt(0));
    // As Jupyter does it: a view of a larger buffer.
    const larger = new Uint8Array(bytes.length + 8);
    larger.set(bytes, 4);
    const view = new DataView(larger.buffer, 4, bytes.length);
    for (const act of acts) act({{ id: found.id, status: found.status }}, [view]);
  }},
}};
window.ready = () => {{ window.stop = widget.render({{ model, el: document.getElementById("cell") }}); }};
</script>"""


@pytest.mark.skipif(BROWSER is None, reason="no browser is installed (chromium)")
def test_the_module_carries_the_messages_of_its_frame(tmp_path: Path) -> None:
    module = base64.b64encode(asset("widget.js").encode()).decode()
    kernel = Kernel()
    with browsing(HOST.format(module=module), tmp_path) as (page, failures):
        page.expose_function("kernel", kernel.ask)
        page.evaluate("window.ready()")
        inner = page.frame_locator("iframe")
        inner.locator("#text").fill("a fine day")
        inner.locator('[data-state="all"]').wait_for()
        assert inner.locator("h1").inner_text() == "good: a fine day"
        assert inner.locator(".words .keys span").count() == 3
        inner.locator("#text").fill("bad")
        inner.locator("button", has_text="Explain").click()
        inner.locator("#live-message", has_text="this text cannot be read").wait_for()
        # Nothing of the notebook is within reach of the frame, and others cannot ask by its widget.
        assert page.locator("iframe").get_attribute("sandbox") == "allow-scripts allow-downloads"
        before = len(kernel.sent)
        page.evaluate("window.postMessage({ heedful: 1, path: 'explain?text=x' }, '*')")
        page.wait_for_timeout(100)
        assert len(kernel.sent) == before
        page.evaluate("window.stop()")
        assert page.locator("iframe").count() == 0
    assert failures == []
