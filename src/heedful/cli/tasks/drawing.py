"""What `explain` does for every task: check before any work, name the files, draw them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from heedful.cli.output import Output
from heedful.cli.predict import check_new
from heedful.cli.tasks.base import ExplainOptions
from heedful.errors import DataError
from heedful.explore import AttentionRecord, Maps, report_page, save, select
from heedful.explore.renderers import renderer_for

Titled = tuple[str, list[AttentionRecord]]
"""A heading and what the model attended to."""


def check_explain(options: ExplainOptions) -> list[Path]:
    """Check texts and files, change nothing, and return the files to write.

    Raises: DataError for an empty text; OptionError for a file of another kind; RunError for a file that
        may not be written.
    """
    for number, text in enumerate(options.texts, start=1):
        if not text.strip():
            raise DataError(f"text {number} is empty; there is nothing to explain")
    if options.out is not None:
        renderer_for(options.out)
    files = _files(options.out, len(options.texts))
    for file in files:
        check_new(file, options.overwrite)
    return files


def chosen(options: ExplainOptions, records: list[AttentionRecord]) -> list[AttentionRecord]:
    """Keep the records that --kind, --layer and --head ask for."""
    layer, head = (None if each is None else each - 1 for each in (options.layer, options.head))
    return select(records, kind=options.kind, layer=layer, head=head)


def anything_chosen(options: ExplainOptions) -> bool:
    """Whether --kind, --layer or --head was given."""
    return (options.kind, options.layer, options.head) != (None, None, None)


def _files(out: Path | None, count: int) -> list[Path]:
    """Name the files to write: one page for all texts, one picture for each."""
    if out is None:
        return []
    if count == 1 or out.suffix.lower() == ".html":
        return [out]
    return [out.with_name(f"{out.stem}-{number}{out.suffix}") for number in range(1, count + 1)]


def draw(titled: Sequence[Titled], files: Sequence[Path], output: Output) -> None:
    """Draw one page of all texts, or a picture of each."""
    if len(files) < len(titled):
        text = report_page("What each answer looked at", [Maps("", titled)])
        files[0].write_text(text, encoding="utf-8")
    else:
        for file, (title, records) in zip(files, titled, strict=True):
            save(records, file, title=title)
    for file in files:
        output.say(f"written: {file}")
