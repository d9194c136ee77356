"""Record, select, merge and draw attention weights: the record schema, recorders and renderers."""

from heedful.explore.chart import Series
from heedful.explore.difference import differences
from heedful.explore.edge_record import EdgeRecord
from heedful.explore.first_shown import first_shown
from heedful.explore.gold import GoldAlignment
from heedful.explore.html import draw_html
from heedful.explore.record import Recorder, record, recording
from heedful.explore.renderers import RENDERERS, save
from heedful.explore.report import (
    Chart,
    Code,
    KeyFigures,
    Maps,
    MetricTable,
    Paragraph,
    report_page,
)
from heedful.explore.schema import AttentionRecord, records_from_json, records_to_json
from heedful.explore.select import overall_mean, select
from heedful.explore.subword_merging import merge_words
from heedful.explore.terminal import heat_map
from heedful.explore.transformers_record import (
    load_transformer,
    record_generation,
    record_transformer,
)
from heedful.explore.translation import record_translation

__all__ = [
    "RENDERERS",
    "AttentionRecord",
    "Chart",
    "Code",
    "EdgeRecord",
    "GoldAlignment",
    "KeyFigures",
    "Maps",
    "MetricTable",
    "Paragraph",
    "Recorder",
    "Series",
    "differences",
    "draw_html",
    "first_shown",
    "heat_map",
    "load_transformer",
    "merge_words",
    "overall_mean",
    "record",
    "record_generation",
    "record_transformer",
    "record_translation",
    "recording",
    "records_from_json",
    "records_to_json",
    "report_page",
    "save",
    "select",
]
