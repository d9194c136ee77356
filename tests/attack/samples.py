"""A small well-formed file, or two, of every format of data, with the settings by which it is read."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from heedful.config import apply_overrides, build
from heedful.data.dataset import Dataset
from heedful.tasks.table import TASKS


@dataclass(frozen=True)
class Sample:
    """Files and how they are read."""

    task: str
    files: dict[str, bytes]
    """By name. The names of all of them are the training data."""
    settings: tuple[str, ...] = ()
    others: dict[str, bytes] | None = None
    """Files that the training data refer to."""

    def write(self, folder: Path) -> None:
        for name, content in {**self.files, **(self.others or {})}.items():
            (folder / name).write_bytes(content)

    def config(self) -> Any:
        kind = TASKS[self.task].configuration
        return build(kind, apply_overrides(kind, {}, self.settings))

    def read(self) -> Dataset:
        """Read the files, which lie in the current folder, as training data."""
        found: Dataset = TASKS[self.task].reader.read(list(self.files), self.config().data, "train")
        return found


def _conllu(sentence: tuple[tuple[str, str], ...]) -> str:
    rows = (
        f"{n}\t{form}\t{form}\t{tag}\t_\tNumber=Sing\t0\troot\t_\t_"
        for n, (form, tag) in enumerate(sentence, start=1)
    )
    return "# text = a\n" + "\n".join(rows) + "\n\n"


def _array() -> bytes:
    file = io.BytesIO()
    np.save(file, np.arange(20.0).reshape(10, 2))
    return file.getvalue()


_TEXTS = [
    ("Who is he ?", "HUM"),
    ("Where is it ?", "LOC"),
    ('A "quote", and more', "DESC"),
    ("Who wrote it ?", "HUM"),
    ("雨 了", "LOC"),
]
_NUMBERED = [(text, f"{1.5 * n:g}") for n, (text, _) in enumerate(_TEXTS)]
_SENTENCES = [
    (("I", "PRON"), ("saw", "VERB"), ("it", "PRON")),
    (("dogs", "NOUN"), ("run", "VERB")),
    (("saw", "NOUN"),),
]
_SERIES = [
    (name, step, step + 0.5, -step, "ab"[name == "two"], int(name == "two"))
    for name in ("one", "two")
    for step in range(8)
]


def _rows(rows: list[tuple[Any, ...]], names: tuple[str, ...], separator: str = ",") -> bytes:
    def field(value: Any) -> str:
        text = str(value)
        return (
            '"' + text.replace('"', '""') + '"'
            if separator == "," and set(text) & set(',"')
            else text
        )

    return "".join(separator.join(map(field, row)) + "\n" for row in [names, *rows]).encode()


def _json_rows(rows: list[tuple[Any, ...]], names: tuple[str, ...]) -> bytes:
    return "".join(
        json.dumps(dict(zip(names, row, strict=True)), ensure_ascii=False) + "\n" for row in rows
    ).encode()


_COLUMNS = ("series", "time", "x", "y", "label", "target")
_BY_COLUMNS = ("data.series=series", "data.time=time", 'data.columns=["x","y"]')
_NODE_COLUMNS = ("id", "age", "likes", "label", "split")
_NODES = [
    (f"n{n}", n, ("a b", "c d")[n % 2], "xy"[n % 2], ("train", "train", "train", "val")[n // 2 % 4])
    for n in range(12)
]
_EDGES = b"source,target,weight\nn0,n1,1\nn1,n2,2\nn2,n3,0.5\nn3,n4,1\nn4,n0,3\n"
_SMALL_GRAPH = ("inputs.min_frequency=1", "data.min_examples=1")
_GRAPHML = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<graphml><key id="l" for="node" attr.name="label"/>\n<graph>'
    + "".join(f'<node id="n{n}"><data key="l">{"xy"[n % 2]}</data></node>\n' for n in range(12))
    + '<edge source="n0" target="n1"/></graph></graphml>\n'
).encode()
_MESSAGES = [
    {"role": role, "content": text}
    for role, text in (("user", "a b"), ("assistant", "c"), ("user", "d ?"), ("assistant", "雨"))
]
_TS = (
    b"# a comment\n@problemName x\n@univariate false\n@classLabel true a b\n"
    b"@data\n1,2,3,4:5,6,7,8:a\n2,?,4,5:6,7,8,9:b\n"
)

SAMPLES = {
    "pairs": Sample("translate", {"a.en": b"a dog\na cat runs\ntwo\n", "a.de": b"ein Hund\neine Katze\nzwei\n"}),
    "pairs tsv": Sample("translate", {"a.tsv": b"en\tde\na dog\tein Hund\ntwo\tzwei\n"},
        ('data.columns=["en","de"]',)),
    "pairs jsonl": Sample("translate", {"a.jsonl": _json_rows([("a", "ein"), ("b", "zwei")], ("en", "de"))},
        ('data.columns=["en","de"]',)),
    "texts tsv": Sample("classify", {"a.tsv": _rows(_TEXTS, ("text", "label"), "\t")}),
    "texts csv": Sample("classify", {"a.csv": _rows(_TEXTS, ("text", "label"))}),
    "texts jsonl": Sample("classify", {"a.jsonl": _json_rows(_TEXTS, ("text", "label"))}),
    "texts skip_bad": Sample("classify", {"a.csv": _rows(_TEXTS, ("text", "label"))}, ("data.skip_bad=true",)),
    "several labels": Sample("classify", {"a.jsonl": _json_rows([("a", ["x", "y"]), ("b", ["x"])], ("text",
        "label"))}, ("data.separator=,",)),
    "label columns": Sample("classify", {"a.csv": _rows([("a b", 0, 1), ("c", 1, 0)], ("text", "p", "q"))},
        ('data.label_columns=["p","q"]',)),
    "molecules": Sample("regress-molecules", {"a.csv": _rows([("CCO", 1), ("c1ccccc1", 2)], ("smiles", "target"))}),
    "molecules skip_bad": Sample("classify-molecules", {"a.jsonl": _json_rows([("CCO", "x"), ("CN", "y"), ("C", "y")],
        ("smiles", "label"))}, ("data.skip_bad=true",)),
    "numbers": Sample("regress", {"a.csv": _rows(_NUMBERED, ("text", "target"))}),
    "conllu": Sample("tag", {"a.conllu": "".join(map(_conllu, _SENTENCES)).encode()}),
    "conllu feature": Sample("tag", {"a.conllu": "".join(map(_conllu, _SENTENCES)).encode()},
        ("data.column=Number",)),
    "conll": Sample("tag", {"a.conll": "\n\n".join("\n".join(f"{a} {b}" for a,
        b in each) for each in _SENTENCES).encode()}),
    "tags jsonl": Sample("tag", {"a.jsonl": _json_rows([(["I", "am"], ["A", "B"]), (["x"], ["B"])], ("tokens",
        "tags"))}),
    "series csv": Sample("classify-series", {"a.csv": _rows(_SERIES, _COLUMNS)}, _BY_COLUMNS),
    "series jsonl": Sample("regress-series", {"a.jsonl": _json_rows(_SERIES, _COLUMNS)}, _BY_COLUMNS),
    "series steps": Sample("tag-series", {"a.tsv": _rows(_SERIES, _COLUMNS, "\t")}, _BY_COLUMNS),
    "series ts": Sample("classify-series", {"a.ts": _TS}),
    "series npy": Sample("forecast", {"a.npy": _array()}, ("data.steps=3", "data.horizon=2")),
    "series files": Sample(
        "classify-series", {"a.csv": b"file,label\nb.npy,x\nc.csv,y\n"}, ("data.file=file",),
        {"b.npy": _array(), "c.csv": b"x,y\n1,2\n3,4\n"},
    ),
    "nodes csv": Sample("classify-nodes", {"a.csv": _rows(_NODES, _NODE_COLUMNS)}, (*_SMALL_GRAPH,
        'data.edges=["e.csv"]'), {"e.csv": _EDGES}),
    "nodes jsonl": Sample("regress-nodes", {"a.jsonl": _json_rows(_NODES, _NODE_COLUMNS)},
        ("inputs.min_frequency=1", "data.target=age", 'data.edges=["e.tsv"]'),
        {"e.tsv": _EDGES.replace(b",", b"\t")}),
    "nodes graphml": Sample("classify-nodes", {"a.graphml": _GRAPHML}, _SMALL_GRAPH),
    "nodes labels": Sample("classify-nodes", {"a.csv": b"id,age\na,1\nb,2\nc,3\n"}, (*_SMALL_GRAPH,
        'data.edges=["e.csv"]', 'data.labels=["l.jsonl"]'), {"e.csv": b"source,target\na,b\nb,c\n",
        "l.jsonl": _json_rows([("a", "x"), ("b", "y")], ("id", "label"))}),
    "label columns with blanks": Sample("classify-molecules", {"a.csv": b"smiles,p,q\nC,1,\nCC,,1\nCCC,0,0\n"},
        ('data.label_columns=["p","q"]', "data.min_examples=1")),
    "graphs csv": Sample("classify-graphs", {"a.csv": b"graph,label\ng0,x\ng1,y\ng2,y\n"},
        ('data.nodes=["n.csv"]', 'data.edges=["e.csv"]', *_SMALL_GRAPH),
        {"n.csv": b"graph,id,age\ng0,a,1\ng0,b,2\ng1,a,3\ng1,c,4\ng2,d,1\n",
         "e.csv": b"graph,source,target,weight\ng0,a,b,1\ng1,a,c,2\n"}),
    "links csv": Sample("links", {"a.csv": _EDGES}, ("data.valid_share=0.3", "data.test_share=0.3",
        "data.time=weight", "data.negatives=2", 'data.train=["a.csv"]')),
    "messages": Sample("reply", {"a.jsonl": _json_rows([(_MESSAGES, "x"), (_MESSAGES[:2], "y")], ("messages",
        "topic"))}, ("data.group=topic",)),
    "conversations": Sample("rank-replies", {"a.jsonl": _json_rows([([{"from": "human", "value": "a"},
        {"from": "gpt", "value": text}],) for text in "bcd"], ("conversations",))}, ("data.candidates=2",)),
    "prompts": Sample("reply", {"a.csv": _rows([("a b", "c"), ("d", "e, f")], ("prompt", "reply"))}),
    "parlai": Sample("reply", {"a.txt": b"text:a\tlabels:b|c\ntext:d\tlabels:e\tepisode_done:True\n"}),
}  # fmt: skip
