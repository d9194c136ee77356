"""Whatever is wrong: one clear message, status 1 or 2, no traceback, and nothing written or deleted."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import run_command, snapshot

FILES = ("--train", "train.en", "train.de", "--valid", "valid.en", "valid.de")
TRAIN = ("train", "translate")
RUN = "runs/en-de"


def write(name: str, content: str | bytes) -> Callable[[Path], None]:
    """Return a step that writes a file."""
    data = content if isinstance(content, bytes) else content.encode()

    def step(place: Path) -> None:
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(data)

    return step


def change(name: str, how: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    """Return a step that changes a file of the run."""

    def step(place: Path) -> None:
        path = place / RUN / name
        path.write_bytes(how(path.read_bytes()))

    return step


def remove(name: str) -> Callable[[Path], None]:
    return lambda place: (place / RUN / name).unlink()


def nothing(place: Path) -> None:
    """Leave the prepared folder as it is."""


Case = tuple[str, Callable[[Path], None], tuple[str, ...], int, str]

TRAINING: list[Case] = [
    ("a missing file", nothing,
     (*TRAIN, "--train", "trian.en", "train.de", *FILES[3:], "--out", "new"),
     1, r"trian\.en: no such file; did you mean 'train\.en'\?"),
    ("a missing validation file", nothing,
     (*TRAIN, *FILES[:3], "--valid", "valid.en", "vlid.de", "--out", "new"),
     1, r"vlid\.de: no such file; did you mean 'valid\.de'\?"),
    ("unequal length", write("short.de", "eins\nzwei\n"),
     (*TRAIN, "--train", "train.en", "short.de", *FILES[3:], "--out", "new"),
     1, r"short\.de, line 2: this file ends first: it has 2 lines and train\.en has 60"),
    ("invalid UTF-8", write("latin.de", "eins\nzwölf\n".encode("latin-1")),
     (*TRAIN, "--train", "train.en", "latin.de", *FILES[3:], "--out", "new"),
     1, r"latin\.de, line 2: .*not UTF-8"),
    ("an empty file", write("empty.de", ""),
     (*TRAIN, "--train", "train.en", "empty.de", *FILES[3:], "--out", "new"),
     1, r"empty\.de: the file is empty"),
    ("empty lines", write("gaps.de", "eins\n\ndrei\n" + "x\n" * 57),
     (*TRAIN, "--train", "train.en", "gaps.de", *FILES[3:], "--out", "new"),
     1, r"gaps\.de, line 2: the line is empty"),
    ("damaged gzip", write("train.de.gz", b"\x1f\x8b\x08\x00 not much of a file"),
     (*TRAIN, "--train", "train.en", "train.de.gz", *FILES[3:], "--out", "new"),
     1, r"train\.de\.gz, line 1: the gzip data is damaged"),
    ("a folder for a file", nothing,
     (*TRAIN, "--train", "train.en", "runs", *FILES[3:], "--out", "new"),
     1, r"runs: this is a folder; expected a file"),
    ("a misspelt option", nothing, (*TRAIN, *FILES, "--out", "new", "--atention", "dot"),
     2, r"No such option: --atention.*--attention"),
    ("a misspelt command", nothing, ("evalute", RUN), 2, r"No such command 'evalute'.*evaluate"),
    ("a misspelt key", nothing,
     (*TRAIN, *FILES, "--out", "new", "--set", "training.epohcs=3"),
     2, r"unknown key 'training\.epohcs'; did you mean 'training\.epochs'\?"),
    ("a misspelt section", nothing,
     (*TRAIN, *FILES, "--out", "new", "--set", "trainin.epochs=3"),
     2, r"unknown section or key 'trainin'; did you mean 'training'\?"),
    ("an unknown kind of a section", nothing,
     (*TRAIN, *FILES, "--out", "new", "--set", "model.kind=lsmt"),
     2, r"unknown model\.kind 'lsmt'; did you mean 'lstm'\? The choices are: transformer, gru"),
    ("an unknown kind in a file", write("kind.toml", "[model]\nkind = 'banana'\n"),
     (*TRAIN, *FILES, "--out", "new", "--config", "kind.toml"),
     2, r"kind\.toml, line 2: unknown model\.kind 'banana'\. The choices are: transformer, gru"),
    ("two tables of pairs", nothing,
     (*TRAIN, "--train", "train.tsv", "valid.tsv", "--columns", "en,de", *FILES[3:], "--out", "new"),
     2, r"--train train\.tsv valid\.tsv: got 2 files; expected one table with --columns A,B"),
    ("a key without a value", nothing,
     (*TRAIN, *FILES, "--out", "new", "--set", "training.epochs"),
     2, r"'training\.epochs' is malformed; write section\.key=value"),
    ("a value out of range", nothing,
     (*TRAIN, *FILES, "--out", "new", "--set", "training.epochs=0"),
     2, r"training\.epochs: Input should be greater than or equal to 1 \(got 0\)"),
    ("a misspelt model", nothing, (*TRAIN, *FILES, "--out", "new", "--model", "transfromer"),
     2, r"unknown --model 'transfromer'; did you mean 'transformer'\?"),
    ("a misspelt attention", nothing,
     (*TRAIN, *FILES, "--out", "new", "--model", "gru", "--attention", "aditive"),
     2, r"unknown --attention 'aditive'; did you mean 'additive'\?"),
    ("a transformer without attention", nothing,
     (*TRAIN, *FILES, "--out", "new", "--attention", "none"),
     2, r"use --attention none with --model gru or lstm or rnn"),
    ("a score that the sizes forbid", nothing,
     (*TRAIN, *FILES, "--out", "new", "--set", "model.heads=5"),
     2, r"model: heads = 5 does not divide width = 128; choose heads among"),
    ("a misspelt key in a file", write("bad.toml", "[training]\nepochs = 3\nseeed = 1\n"),
     (*TRAIN, *FILES, "--out", "new", "--config", "bad.toml"),
     2, r"bad\.toml, line 3: unknown key 'training\.seeed'; did you mean 'training\.seed'\?"),
    ("text for TOML", write("notes.txt", "Dear diary,\nnothing happened.\n"),
     (*TRAIN, *FILES, "--out", "new", "--config", "notes.txt"), 2, r"notes\.txt, line 1: "),
    ("a missing configuration", nothing,
     (*TRAIN, *FILES, "--out", "new", "--config", "no.toml"), 2, r"'no\.toml' does not exist"),
    ("another model than the file's", write("t.toml", "[model]\nkind = 'transformer'\nheads = 2\n"),
     (*TRAIN, *FILES, "--out", "new", "--config", "t.toml", "--model", "gru"),
     2, r"--model gru, but the configuration file describes a transformer"),
    ("an existing run", nothing, (*TRAIN, *FILES, "--out", RUN),
     1, r"runs/en-de already holds a run; resume it with --resume or replace it with --overwrite"),
    ("an existing folder", nothing, (*TRAIN, *FILES, "--out", "runs"),
     1, r"runs exists and is not empty; choose another folder"),
    ("overwriting what is no run", nothing, (*TRAIN, *FILES, "--out", "runs", "--overwrite"),
     1, r"runs is not a run, so it is not overwritten"),
    ("overwriting a file", nothing, (*TRAIN, *FILES, "--out", "train.en", "--overwrite"),
     1, r"train\.en is not a run"),
    ("a file as the run", nothing, (*TRAIN, *FILES, "--out", "train.en"),
     1, r"train\.en is a file; choose another folder"),
    ("a setting of another model", nothing,
     (*TRAIN, *FILES, "--out", "new", "--model", "gru", "--set", "model.heads=2",
      "--set", "model.width=16"),
     2, r"'model\.width'; it is a setting of model\.kind = transformer only\. The choices"),
    ("a file as folder", nothing, (*TRAIN, *FILES, "--out", "train.en/new"),
     1, r"train\.en is not a writable folder"),
    ("overwriting with bad data", write("empty.de", ""),
     (*TRAIN, "--train", "train.en", "empty.de", *FILES[3:], "--out", RUN, "--overwrite"),
     1, r"empty\.de: the file is empty"),
    ("overwriting with data of which none can be used", nothing,
     (*TRAIN, *FILES, "--out", RUN, "--overwrite", "--set", "data.max_length=1"),
     1, r"every training pair is longer than data\.max_length = 1"),
    ("--overwrite and --resume", nothing, (*TRAIN, "--out", RUN, "--overwrite", "--resume"),
     2, r"give one of them"),
    ("no --out", nothing, (*TRAIN, *FILES), 2, r"--out is missing"),
    ("no --train", nothing, (*TRAIN, "--out", "new"), 2, r"there is no training data; give --train"),
    ("no --valid", nothing, (*TRAIN, *FILES[:3], "--out", "new"), 2, r"--valid is missing"),
    ("one file of two", nothing, (*TRAIN, "--train", "train.en", *FILES[3:], "--out", "new"),
     2, r"--train train\.en: one file is not enough"),
    ("three files", nothing, (*TRAIN, *FILES, "--train", "test.en", "--out", "new"),
     2, r"--train: expected two line-aligned files, one table or builtin:NAME; got 3 names"),
    ("a table without --columns", nothing,
     (*TRAIN, "--train", "train.tsv", "--valid", "valid.tsv", "--out", "new"),
     2, r"give the source and target column of the table with --columns A,B; its columns are: en, de"),
    ("one column", nothing,
     (*TRAIN, "--train", "train.tsv", "--columns", "en", "--valid", "valid.tsv", "--out", "new"),
     2, r"--columns takes the names of two columns"),
    ("a misspelt column", nothing,
     (*TRAIN, "--train", "train.tsv", "--columns", "en,dee", "--valid", "valid.tsv", "--out", "new"),
     1, r"train\.tsv, line 1: there is no column 'dee'; did you mean 'de'\?"),
    ("a misspelt corpus", nothing, (*TRAIN, "--train", "builtin:date", "--out", "new"),
     2, r"unknown built-in corpus 'date'; did you mean 'dates'\?"),
    ("resuming nothing", nothing, (*TRAIN, "--resume", "--out", "new"),
     1, r"run folder 'new' does not exist"),
    ("resuming a finished run", nothing, (*TRAIN, "--resume", "--out", RUN, *FILES[3:]),
     1, r"the settings differ from those of the run in runs/en-de: data\.valid: "),
    ("resuming with other settings", nothing,
     (*TRAIN, "--resume", "--out", RUN, *FILES[3:], "--set", "training.epochs=9"),
     1, r"the settings differ from those of the run in runs/en-de: data\.valid: "),
]  # fmt: skip

USING: list[Case] = [
    ("no run", nothing, ("predict", "runs/en-fr", "new.en"), 1, r"'runs/en-fr' does not exist"),
    ("no run folder", nothing, ("predict", "runs", "new.en"), 1, r"runs is not a run folder"),
    ("a file for a run", nothing, ("predict", "train.en", "new.en"), 1, r"train\.en"),
    ("a run of something else", write("other/heedful.json", json.dumps({"task": "sing", "format": 1})),
     ("predict", "other", "new.en"), 1, r"is a run of the unknown task 'sing'; the tasks are translate"),
    ("a corrupt marker", write("other/heedful.json", "{"), ("predict", "other", "new.en"),
     1, r"heedful\.json is corrupt"),
    ("truncated weights", change("model.safetensors", lambda data: data[: len(data) // 2]),
     ("predict", RUN, "new.en"), 1, r"model\.safetensors is truncated or corrupt"),
    ("corrupt weights", change("model.safetensors", lambda data: b"\xff" * len(data)),
     ("evaluate", RUN, "--test", "test.en", "test.de"), 1, r"model\.safetensors is truncated or corrupt"),
    ("no weights", remove("model.safetensors"), ("explain", RUN, "4 Mar 2026"),
     1, r"model\.safetensors is missing"),
    ("weights of another model", change("config.toml", lambda data: data.replace(b"hidden = 8", b"hidden = 9")),
     ("predict", RUN, "new.en"), 1, r"does not match the model"),
    ("a corrupt vocabulary", change("source_vocabulary.json", lambda data: data[:40]),
     ("predict", RUN, "new.en"), 1, r"source_vocabulary\.json"),
    ("a corrupt configuration", change("config.toml", lambda data: b"epochs"),
     ("predict", RUN, "new.en"), 1, r"the run's configuration is invalid: .*config\.toml: Expected '='"),
    ("a missing input", nothing, ("predict", RUN, "nwe.en"), 1, r"nwe\.en: no such file; did you mean 'new\.en'\?"),
    ("an empty input", write("empty.en", ""), ("predict", RUN, "empty.en"), 1, r"empty\.en: the file is empty"),
    ("input that is not UTF-8", write("latin.en", b"one\ntwo\nM\xe4rz\n"), ("predict", RUN, "latin.en"),
     1, r"latin\.en, line 3: .*not UTF-8"),
    ("more best than the beam", nothing, ("predict", RUN, "new.en", "--beam", "2", "--nbest", "3"),
     2, r"nbest must be from 1 to the beam, 2; got 3"),
    ("a beam of none", nothing, ("predict", RUN, "new.en", "--beam", "0"), 2, r"Invalid value for '--beam'"),
    ("alignments over a file", nothing, ("predict", RUN, "new.en", "--alignments", "train.en"),
     1, r"train\.en exists; --overwrite replaces it"),
    ("alignments in no folder", nothing, ("predict", RUN, "new.en", "--alignments", "no/a.align"),
     1, r"there is no folder 'no'"),
    ("evaluating nothing", nothing, ("evaluate", RUN), 2, r"--test is missing"),
    ("test files of unequal length", write("short.de", "eins\n"),
     ("evaluate", RUN, "--test", "test.en", "short.de"), 1, r"short\.de, line 1: this file ends first"),
    ("explaining over a file", write("seen.html", "kept"), ("explain", RUN, "4 Mar 2026", "--out", "seen.html"),
     1, r"seen\.html exists; --overwrite replaces it"),
    ("explaining over one of two", write("seen-2.svg", "kept"),
     ("explain", RUN, "4 Mar 2026", "5 Mar 2026", "--out", "seen.svg"), 1, r"seen-2\.svg exists"),
    ("explaining to an unknown kind", nothing, ("explain", RUN, "4 Mar 2026", "--out", "seen.pgn"),
     2, r"unknown ending of a picture '\.pgn'; did you mean '\.png'\?"),
    ("explaining to a folder", nothing, ("explain", RUN, "4 Mar 2026", "--out", "runs"), 2, r"ending"),
    ("explaining nothing", nothing, ("explain", RUN), 2, r"Missing argument 'TEXT\.\.\.'"),
    ("explaining an empty text", nothing, ("explain", RUN, "a", " "), 1, r"text 2 is empty"),
    ("too few references", nothing, ("explain", RUN, "a", "b", "--reference", "c"),
     2, r"give --reference once for each TEXT; got 1 for 2"),
    ("a layer that is not there", nothing, ("explain", RUN, "a", "--reference", "b", "--layer", "2"),
     2, r"there is no layer 2 here; the layers are: 1"),
    ("a kind that is not there", nothing,
     ("explain", RUN, "a", "--reference", "b", "--kind", "crss"), 2, r"did you mean 'cross'\?"),
    ("a demo over a run", nothing, ("demo", "--out", RUN),
     1, r"runs/en-de already holds a run; choose another folder, or leave --out out$"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("setup", "args", "status", "message"),
    [pytest.param(*case[1:], id=case[0]) for case in [*TRAINING, *USING]],
)
def test_bad_input(
    place: Path,
    setup: Callable[[Path], None],
    args: tuple[str, ...],
    status: int,
    message: str,
) -> None:
    setup(place)
    before = snapshot(place)
    ran = run_command(*args)
    found = " ".join(ran.stderr.split())
    assert re.search(message, found), ran.stderr
    assert ran.status == status, ran.stderr
    assert "Traceback" not in ran.stderr
    assert ran.stdout == ""
    assert snapshot(place) == before
