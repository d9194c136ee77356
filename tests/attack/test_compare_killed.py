"""A comparison that is killed leaves no worker behind, and a contender that fails is reported beside the others."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from heedful import worker_process
from heedful.cli import compare_worker
from heedful.cli.compare_worker import job_to_dict
from heedful.compare.comparison import RESULTS, JobFinished, data_digest, run_all, write_results
from heedful.compare.formatting import table
from heedful.compare.outcome import Outcome, Point, load_outcome
from heedful.compare.page import comparison_page
from heedful.compare.plan import CompareSection, Job, make_plan
from heedful.compare.run import run_job
from heedful.compare.summary import common_quality, summarize
from heedful.config import build
from heedful.errors import RunError
from heedful.run_folder import read_metadata
from heedful.tasks.table import TASKS
from heedful.training.checkpoint import read_position
from heedful.worker_process import stream_events
from tests.attack.command_server import CommandServer, wait_until
from tests.compare.conftest import case_of

SENTENCES = "".join(f"I\tPRON\nsaw\tVERB\n{w}\tNOUN\n\n" for w in ("a", "b", "c", "d")) * 6

WORKER = """
import sys, time
from heedful.worker_process import serve

def work(job, write):
    import os
    write({"pid": os.getpid(), "value": float("nan")})
    if job["does"] == "ends":
        return
    if job["does"] == "is killed":
        os.kill(os.getpid(), 9)
    if job["does"] == "crashes":
        raise RuntimeError("no luck")
    if job["does"] == "is killed while it writes":
        os.write(EVENTS, b'{"pid": ')
        os.kill(os.getpid(), 9)
    if job["does"] == "stays":
        import signal
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    write({"ready": True})
    time.sleep(600)

import os
EVENTS = os.dup(1)
serve(work)
"""
COMMAND = [sys.executable, "-c", WORKER]
PARENT = f"""
import os, sys
from heedful.worker_process import stream_events
for event in stream_events({COMMAND!r}, {{"does": "waits"}}, os.environ):
    print(event, flush=True)
"""


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    stat = Path(f"/proc/{pid}/stat")
    # a process whose parent is gone may stay a zombie where no process reaps it
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z"


@pytest.mark.parametrize("how", ["SIGKILL", "SIGTERM", "SIGHUP"])
def test_however_the_parent_ends_the_worker_ends(how: str) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    with parent:
        worker = eval(parent.stdout.readline())["pid"]
        assert eval(parent.stdout.readline()) == {"ready": True}
        assert not is_gone(worker)
        parent.send_signal(getattr(signal, how))
    wait_until(lambda: is_gone(worker))


def events_of(does: str) -> Iterator[dict[str, Any]]:
    return stream_events(COMMAND, {"does": does}, os.environ)


def test_events_are_strict_json_and_a_worker_ends_by_itself() -> None:
    [event] = events_of("ends")
    assert event["value"] is None


@pytest.mark.parametrize(
    ("does", "message"),
    [
        ("is killed", "ended early: it was killed, probably because it ran out of memory"),
        ("is killed while it writes", "ended early: it was killed, probably because"),
        ("crashes", "ended early: RuntimeError: no luck"),
    ],
)
def test_how_a_worker_failed_is_told(does: str, message: str) -> None:
    with pytest.raises(RunError, match=message):
        list(events_of(does))


def test_closing_ends_the_worker_or_kills_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_process, "GRACE_SECONDS", 0.05)
    for does in ("waits", "stays"):
        with closing(events_of(does)) as events:  # type: ignore[type-var]
            worker = next(events)["pid"]
            next(events)
        assert is_gone(worker)


def test_a_second_ctrl_c_kills_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    wait = subprocess.Popen.wait

    def interrupted(self: Any, timeout: float | None = None) -> int:
        if timeout is not None:
            raise KeyboardInterrupt
        return wait(self)

    events = events_of("stays")
    worker = next(events)["pid"]
    next(events)
    monkeypatch.setattr(subprocess.Popen, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        events.close()  # type: ignore[attr-defined]
    assert is_gone(worker)


def test_a_worker_that_is_asked_to_end_saves_its_step(tmp_path: Path) -> None:
    (tmp_path / "train.conll").write_text(SENTENCES, encoding="utf-8")
    data = {"train": [str(tmp_path / "train.conll")], "valid": [str(tmp_path / "train.conll")]}
    values = {**case_of("tag").base, "data": data, "encoder": {"kind": "none", "hidden": 4}}
    values["training"] = {**values["training"], "batch_tokens": 9, "progress_steps": 1}
    config = build(TASKS["tag"].configuration, values)
    job = Job(contender="none", seed=0, fraction=1.0, config=config)
    steps = []

    def write(event: Mapping[str, Any]) -> None:
        if event["kind"] == "progress":
            steps.append(event["value"]["step"])
            if steps[-1] == 3:
                signal.raise_signal(signal.SIGTERM)

    run = tmp_path / "run"
    with pytest.raises(SystemExit) as ended:
        compare_worker.work(job_to_dict("tag", job, run, (2,)), write)
    assert ended.value.code == worker_process.INTERRUPTED
    assert steps == [1, 2, 3]
    assert step_of(run) == 4


COMPARE = (
    "compare", "tag", "--train", "train.conll", "--valid", "train.conll", "--encoders", "none,window", "--seeds", "1",
    "--lengths", "2", "--set", "training.batch_tokens=9", "--set", "training.threads=1", "--out", "report",
)  # fmt: skip


@pytest.fixture(scope="module")
def server() -> Iterator[CommandServer]:
    if not hasattr(os, "fork"):
        pytest.skip("this system cannot fork")
    with CommandServer() as started:
        yield started


def step_of(run: Path) -> int:
    try:
        return read_position(read_metadata(run / "checkpoints" / "state.safetensors")).step
    except RunError:
        return 0


def children(process: int) -> list[int]:
    path = Path(f"/proc/{process}/task/{process}/children")
    return [int(child) for child in path.read_text(encoding="ascii").split()]


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="looks at processes as Linux shows them")
def test_a_comparison_that_is_ended_saves_its_training(
    tmp_path: Path, server: CommandServer
) -> None:
    (tmp_path / "train.conll").write_text(SENTENCES, encoding="utf-8")
    command = server.start(tmp_path, *COMPARE, "--budget", "epochs=100000")
    run = tmp_path / "report" / "runs" / "none-seed-0"
    wait_until(lambda: step_of(run) > 20)
    [worker] = children(command.pid)
    command.send(signal.SIGTERM)
    assert command.wait() == 143
    assert command.stderr == "interrupted by SIGTERM; run the same command to resume\n"
    assert is_gone(worker)
    assert json.loads((tmp_path / "report" / RESULTS).read_text())["runs"] == []


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="looks at processes as Linux shows them")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_comparison_that_was_killed_goes_on(
    number: signal.Signals, tmp_path: Path, server: CommandServer
) -> None:
    (tmp_path / "train.conll").write_text(SENTENCES, encoding="utf-8")
    budget = ("--budget", "steps=400")
    command = server.start(tmp_path, *COMPARE, *budget)
    wait_until(lambda: step_of(tmp_path / "report" / "runs" / "none-seed-0") > 20)
    [worker] = children(command.pid)
    command.send(number)
    assert command.wait() == (-9 if number == signal.SIGKILL else 128 + number)
    wait_until(lambda: is_gone(worker))
    again = server.start(tmp_path, *COMPARE, *budget)
    assert again.wait() == 0, again.stderr
    assert "resuming the comparison" in again.stdout
    results = json.loads((tmp_path / "report" / RESULTS).read_text())
    assert [(run["error"], run["steps"]) for run in results["runs"]] == [(None, 400)] * 2


@pytest.mark.parametrize("every", [False, True], ids=["one training", "every training"])
def test_a_contender_that_diverges_is_reported_beside_the_others(
    every: bool, tmp_path: Path
) -> None:
    case = case_of("tag")
    contenders = {
        **case.contenders,
        "wild": {"encoder": {"kind": "none"}, "training": {"learning_rate": 1e30}},
    }
    section = CompareSection.model_validate(
        {"task": "tag", "seeds": 2, "budget": "epochs=2", "lengths": [2]}
    )
    plan = make_plan(section, dict(case.base), contenders)

    def runner(job: Job, run: Path) -> Any:
        config = job.config
        if job.contender == "wild" and job.seed == 0 and not every:
            tame = config.training.model_copy(update={"learning_rate": 0.01})
            config = config.model_copy(update={"training": tame})
        tamed = Job(contender=job.contender, seed=job.seed, fraction=1, config=config)
        yield from run_job(plan.task, tamed, (case.data, case.data), run, plan.lengths)

    events = run_all(plan, tmp_path, data_digest((case.data, case.data)), runner)
    outcomes = [event.outcome for event in events if isinstance(event, JobFinished)]
    failed = [each for each in outcomes if each.error is not None]
    assert {each.contender for each in failed} == {"wild"}
    assert len(failed) == (2 if every else 1)
    for each in failed:
        assert "training diverged: " in str(each.error)
        assert "Set training.learning_rate lower for this contender, such as 0.0" in str(each.error)
    summary = summarize(plan, outcomes)
    rows = {row[0]: row[1:] for row in table(plan, summary)}
    if every:
        assert rows["wild"][:2] == ["failed", "–"]
    else:
        assert "wild (1 of 2 failed)" in rows
    page = comparison_page(plan, summary, outcomes, "out")
    assert "Failed trainings" in page
    assert "training diverged" in page
    write_results(tmp_path, {"summary": summary.to_dict()})
    text = (tmp_path / RESULTS).read_text()
    assert "training diverged" in text
    assert json.loads(text, parse_constant=pytest.fail)


def test_a_quality_that_is_not_finite_is_kept_apart(tmp_path: Path) -> None:
    point = Point(epoch=1, step=1, tokens=1, seconds=1.0, quality=float("nan"))
    good = Point(epoch=2, step=2, tokens=2, seconds=2.0, quality=0.5)
    outcome = Outcome(
        contender="a", seed=0, fraction=1.0, scores={"loss": float("inf")}, curve=(point, good)
    )
    path = tmp_path / "outcome.json"
    outcome.save(path)
    assert json.loads(path.read_text(), parse_constant=pytest.fail)["curve"][0]["quality"] is None
    loaded = load_outcome(path)
    assert loaded is not None
    assert loaded.curve[1] == good
    assert loaded.curve[0].quality != loaded.curve[0].quality
    assert common_quality(TASKS["tag"].answer, [[outcome]]) == 0.5
