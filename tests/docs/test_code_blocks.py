"""Every Python block of README.md and docs/ runs, each page from top to bottom as one program."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.blocks import blocks, label, pages

WITH_PYTHON = [p for p in pages() if any(blocks(p.read_text(encoding="utf-8"), "python"))]


@pytest.mark.parametrize("page", WITH_PYTHON, ids=label)
def test_python_blocks_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": label(page)}
    for block in blocks(page.read_text(encoding="utf-8"), "python"):
        # as many empty lines before the code as the page has lines above it: tracebacks point into the page
        source = "\n" * (block.line - 1) + block.code
        exec(compile(source, str(page), "exec"), namespace)


def test_attention_page_and_readme_have_code() -> None:
    assert {"README.md", "docs/attention.md"} <= {label(page) for page in WITH_PYTHON}
