"""A tiny trained run, tiny files, and a way to run the command and to see that it left all as it was."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from heedful import run_folder
from heedful.cli import main
from heedful.compare.plan import Job, Plan
from heedful.compare.run import run_job
from heedful.config import apply_overrides, build
from heedful.data.builtin import dates
from heedful.data.files import Pairs
from heedful.tasks.translate import TASK as TRANSLATE
from heedful.tasks.translate import TranslationConfig
from heedful.training.loop import train_model

TINY = (
    "vocabulary.size=80", "vocabulary.min_frequency=1", "training.epochs=2", "training.batch_tokens=400",
    "training.average_epochs=1", "training.warmup_steps=2", "decoding.max_length_ratio=0.5",
)  # fmt: skip
TINY_GRU = (*TINY, "model.kind=gru", "model.embedding=8", "model.hidden=8", "vocabulary.kind=char")
TINY_OTHERS = (
    "vocabulary.min_frequency=1", "inputs.word_width=4", "inputs.character_width=4", "training.epochs=2",
    "training.batch_tokens=40", "training.average_epochs=1", "training.keep_freed_memory=false",
)  # fmt: skip
TINY_SERIES = ("training.epochs=2", "training.batch_tokens=400", "training.keep_freed_memory=false")
TINY_TRANSFORMER = (
    *TINY, "model.width=8", "model.heads=2", "model.feed_forward=8", "model.encoder_layers=1",
    "model.decoder_layers=1",
)  # fmt: skip


@dataclass(frozen=True)
class Ran:
    """What a command left behind."""

    status: int
    stdout: str
    stderr: str


def run_command(*args: str, input: bytes | str | None = None) -> Ran:
    """Run `heedful` in this process."""
    found = CliRunner().invoke(main.app, list(args), input=input, prog_name="heedful")
    if found.exception is not None and not isinstance(found.exception, SystemExit):
        raise found.exception
    return Ran(found.exit_code, found.stdout, found.stderr)


def configuration(*overrides: str) -> TranslationConfig:
    return build(TranslationConfig, apply_overrides(TranslationConfig, {}, overrides))


def snapshot(folder: Path) -> dict[str, bytes | None]:
    """Return every path below a folder with its content."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def write_pairs(folder: Path, part: str, pairs: Pairs) -> None:
    (folder / f"{part}.en").write_text("\n".join(pairs.source) + "\n", encoding="utf-8")
    (folder / f"{part}.de").write_text("\n".join(pairs.target) + "\n", encoding="utf-8")
    rows = "".join(f"{source}\t{target}\n" for source, target in pairs)
    (folder / f"{part}.tsv").write_text("en\tde\n" + rows, encoding="utf-8")


@pytest.fixture(scope="session")
def corpus() -> dates.Corpus:
    return dates.build(train_size=60, valid_size=4, test_size=6)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory, corpus: dates.Corpus) -> Path:
    """A folder with tiny files and `runs/en-de`, trained on them."""
    folder = tmp_path_factory.mktemp("prepared")
    for part in ("train", "valid", "test"):
        write_pairs(folder, part, getattr(corpus, part))
    shutil.copy(folder / "test.en", folder / "new.en")
    config = configuration(*TINY_GRU, 'data.train=["train.en","train.de"]')
    with contextlib.chdir(folder):
        for _ in train_model(TRANSLATE, config, corpus.train, corpus.valid, Path("runs/en-de")):
            pass
    return folder


@pytest.fixture
def place(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the prepared folder, which is the current one."""
    folder = tmp_path / "place"
    shutil.copytree(prepared, folder)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def untrained(place: Path, corpus: dates.Corpus) -> Callable[..., str]:
    """Make the run of a model with fresh weights and return its folder's name."""

    def make(*overrides: str) -> str:
        config = configuration(*TINY, *overrides)
        translator = TRANSLATE.learn(config, corpus.train)
        folder = run_folder.create(place / "untrained", TRANSLATE.name)
        translator.save(folder)
        translator.save_weights(folder / run_folder.WEIGHTS)
        return "untrained"

    return make


def has_setting(config: Any, name: str) -> bool:
    """Return whether a configuration has the setting `section.key`."""
    section, _, key = name.partition(".")
    return hasattr(getattr(config, section, None), key)


@pytest.fixture
def tiny_defaults(monkeypatch: pytest.MonkeyPatch, corpus: dates.Corpus) -> None:
    """Make whatever the command trains tiny."""
    from heedful.cli import bench, demo, replicate_run, settings
    from heedful.data import builtin

    configure = settings.configure

    def tiny(path: Path | None, arguments: settings.TrainArguments) -> Any:
        usual = configure(path, arguments)
        if not hasattr(usual, "model"):
            size = "hidden" if hasattr(usual.encoder, "hidden") else "width"
            small = TINY_OTHERS if hasattr(usual, "vocabulary") else TINY_SERIES
            fitting = [each for each in small if has_setting(usual, each.partition("=")[0])]
            sets = [*arguments.sets, *fitting, f"encoder.{size}=8"]
            return configure(path, replace(arguments, sets=sets))
        sizes = TINY_TRANSFORMER if usual.model.kind == "transformer" else TINY_GRU[:-1]
        kind = [f"model.kind={usual.model.kind}"]
        return configure(path, replace(arguments, sets=[*arguments.sets, *sizes, *kind]))

    measure = bench.measure

    def short(jobs: list[Any], output: Any) -> Any:
        return measure([shorter(job) for job in jobs], output)

    def shorter(job: Any) -> Any:
        cases = [{name: max(1, size // 16) for name, size in case.items()} for case in job.cases]
        return replace(job, cases=cases, settings=replace(job.settings, seconds=0.01))

    monkeypatch.setattr(bench, "measure", short)
    configure_replicates = replicate_run.ReplicateArguments.configure

    def tiny_replicates(arguments: replicate_run.ReplicateArguments, task: Any) -> Any:
        sets = [*arguments.sets, *TINY_SERIES, "encoder.width=8", "training.epochs=1"]
        return configure_replicates(replace(arguments, sets=sets), task)

    monkeypatch.setattr(replicate_run.ReplicateArguments, "configure", tiny_replicates)
    monkeypatch.setattr(settings, "configure", tiny)
    monkeypatch.setitem(builtin.BUILTIN, "dates", lambda seed=0: corpus)
    series = builtin.waves.build(train_size=30, valid_size=8, test_size=5)
    monkeypatch.setitem(builtin.BUILTIN_SERIES, "waves", lambda seed=0: series)
    audio = builtin.tones.build(train_size=12, valid_size=6, test_size=6)
    monkeypatch.setitem(builtin.BUILTIN_AUDIO, "tones", lambda seed=0: audio)
    talks = builtin.answers.build(train_size=30, valid_size=4, test_size=5)
    monkeypatch.setitem(builtin.BUILTIN_DIALOGUES, "answers", lambda seed=0: talks)
    tiny_demo = {**demo.SETTINGS, "model": {"kind": "gru", "embedding": 8, "hidden": 8}}
    tiny_demo["training"] = {"epochs": 1}
    monkeypatch.setattr(demo, "SETTINGS", tiny_demo)


def in_this_process(plan: Plan) -> Any:
    """Do the jobs of a comparison here."""

    def run(job: Job, folder: Path) -> Iterator[Any]:
        data = plan.task.reader.read_training(job.config.data)
        yield from run_job(plan.task, job, data, folder, plan.lengths)

    return run


@pytest.fixture
def tiny_comparisons(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compare in this process, by two steps of each training, on a few sentences."""
    from heedful.cli import compare_run
    from heedful.data import builtin

    build_plan = compare_run.build_plan

    def tiny(source: compare_run.CompareSource, arguments: compare_run.CompareArguments) -> Plan:
        sets = [*arguments.sets]
        if source.task is not None and source.task.endswith("molecules"):
            sets += TINY_SERIES
        elif source.file is None or source.file.stem != "translators":
            sets += TINY_OTHERS
        return build_plan(source, replace(arguments, budget="steps=2", lengths="2", sets=sets))

    corpus = builtin.BUILTIN_TAGGED["saw"](train_size=30, valid_size=4, test_size=5)
    monkeypatch.setitem(builtin.BUILTIN_TAGGED, "saw", lambda seed=0: corpus)
    monkeypatch.setattr(compare_run, "subprocess_runner", in_this_process)
    monkeypatch.setattr(compare_run, "build_plan", tiny)
