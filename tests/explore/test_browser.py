"""The page in a real browser, where one is installed: what its script draws and how it answers."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest

from heedful.explore import AttentionRecord, draw_html

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1200,1000",
    "--virtual-time-budget=30000",
    "--dump-dom",
]
# A headless browser that writes a page out may draw no frame before: sizes and frames come by timers instead.
FRAMES = """<script>
window.requestAnimationFrame = (draw) => setTimeout(draw, 0);
window.ResizeObserver = class { constructor(tell) { this.tell = tell; } observe() { setTimeout(this.tell, 0); } };
</script>"""
# What a person does, and what is to be seen after each step.
PLAY = """<script>
window.alerts = 0; window.alert = () => { window.alerts += 1; };
window.failures = []; window.onerror = (message) => { window.failures.push(message); };
const waiting = setInterval(() => {
  if (!document.querySelector('.map')) return;
  clearInterval(waiting);
  const seen = [];
  const press = (key) => {
    document.querySelector('.map').dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true }));
    seen.push(document.querySelector('.readout').textContent);
  };
  const choose = (name, value) => {
    const menu = document.querySelector(`[data-menu="${name}"]`);
    menu.value = value;
    menu.dispatchEvent(new Event('change'));
  };
  const menus = () => Array.from(document.querySelectorAll('select'), (one) => one.value).join(' ');
  press('ArrowRight'); press('ArrowDown');
  choose('Kind', 'decoder');
  seen.push(menus());
  press('ArrowRight'); press('ArrowRight');
  seen.push(`masked shapes: ${document.querySelectorAll('rect.masked').length}`);
  choose('Kind', 'cross');
  document.querySelectorAll('.overview button')[3].click();
  seen.push(menus());
  choose('Colours', 'root');
  seen.push(menus());
  seen.push(`images: ${document.images.length}, alerts: ${window.alerts}`);
  seen.push(`legend: ${Array.from(document.querySelectorAll('.legend text'), (one) => one.textContent).join(' ')}`);
  seen.push(`failures: ${window.failures.join('; ')}`);
  const note = document.createElement('pre');
  note.id = 'seen';
  note.textContent = seen.join('\\n');
  document.body.append(note);
}, 100);
</script></body>"""


@pytest.mark.long
@pytest.mark.skipif(BROWSER is None, reason="no browser is installed (chromium)")
def test_a_person_moves_through_the_page(
    cross: AttentionRecord, causal: AttentionRecord, tmp_path: Path
) -> None:
    evil = "</script><img src=x onerror=alert(1)>"
    named = replace(cross, query_tokens=(evil, "Hund", "läuft"))
    text = draw_html([named, replace(named, layer=1), causal])
    # The page forbids every script but its own, this one too: so the policy is taken out.
    text = re.sub(r"<meta http-equiv[^>]*>", "", text).replace("</body>", PLAY)
    text = text.replace("<head>", "<head>" + FRAMES, 1)
    assert FRAMES in text
    (tmp_path / "page.html").write_text(text, encoding="utf-8")
    command = [str(BROWSER), *FLAGS, f"--user-data-dir={tmp_path / 'profile'}"]
    result = subprocess.run(
        [*command, (tmp_path / "page.html").as_uri()],
        capture_output=True,
        check=False,
        encoding="utf-8",
        timeout=300,
    )
    found = re.search(r'<pre id="seen">(.*?)</pre>', result.stdout, re.DOTALL)
    assert found, result.stderr[-2000:]
    assert unescape(found[1]).splitlines() == [
        f"“{evil.replace(' ', '␣')}” → “a”: 0.4",
        "“Hund” → “a”: 0",
        "decoder linear",
        "“<begin>” → “<begin>”: 1",
        "“<begin>” → “ein”: masked, may not attend",
        "masked shapes: 2",
        "cross 1 1 linear",
        "cross 1 1 root",
        "images: 0, alerts: 0",
        "legend: 0 0.05 0.25 0.5 1",
        "failures: ",
    ]
