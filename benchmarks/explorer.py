"""`python -m benchmarks.explorer`: size and speed of the explorer's page, in the Chromium that is installed."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from heedful.explore import AttentionRecord, draw_html
from heedful.explore.weight_codes import code_weights

SPREAD = 3.0
"""Standard deviation of the logits: most heads of trained models are about as peaked."""


class Case(NamedTuple):
    name: str
    layers: int
    heads: int
    length: int
    causal: bool
    sink: float = 0.0
    """Added to the logits of the first key."""


CASES = (
    Case("12 × 12 × 512 × 512, causal", 12, 12, 512, True),
    Case("12 × 12 × 512 × 512, bidirectional", 12, 12, 512, False),
    Case("12 × 12 × 512 × 512, causal, with a sink", 12, 12, 512, True, 8.0),
    Case("4 × 4 × 440 × 440, bidirectional", 4, 4, 440, False),
    Case("4 × 4 × 2,000 × 2,000, causal", 4, 4, 2000, True),
)
COLUMNS = {
    "file, MB": "≤ 12 causal, 22 bidirectional",
    "written, s": "≤ 3",
    "first layer on screen, s": "≤ 1",
    "all, s": "≤ 2",
    "switch of head, ms of processor time": "≤ 16",
    "heap, MB": "≤ 150",
    "largest error of a weight": "≤ 0.004",
    "largest error of a row's sum, %": "≤ 1.1",
}
"""What is measured -> what is wanted at 12 × 12 × 512 × 512."""

SWITCH = """async (name) => {
  const next = () => new Promise((done) => {
    const channel = new MessageChannel();
    channel.port1.onmessage = done;
    channel.port2.postMessage(0);
  });
  const times = [];
  const count = document.querySelector(`[data-menu="${name}"]`).options.length;
  for (let i = 0; i < count; i++) {
    const menu = document.querySelector(`[data-menu="${name}"]`);
    menu.selectedIndex = i;
    await next();
    const began = performance.now();
    menu.dispatchEvent(new Event('change'));
    await next();
    document.body.getBoundingClientRect();
    times.push(performance.now() - began);
  }
  return times.sort((a, b) => a - b);
}"""


def records(case: Case, seed: int = 0) -> list[AttentionRecord]:
    """Softmax of normal logits over words of some lengths."""
    rng = np.random.default_rng(seed)
    words = ["w" * int(n) for n in rng.integers(2, 9, case.length)]
    allowed = np.tril(np.ones((case.length, case.length), bool)) if case.causal else None
    return [
        AttentionRecord(
            f"layers.{layer}.attention",
            "decoder" if case.causal else "encoder",
            layer,
            words,
            words,
            _weights(rng, case, allowed),
            mask=None if allowed is None else allowed[None],
        )
        for layer in range(case.layers)
    ]


def _weights(rng: np.random.Generator, case: Case, allowed: Any) -> Any:
    scores = rng.normal(0, SPREAD, (case.heads, case.length, case.length)).astype(np.float32)
    scores[..., 0] += case.sink
    if allowed is not None:
        scores = np.where(allowed, scores, -np.inf)
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def errors(shown: list[AttentionRecord]) -> tuple[float, float]:
    """The largest error of a weight and, in percent, of the sum of a row."""
    weight, total = 0.0, 0.0
    for record in shown:
        found = code_weights(record.weights).decoded()
        weight = max(weight, float(np.abs(found - record.weights).max()))
        off = np.abs(found.sum(-1, dtype=np.float64) / record.weights.sum(-1, dtype=np.float64) - 1)
        total = max(total, 100 * float(off.max()))
    return weight, total


def executable() -> str:
    found = shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        raise SystemExit("no browser is installed; install chromium to measure pages in it")
    return found


def browse(path: Path) -> dict[str, float]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable(), args=["--no-sandbox"])
        context = browser.new_context(viewport={"width": 1280, "height": 900}, offline=True)
        page = context.new_page()
        page.goto(path.as_uri())
        page.wait_for_selector('[data-state="all"]', timeout=300_000)
        marks = page.evaluate(
            "Object.fromEntries(performance.getEntriesByType('mark').map((m) => [m.name.split(' ')[1], m.startTime]))"
        )
        tools = context.new_cdp_session(page)
        tools.send("Performance.enable", {"timeDomain": "threadTicks"})
        heads, layers = (_switching(page, tools, name) for name in ("Head", "Layer"))
        usage = tools.send("Runtime.getHeapUsage")
        browser.close()
    heap = usage["usedSize"] + usage["embedderHeapUsedSize"] + usage["backingStorageSize"]
    return {
        "first layer on screen, s": marks["first"] / 1e3,
        "all, s": marks["all"] / 1e3,
        "switch of head, ms of processor time": heads[0],
        "switch of head, ms by the clock": heads[1],
        "switch of layer, ms of processor time": layers[0],
        "heap, MB": heap / 1e6,
    }


def _switching(page: Any, tools: Any, menu: str) -> tuple[float, float]:
    """Milliseconds of a switch by a menu: the mean of processor time, and the median by the clock."""
    before = _busy(tools)
    times = page.evaluate(SWITCH, menu)
    return 1e3 * (_busy(tools) - before) / len(times), times[len(times) // 2]


def _busy(tools: Any) -> float:
    """Seconds of processor time of the page's main thread: script, styles, layout and painting."""
    metrics = {
        each["name"]: each["value"] for each in tools.send("Performance.getMetrics")["metrics"]
    }
    return float(metrics["TaskDuration"])


def measure(case: Case) -> dict[str, float]:
    shown = records(case)
    began = time.perf_counter()
    text = draw_html(shown)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "page.html")
        path.write_text(text, encoding="utf-8")
        written = time.perf_counter() - began
        weight, total = errors(shown)
        return {
            "file, MB": path.stat().st_size / 1e6,
            "written, s": written,
            **browse(path),
            "largest error of a weight": weight,
            "largest error of a row's sum, %": total,
        }


PEER_CASES = tuple(
    Case(f"12 × 12 × {length} × {length}", 12, 12, length, False) for length in (128, 512)
)
"""What is drawn by others too."""


def compare(python: Path) -> dict[str, dict[str, str]]:
    """Write the same records by Heedful and by what another Python has, and open the pages in the same browser."""
    found: dict[str, dict[str, str]] = {}
    for case in PEER_CASES:
        shown = records(case)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            weights = np.stack([record.weights for record in shown])
            np.savez(folder / "weights.npz", weights=weights, tokens=shown[0].key_tokens)
            began = time.perf_counter()
            (folder / "heedful.html").write_text(draw_html(shown), encoding="utf-8")
            written = {"heedful": ("heedful.html", time.perf_counter() - began)}
            command = [str(python), str(Path(__file__).with_name("explorer_peers.py")), name]
            told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            for line in told.splitlines():
                peer, file, seconds = line.split()
                written[peer] = (file, float(seconds))
            for peer, (file, seconds) in written.items():
                size = (folder / file).stat().st_size / 1e6
                part = ", one layer" if peer == "circuitsvis" else ""
                found[f"{peer}, {case.name}{part}"] = {
                    "file, MB": f"{size:.3g}",
                    "written, s": f"{seconds:.3g}",
                    **opened(folder / file),
                }
    return found


def opened(path: Path) -> dict[str, str]:
    """Whether a page shows its tokens without a network, and after how many seconds."""
    from playwright.sync_api import Error, sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable(), args=["--no-sandbox"])
        context = browser.new_context(viewport={"width": 1280, "height": 900}, offline=True)
        page = context.new_page()
        asked: list[str] = []
        page.on(
            "request", lambda one: asked.append(one.url) if one.url.startswith("http") else None
        )
        began = time.perf_counter()
        try:
            page.goto(path.as_uri(), timeout=1000 * WAIT)
            seconds = "nothing is shown"
            while time.perf_counter() - began < WAIT:
                if page.evaluate(VISIBLE):
                    seconds = f"{time.perf_counter() - began:.3g}"
                    break
                page.wait_for_timeout(50)
        except Error as error:
            seconds = f"the page fails: {str(error).splitlines()[0]}"
        browser.close()
    return {
        "on screen without a network, s": seconds,
        "asks the network for": f"{len(asked)} files",
    }


WAIT = 60.0
"""Seconds after which a page shows nothing."""
VISIBLE = """[...document.querySelectorAll('canvas, svg, span, text')].some((each) => {
  const box = each.getBoundingClientRect();
  return box.width > 20 && box.height > 5 && (each.tagName === 'CANVAS' || (each.textContent || '').includes('ww'));
})"""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.explorer", description=__doc__)
    parser.add_argument("cases", nargs="*", type=int, help="numbers of cases from 1; default: all")
    parser.add_argument(
        "--peers",
        type=Path,
        metavar="PYTHON",
        help="compare with BertViz and CircuitsVis, which this Python has",
    )
    given = parser.parse_args()
    if given.peers:
        table = compare(given.peers)
        names = list(next(iter(table.values())))
        print(f"| | {' | '.join(table)} |\n|---|{'---|' * len(table)}")
        for name in names:
            print(f"| {name} | {' | '.join(values[name] for values in table.values())} |")
        return 0
    chosen = [CASES[n - 1] for n in given.cases] or list(CASES)
    found = {case.name: measure(case) for case in chosen}
    names = list(next(iter(found.values())))
    print(f"| | wanted | {' | '.join(found)} |\n|---|---|{'---|' * len(found)}")
    for name in names:
        cells = " | ".join(f"{values[name]:.3g}" for values in found.values())
        print(f"| {name} | {COLUMNS.get(name, '')} | {cells} |")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
