"""Sharing among threads: PyTorch's own pool, as many as PyTorch may use, after a fork, from several threads at once."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
import torch

from heedful.ops.jit import threads
from heedful.ops.jit.kernel import kernel, launch, parts_for
from tests.ops.jit.processes import run

MUCH = 1e9


@kernel
def add_one(part, parts, target):
    for i in range(len(target) * part // parts, len(target) * (part + 1) // parts):
        target[i] += 1


@kernel
def subtract_index(part, parts, target):
    for i in range(len(target) * part // parts, len(target) * (part + 1) // parts):
        target[i] -= i % 7


@kernel
def largest_parts(part, parts, seen):
    seen[part] = parts


def numbers(size: int) -> torch.Tensor:
    return torch.zeros(size, dtype=torch.int64)


@pytest.fixture(params=["torch", "python"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "python":
        monkeypatch.setattr(threads, "torch_parallel", lambda: None)
    elif threads.torch_parallel() is None:
        pytest.skip("PyTorch runs on no OpenMP library that can be called here")
    return str(request.param)


@pytest.mark.skipif(
    "OpenMP" not in torch.__config__.parallel_info() or os.name != "posix",
    reason="this PyTorch was built without OpenMP",
)
def test_pytorchs_pool_is_found() -> None:
    library = Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"
    assert (threads.torch_parallel() is not None) == library.exists()


def test_threads_of_torch_are_honoured_at_each_call(way: str) -> None:
    before = torch.get_num_threads()
    try:
        for count in (1, 2, 3, 1, 2):
            torch.set_num_threads(count)
            seen = numbers(8)
            launch(largest_parts, seen, work=MUCH)
            assert seen.tolist() == [count] * count + [0] * (8 - count)
    finally:
        torch.set_num_threads(before)


def test_several_python_threads_at_once(way: str) -> None:
    failures: list[BaseException] = []

    def hammer(which: int) -> None:
        try:
            target = numbers(5000 + which)
            one = (add_one, subtract_index)[which % 2]
            for _ in range(150):
                launch(one, target, work=MUCH, parts=2 + which % 2)
            expected = 150 if which % 2 == 0 else -150 * (torch.arange(5000 + which) % 7)
            assert (target == expected).all()
        except BaseException as error:
            failures.append(error)

    hammering = [threading.Thread(target=hammer, args=(which,)) for which in range(4)]
    for thread in hammering:
        thread.start()
    for thread in hammering:
        thread.join(120)
        assert not thread.is_alive()
    assert failures == []


def test_more_parts_than_threads_and_fewer(way: str) -> None:
    for parts in (2, 3, 17, 200):
        seen = numbers(parts)
        launch(largest_parts, seen, work=MUCH, parts=parts)
        assert seen.tolist() == [parts] * parts


FORK = """
import os, signal
torch.set_num_threads(2)
big = torch.randn(500, 500)
big @ big
run(parts=2)
child = os.fork()
if child == 0:
    signal.alarm(60)
    try:
        run(parts=2)
        run(parts=1)
        os._exit(0)
    except BaseException:
        os._exit(3)
_, status = os.waitpid(child, 0)
run(parts=2)
print(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize("before", ["", "threads.torch_parallel = lambda: None"])
def test_a_forked_child_runs_kernels_after_its_parent_used_the_pool(
    before: str, tmp_path: Path
) -> None:
    ignored = "warnings.simplefilter('ignore', DeprecationWarning)"  # that threads were there
    assert run(f"{ignored}\n{before}\n{FORK}", tmp_path, str(tmp_path / "cache")) == "0"


LOADER = """
class Data(torch.utils.data.Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        run(parts=2)
        return torch.tensor([index, torch.get_num_threads()])

warnings.simplefilter("ignore", DeprecationWarning)
torch.set_num_threads(2)
run(parts=2)
loader = torch.utils.data.DataLoader(Data(), num_workers=2, multiprocessing_context="fork")
print([row.tolist() for batch in loader for row in batch])
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_workers_of_a_data_loader(tmp_path: Path) -> None:
    found = run(LOADER, tmp_path, str(tmp_path / "cache"))
    assert found == "[[0, 1], [1, 1], [2, 1], [3, 1]]"


def test_a_failing_part_is_told_from_any_thread(way: str) -> None:
    @kernel
    def last_part_fails(part, parts, target):
        if part == parts - 1:
            raise IndexError("out of reach")
        target[part] = 1

    for _ in range(20):
        with pytest.raises(IndexError, match="out of reach"):
            launch(last_part_fails, numbers(3), work=MUCH, parts=3)


def test_little_work_stays_on_one_thread() -> None:
    assert parts_for(10_000) == 1
