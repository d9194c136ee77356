"""Configuration of the documentation site: `sphinx-build -W --keep-going docs build/site`.

It trains the small models of the live pages, two minutes; `-D with_live_pages=0` leaves them out.

The pages are plain Markdown that reads well on the code host too, so what only Sphinx needs (the table of contents, the
addresses of files outside docs/) is added here while a page is read.
"""

from __future__ import annotations

import re
import shutil
import sys
import tomllib
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.utils.math import MathError, latex2mathml
from sphinx.application import Sphinx
from sphinx.util import logging

sys.path.insert(0, str(Path(__file__).parent))
import live_pages  # lies beside this file

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
REPOSITORY = PROJECT["urls"]["Repository"]

project = "Heedful"
author = "The Heedful authors"
project_copyright = "The Heedful authors"
version = release = PROJECT["version"]

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
exclude_patterns = ["_templates"]
templates_path = ["_templates"]
html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_title = f"Heedful {version}"
html_math_renderer = "mathml"
html_show_sourcelink = False

myst_heading_anchors = 4
# GitHub's callouts and a diff that names its file are no language that Pygments knows.
suppress_warnings = ["misc.highlighting_failure"]

# Docstrings write names in single backticks: a link where the name is documented, plain code elsewhere.
default_role = "py:obj"
autosummary_ignore_module_all = False
autosummary_imported_members = True
autosummary_context = {"aliases": ["heedful.models.encoders.States"]}  # also heedful.nn.States
maximum_signature_line_length = 80
autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
napoleon_custom_sections = ["Shapes"]
napoleon_use_rtype = False

CONTENTS = {
    "Guides": (
        "attention", "graphs", "python", "translating", "dialogue", "tagging", "classifying", "series", "images",
        "speech", "transcribing", "molecules", "explorer", "probing", "comparing", "serving", "exporting", "clusters",
        "speed",
        "reliability",
    ),
    "Reference": ("api",),
    "Measurements": ("results", "claims", "benchmarks", "planning"),
    "Development": ("extending", "design", "kernels", "dependencies", "decisions/index"),
    "中文": ("attention.zh-CN",),
}  # fmt: skip
"""Caption -> pages, in the order of the sidebar. A page that is missing here is a warning, which fails the build."""

LIVE_MARK = "<!-- live pages -->"
"""Where docs/explorer.md has the live pages, which only the site has."""

LEAVES_DOCS = re.compile(r"\]\((?P<up>(?:\.\./)+)(?P<path>[^)#]+)")

MARKUP = re.compile(r"(?<![\w*`])\*(?=[\w,])|(?<![\w|])\|(?=\w)")
DOCTEST = (">>>", "...")


def table_of_contents() -> str:
    """The hidden table of contents, as MyST directives."""
    parts = [
        "\n".join(["```{toctree}", ":hidden:", f":caption: {caption}", "", *pages, "```"])
        for caption, pages in CONTENTS.items()
    ]
    return "\n\n" + "\n\n".join(parts) + "\n"


def live_list(app: Sphinx) -> str:
    """Links to the live pages, and the first of them in a frame."""
    if not app.config.with_live_pages:
        return ""
    links = ", ".join(
        f'<a href="live/{name}.html">{title}</a>' for name, (title, _) in live_pages.PAGES.items()
    )
    first = next(iter(live_pages.PAGES))
    frame = (
        f'<iframe src="live/{first}.html" title="{live_pages.PAGES[first][0]}" loading="lazy" '
        'style="width:100%;height:40rem;border:1px solid"></iframe>'
    )
    return f"Live pages, of small models that were trained when this site was built: {links}.\n\n{frame}\n"


def write_live_pages(app: Sphinx, error: Exception | None) -> None:
    """Train the models of the live pages and write these into the site."""
    if error is None and app.builder.name == "html" and app.config.with_live_pages:
        live_pages.write(Path(app.outdir, "live"))


def prepare_page(app: Sphinx, name: str, source: list[str]) -> None:
    """Add the table of contents to the first page, and link files outside docs/ to the repository."""
    depth = name.count("/") + 1

    def address(match: re.Match[str]) -> str:
        outside = match["up"].count("../") >= depth
        return f"]({REPOSITORY}/blob/main/{match['path']}" if outside else match[0]

    source[0] = LEAVES_DOCS.sub(address, source[0])
    if name == "index":
        source[0] += table_of_contents()
    if name == "explorer":
        source[0] = source[0].replace(LIVE_MARK, live_list(app))
    if name == "decisions/index":
        source[0] += "\n\n```{toctree}\n:hidden:\n:glob:\n\n0*\n```\n"


def escape_shapes(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    """Escape what is markup in reStructuredText: the star of (*batch, length) and the bars of |i - j|."""
    lines[:] = [
        line if line.lstrip().startswith(DOCTEST) else MARKUP.sub(r"\\\g<0>", line)
        for line in lines
    ]


def as_mathml(translator: Any, node: nodes.math | nodes.math_block) -> None:
    """Write an equation as MathML: browsers draw it themselves, without a script and without a network.

    An equation that cannot be converted is a warning, which fails the build.
    """
    display = isinstance(node, nodes.math_block)
    equation = node.astext().replace(r"\dots", r"\ldots")  # the one of the two that docutils knows
    try:
        markup = latex2mathml.tex2mathml(equation, as_block=display)
    except MathError as error:
        logging.getLogger(__name__).warning("%s in %r", error, node.astext(), location=node)
        raise nodes.SkipNode from error
    translator.body.append(f'<div class="math">{markup}</div>' if display else markup)
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect the steps above to Sphinx."""
    # autosummary writes a page a public name and never deletes the page of a name that is gone
    shutil.rmtree(ROOT / "docs" / "api", ignore_errors=True)
    app.add_html_math_renderer("mathml", (as_mathml, None), (as_mathml, None))
    app.add_config_value("with_live_pages", default=True, rebuild="html", types=bool)
    app.connect("source-read", prepare_page)
    app.connect("build-finished", write_live_pages)
    app.connect("autodoc-process-docstring", escape_shapes, priority=400)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
