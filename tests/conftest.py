"""What every test shares: one seed, few threads, unset memory that is never zero by luck, real corpora when there."""

from __future__ import annotations

import importlib.util
import logging
import os
import random
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

# Set before torch is first imported, and inherited by the commands that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "2")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # two processes of tests share the cores
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import hypothesis
import numpy as np
import pytest
import torch

if not torch.cuda.is_available():
    # Read when Triton's kernels are imported: without a GPU they are run by its interpreter.
    os.environ.setdefault("TRITON_INTERPRET", "1")

ROOT = Path(__file__).resolve().parents[1]
CORPORA = Path(os.environ.get("HEEDFUL_CORPORA", ROOT / "corpora"))
"""Folder of the real corpora that some tests read where they are there."""
ON_ONE_THREAD = ("tests/attack/", "tests/cli/", "tests/compare/", "tests/tasks/", "tests/train/")

# The same examples in every run, so that a red test is about the change at hand;
# `--hypothesis-profile=explore` looks further with fresh ones.
hypothesis.settings.register_profile("fixed", derandomize=True, deadline=None, max_examples=25)
hypothesis.settings.register_profile("explore", deadline=None, max_examples=300)
hypothesis.settings.load_profile("fixed")


def pytest_configure(config: pytest.Config) -> None:
    """Let whatever reads memory before writing it meet NaN (the largest integer, for integers)."""
    # Which test is the first to use a kernel depends on the order; its message is in no other test's output.
    logging.getLogger("heedful.ops.jit.kernel").setLevel(logging.WARNING)
    # Started in the background by a script, tests would hand on to every command they start that Ctrl-C is ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(signal, "SIGHUP"):  # the same of nohup
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = True
    if importlib.util.find_spec("triton") is None:  # there is none outside Linux
        config.option.ignore_glob = [*(config.option.ignore_glob or []), "*_triton.py"]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Give each test, and the fixtures made for it, its own number of threads, whatever ran before it."""
    # Models as small as those trained in these areas gain nothing from a second thread, and on a busy machine they
    # wait for it; the other areas meet the threads that users have. Said anew for each test, for what trains sets
    # threads by itself, and a fixture of an area would hold for all that a serial run comes to afterwards.
    one = item.nodeid.startswith(ON_ONE_THREAD)
    torch.set_num_threads(1 if one else int(os.environ["OMP_NUM_THREADS"]))


@pytest.fixture(autouse=True)
def _same_seed() -> None:
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(autouse=True, scope="module")
def _no_browser_is_left() -> Iterator[None]:
    """Close the browser of a file's tests: its event loop would be in the way of the next file's."""
    yield
    if browser := sys.modules.get("tests.explore.browser"):
        browser.close_browser()


@pytest.fixture(scope="session")
def corpus_folder() -> Callable[[str], Path]:
    """Find a real corpus by its folder's name, or skip the test and say which corpus was missing."""

    def find(name: str) -> Path:
        folder = CORPORA / name
        if not folder.is_dir():
            pytest.skip(
                f"the corpus {name} is not in the folder {CORPORA} (HEEDFUL_CORPORA names another)"
            )
        return folder

    return find
