"""A Ray of two workers on this machine does what local processes do, also when one is killed."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

import heedful
from heedful.cli import compare_run
from heedful.cluster.ray_cluster import Cluster, connected
from heedful.cluster.workers import run_worker
from heedful.errors import HeedfulError, OptionError, RunError
from tests.cli.conftest import run_command

SENTENCE = "1\tThe\tDET\n2\tdog\tNOUN\n3\tsaw\tVERB\n4\ta\tDET\n5\tcat\tNOUN\n\n"
COLUMNS = "# text\n" + "".join(
    "\t".join([number, word, "_", tag, *"_" * 6]) + "\n"
    for number, word, tag in (line.split("\t") for line in SENTENCE.split("\n") if line)
) + "\n"  # fmt: skip


def test_only_ray_is_a_place(tmp_path: Path) -> None:
    ran = run_command("compare", "tag", "--train", "builtin:saw", "--on", "slurm", "--out", "x")
    assert ran.status == 2
    assert "--on 'slurm': expected ray, or ray://HOST:PORT" in ran.stderr


def test_names_the_package_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(OptionError, match=r'pip install "heedful\[cluster\]"'), connected("ray"):
        pass


@pytest.mark.parametrize("port", [":1", ":port", ""])
def test_a_head_that_is_not_there_is_said_at_once(port: str) -> None:
    pytest.importorskip("ray")
    start = time.monotonic()
    with (
        pytest.raises(RunError, match=rf"no Ray cluster answers at ray://127\.0\.0\.1{port}: "),
        connected(f"ray://127.0.0.1{port}"),
    ):
        pass
    assert time.monotonic() - start < 30


def test_a_worker_that_does_not_see_the_folder_says_so(tmp_path: Path) -> None:
    [event] = run_worker("no.module", {}, str(tmp_path), str(tmp_path / "missing.json"))
    assert event["kind"] == "failed"
    assert "missing.json is not on" in event["value"]
    assert "file system that all machines of the cluster share" in event["value"]


class Threads:
    """Ray's functions as far as `Cluster` uses them, in this process."""

    class exceptions:  # noqa: N801
        class RayError(Exception):
            pass

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 2.0}

    def nodes(self) -> list[dict[str, Any]]:
        return [{"Alive": True, "Resources": {"CPU": 2.0}}]

    def remote(self, **options: Any) -> Any:
        def of(function: Any) -> Any:
            class Remote:
                @staticmethod
                def remote(*arguments: Any) -> Any:
                    self.calls.append(arguments)
                    return function, arguments

            return Remote

        return of

    def get(self, call: Any) -> Any:
        function, arguments = call
        return function(*arguments)


def test_calls_are_started_a_few_ahead_and_answered_in_order() -> None:
    threads = Threads()
    results = Cluster(threads).ordered(lambda n: n * n, ((n,) for n in range(20)))
    assert next(results) == 0
    assert len(threads.calls) == 4
    assert list(results) == [n * n for n in range(1, 20)]
    assert threads.calls == [(n,) for n in range(20)]


def test_an_error_of_the_input_comes_after_the_answers_before_it() -> None:
    def calls() -> Iterator[tuple[int]]:
        yield (1,)
        yield (2,)
        raise RunError("line 3")

    results = Cluster(Threads()).ordered(lambda n: n, calls())
    assert [next(results), next(results)] == [1, 2]
    with pytest.raises(RunError, match="line 3"):
        next(results)


def test_more_threads_than_any_machine_has_are_refused() -> None:
    with pytest.raises(OptionError, match=r"largest of the cluster has 2; set training\.threads"):
        Cluster(Threads()).submit(print, cpus=3)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "train.conllu").write_text(COLUMNS * 60, encoding="utf-8")
    (tmp_path / "dev.conllu").write_text(COLUMNS * 4, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


COMPARE = (
    "compare", "tag", "--train", "train.conllu", "--valid", "dev.conllu", "--encoders", "none,window",
    "--lengths", "3", "--set", "training.threads=1",
)  # fmt: skip


def results(folder: Path) -> dict[str, Any]:
    """Return what does not depend on time: quality, scores, steps and weights of each training."""
    values = json.loads((folder / "comparison.json").read_text())
    kept = ("contender", "seed", "fraction", "quality", "scores", "steps", "tokens", "error")
    runs = {
        f"{run['contender']} {run['seed']} {run['fraction']}": [run[name] for name in kept]
        for run in values["runs"]
    }
    for file in sorted(folder.glob("runs/*/model.safetensors")):
        runs[file.parent.name] = {n: w.tolist() for n, w in load_file(file).items()}
    return runs


@pytest.mark.long
@pytest.mark.usefixtures("cluster_of_two")
def test_a_comparison_is_that_of_local_processes(place: Path) -> None:
    budget = ("--budget", "epochs=2", "--seeds", "1", "--fractions", "0.5")
    ran = run_command(*COMPARE, *budget, "--on", "ray", "--out", "far")
    assert ran.status == 0, ran.stderr
    assert "[4/4]" in ran.stdout
    assert run_command(*COMPARE, *budget, "--out", "near").status == 0
    assert results(place / "far") == results(place / "near")
    again = run_command(*COMPARE, *budget, "--on", "ray", "--out", "far")
    assert again.stdout.count("(already done)") == 4


@pytest.mark.long
def test_a_comparison_whose_worker_is_killed(place: Path, cluster_of_two: Any) -> None:
    budget = ("--budget", "epochs=40", "--seeds", "1")
    killed: list[int] = []
    with once_validated(place / "far", lambda: killed.extend(kill_a_worker())):
        ran = run_command(*COMPARE, *budget, "--on", "ray", "--out", "far")
    assert len(killed) == 1
    assert ran.status == 0, ran.stderr
    assert run_command(*COMPARE, *budget, "--out", "near").status == 0
    assert results(place / "far") == results(place / "near")


@pytest.mark.long
@pytest.mark.usefixtures("cluster_of_two")
def test_a_comparison_that_is_interrupted_goes_on_here(place: Path) -> None:
    budget = ("--budget", "epochs=40", "--seeds", "1")
    with once_validated(place / "far", lambda: os.kill(os.getpid(), signal.SIGINT)):
        ran = run_command(*COMPARE, *budget, "--on", "ray", "--out", "far")
    assert ran.status == 130, ran.stderr
    assert "run the same command to resume" in ran.stderr
    trained = [
        len(each.read_text().splitlines()) for each in place.glob("far/runs/*/metrics.jsonl")
    ]
    assert trained
    ran = run_command(*COMPARE, *budget, "--out", "far")
    assert ran.status == 0, ran.stderr
    assert run_command(*COMPARE, *budget, "--out", "near").status == 0
    assert results(place / "far") == results(place / "near")


@contextlib.contextmanager
def once_validated(out: Path, act: Callable[[], object]) -> Iterator[None]:
    """Do something as soon as some training of a comparison has been validated once."""
    is_over = threading.Event()

    def watch() -> None:
        while not is_over.wait(0.02):
            for metrics in out.glob("runs/*/metrics.jsonl"):
                if '"validated"' in metrics.read_text():
                    act()
                    return

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def kill_a_worker() -> list[int]:
    """Kill the Ray process that waits for a training: the parent of one that runs our worker."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            command = (entry / "cmdline").read_bytes()
            status = (entry / "status").read_text()
        except OSError:
            continue
        if compare_run.WORKER.encode() in command:
            parent = int(status.split("PPid:")[1].split()[0])
            if parent != os.getpid():
                os.kill(parent, signal.SIGKILL)
                return [parent]
    return []


@pytest.mark.usefixtures("cluster_of_two")
def test_results_come_in_the_order_of_the_calls(tmp_path: Path) -> None:
    with connected("ray") as cluster:
        assert cluster.cpus == cluster.most_cpus == 2
        calls = ((n, str(tmp_path)) for n in range(12))  # which is there, so that nothing is killed
        assert list(cluster.ordered(squared, calls)) == [n * n for n in range(12)]
        with pytest.raises(RunError, match="division by zero"):
            cluster.result(cluster.submit(inverse, 0))


@pytest.mark.usefixtures("cluster_of_two")
def test_calls_that_still_run_at_the_end_are_ended() -> None:
    with connected("ray") as cluster:
        call = cluster.submit(asleep)
        cluster.cancel()
        with pytest.raises(HeedfulError, match="it was asked to end"):
            cluster.result(call)


@pytest.mark.long
def test_a_failed_training_is_listed_and_the_others_go_on(place: Path, cluster_of_two: Any) -> None:
    (place / "compare.toml").write_text(
        '[compare]\ntask = "tag"\nseeds = 1\nlengths = [3]\nbudget = "epochs=3"\n'
        '[data]\ntrain = ["train.conllu"]\nvalid = ["dev.conllu"]\n'
        "[training]\nthreads = 1\nbatch_tokens = 40\nwarmup_steps = 1\n"
        '[contenders.good.encoder]\nkind = "none"\n'
        '[contenders.wild.encoder]\nkind = "none"\n'
        "[contenders.wild.training]\nlearning_rate = 1e30\n"
    )
    ran = run_command("compare", "compare.toml", "--on", "ray", "--out", "far")
    assert ran.status == 1
    assert "good-seed-0: accuracy" in ran.stdout
    assert "failed: wild, seed 0" in ran.stderr


@pytest.fixture
def mood(tmp_path: Path) -> Path:
    rows = [{"text": f"a good film {n % 7}", "label": "good"} for n in range(20)]
    rows += [{"text": f"a bad film {n % 5}", "label": "bad"} for n in range(20)]
    heedful.train(
        "classify", train=rows, out=tmp_path / "mood", training={"epochs": 2, "threads": 1}
    )
    return tmp_path / "mood"


@pytest.mark.long
def test_a_file_is_predicted_by_shards(tmp_path: Path, mood: Path, cluster_of_two: Any) -> None:
    chosen = np.random.default_rng(0)
    words = ["a", "good", "bad", "film", "0", "1", "unseen"]
    lines = [" ".join(chosen.choice(words, size=n % 9 + 1)) + f" {n}" for n in range(25_000)]
    file = tmp_path / "new.txt"
    file.write_text("\n".join(lines) + "\n")
    near = run_command("predict", str(mood), str(file), "--text", "--quiet")
    far = run_command("predict", str(mood), str(file), "--text", "--quiet", "--on", "ray")
    assert near.status == far.status == 0, far.stderr
    assert [line.split("\t")[0] for line in far.stdout.splitlines()] == lines
    assert far.stdout == near.stdout


@pytest.mark.long
def test_a_shard_whose_worker_is_killed(tmp_path: Path, cluster_of_two: Any) -> None:
    """Each result comes once, though the process of one is killed."""
    killed = tmp_path / "killed"
    with connected("ray") as cluster:
        found = list(cluster.ordered(squared, ((n, str(killed)) for n in range(30))))
    assert killed.exists()
    assert found == [n * n for n in range(30)]


def inverse(number: int) -> float:
    return 1 / number


def asleep() -> None:
    for _ in range(3000):
        time.sleep(0.1)


def squared(number: int, killed: str) -> int:
    if number == 7 and not os.path.exists(killed):
        open(killed, "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number
