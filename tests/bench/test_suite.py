"""`python -m benchmarks`: what it measures, what it keeps and the page it writes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import page, scans, store
from benchmarks.__main__ import main
from benchmarks.headlines import WANTED, lines
from benchmarks.scans import SCANS, THREADS
from benchmarks.vectors import LIMITS, restart_limited
from heedful.bench.operations import OPERATIONS
from heedful.bench.results import Memory, Ratio, Result, Timing
from heedful.bench.settings import Job, Settings
from heedful.errors import HeedfulError

MACHINE = {"processor": "A processor", "cores": "2"}


def result(contender: str, length: int, seconds: float, ratio: float | None = None) -> Result:
    return Result(
        "additive", contender, contender == "heedful",
        OPERATIONS["additive"].case({"queries": length, "keys": length}), 1, "measured",
        error=1e-7, first_seconds=0.1, forward=Timing.of([seconds] * 5),
        both=Timing.of([2 * seconds] * 5), memory=Memory(4 * length, 8, 16),
        ratios={} if ratio is None else {
            f"{mode} heedful": Ratio(ratio, 0.9 * ratio, 1.1 * ratio) for mode in ("forward", "both")
        },
    )  # fmt: skip


def measured() -> store.Measured:
    """Additive attention at four lengths: ahead at 256, behind at 64."""
    found = []
    for length, ratio in ((64, 0.5), (256, 40.0), (1024, 50.0), (4096, 60.0)):
        seconds = 1e-9 * length**2
        found += [
            result("heedful", length, seconds),
            result("textbook", length, seconds * ratio, ratio),
        ]
        found.append(
            Result(
                "additive",
                "keras",
                False,
                found[-1].sizes,
                1,
                "not installed",
                "keras is not installed",
            )
        )
    job = Job("additive", ({"queries": 64},), Settings())
    return store.Measured(job, MACHINE, "2026-11-21", 60.0, tuple(found))


def test_everything_is_scanned_and_every_wanted_figure_is_measured() -> None:
    assert list(SCANS) == list(OPERATIONS)
    for wanted in WANTED:
        names = [one.name for one in OPERATIONS[wanted.operation].contenders]
        assert {wanted.against, wanted.ours} <= set(names)
        assert wanted.length in SCANS[wanted.operation].lengths
    for name, scan in SCANS.items():
        for quick in (True, False):
            for case in scan.job(name, THREADS[0], quick=quick).cases:
                OPERATIONS[name].case(case)


def test_results_are_kept_and_known_again(tmp_path: Path) -> None:
    one = measured()
    assert not store.done(tmp_path, one.job, "AVX2")
    one = replace(one, vectors="AVX2")
    store.save(one, tmp_path)
    (tmp_path / "images.json").write_text("{}")  # the results of another benchmark
    [read] = store.load(tmp_path)
    assert read.job == one.job
    assert [each.contender for each in read.results] == [each.contender for each in one.results]
    assert (tmp_path / "avx2" / "additive-1.json").exists()
    assert store.done(tmp_path, one.job, "AVX2")
    assert not store.done(tmp_path, one.job, "AVX-512")
    assert not store.done(tmp_path, Job("additive", ({"queries": 128},), Settings()), "AVX2")
    assert read.vectors == "AVX2"


def test_wanted_figures_hold_or_not() -> None:
    told = {line.what: line for line in lines(measured().results)}
    forward = told["Additive attention, queries = keys 256: forward against textbook"]
    both = told["Additive attention, queries = keys 256: forward+backward against textbook"]
    assert (forward.wanted, forward.measured, forward.holds) == ("≥ 60×", "40× (36–44)", False)
    assert (both.wanted, both.holds) == ("≥ 30×", True)
    compiled = told["Additive attention, queries = keys 256: forward against torch.compile"]
    assert (compiled.measured, compiled.holds) == ("not measured", None)
    kept = told["Additive attention: bytes kept for backward, as queries and keys grow"]
    assert (kept.measured, kept.holds) == ("n^1.00", True)


def test_the_page(tmp_path: Path) -> None:
    page.write([measured()], tmp_path / "benchmarks.md", tmp_path / "images")
    text = (tmp_path / "benchmarks.md").read_text(encoding="utf-8")
    assert "| processor | A processor |" in text
    assert "| 40× (36–44) **no** |" in text
    assert "64: 0.5× (0.45–0.55)" in text  # where it is behind
    assert "keras, 64; 256; 1,024; 4,096: keras is not installed" in text
    assert "| grows as | n^2.00 |" in text
    assert "](images/benchmark-additive.svg)" in text
    assert (tmp_path / "images" / "benchmark-additive.svg").read_text().startswith("<?xml")


def test_two_classes_of_processors_stand_side_by_side(tmp_path: Path) -> None:
    wide, narrow = measured(), replace(measured(), vectors="AVX2", machine={"processor": "Another"})
    slower = [one if one.ours else replace(one, ratios={}) for one in narrow.results]
    busy = replace(narrow.job, settings=replace(narrow.job.settings, processor_time=True))
    both = [replace(narrow, results=tuple(slower), job=busy), wide]
    page.write(both, tmp_path / "benchmarks.md", tmp_path / "images")
    text = (tmp_path / "benchmarks.md").read_text(encoding="utf-8")
    assert "| what | threads | wanted | AVX-512 | AVX2 |" in text
    assert "| ≥ 60× | 40× (36–44) **no** | – |" in text
    assert "| operation | length | passes | contender | AVX-512 | AVX2 |" in text
    assert (
        "| Additive attention | 4,096 | forward | heedful | 16.8 ms (16.8–16.8) | 16.8 ms (16.8–16.8) |"
        in text
    )
    assert (
        "| Additive attention | 4,096 | forward | textbook |" not in text
    )  # one class has no ratio
    assert text.index("| class | AVX-512 |") < text.index("| class | AVX2 |")
    assert "times of the processor instead of the clock" in text
    assert "### Additive attention, AVX2, 1 thread" in text
    assert "](images/benchmark-additive-avx2.svg)" in text
    assert (tmp_path / "images" / "benchmark-additive-avx2.svg").exists()


def test_a_class_is_had_on_a_wider_processor_as_in_continuous_integration(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    script = (Path(__file__).parents[2] / ".ci" / "run").read_text(encoding="utf-8")
    for name, value in LIMITS["avx2"].items():
        assert f"{name}={value or chr(34) * 2} " in script
    started: list[tuple[list[str], dict[str, str]]] = []
    monkeypatch.setattr("os.execve", lambda _, command, given: started.append((command, given)))
    for name in LIMITS["avx2"]:
        monkeypatch.delenv(name, raising=False)
    restart_limited("benchmarks", ["window"], "avx2")
    [(command, environment)] = started
    assert command[1:] == ["-m", "benchmarks", "window"]
    assert LIMITS["avx2"].items() <= environment.items()
    for name, value in LIMITS["avx2"].items():
        monkeypatch.setenv(name, value)
    restart_limited("benchmarks", ["window"], "avx2")
    assert len(started) == 1


def test_processor_time_is_that_of_one_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["benchmarks", "dot", "--quick", "--processor-time", "--out", str(tmp_path)]
    monkeypatch.setattr("sys.argv", command)
    with pytest.raises(
        HeedfulError, match="--processor-time is the time of one thread: add --threads 1"
    ):
        main()


def test_one_quick_operation_from_end_to_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(scans, "QUICK_SECONDS", 0.01)
    command = ["benchmarks", "dot", "--quick", "--threads", "1", "--lengths", "16", "64"]
    command += ["--out", str(tmp_path)]
    monkeypatch.setattr("sys.argv", command)
    assert main() == 0
    assert "Dot attention, no mask, 1 thread: batch 4" in capsys.readouterr().out
    before = (tmp_path / "benchmarks.md").read_text(encoding="utf-8")
    monkeypatch.setattr("sys.argv", [*command, "--resume"])
    assert main() == 0
    assert "contender" not in capsys.readouterr().out
    assert (tmp_path / "benchmarks.md").read_text(encoding="utf-8") == before
