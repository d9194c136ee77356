"""What ten minutes of audio cost a Transformer's encoder in one pass, by its window.

    python -m benchmarks.long_recordings [MODEL ...] [--minutes 10] [--width 96] [--layers 3] [--stream]

Each model runs in a process of its own, untrained, on one thread: the time of a pass from log-mel frames to the
log-probabilities of CTC, and how much memory the pass adds. With --stream, noise comes in by tenths of a second: the
latency that the model needs, and the time in all.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from typing import Any, Final

import numpy as np
import torch

from benchmarks.connected_digits import COMMON, MODELS, merged
from heedful.data.audio.clips import Clip, Recording, Recordings
from heedful.data.audio.fbank import Framing
from heedful.inputs.frames import FramesBatch
from heedful.tasks.live import LiveTranscriber
from heedful.tasks.predictor import Predictor
from heedful.tasks.transcribe import TASK, TranscribeConfig

NAMES: Final = ("window-8", "window-8-global", "window-32", "causal-16", "full", "ctc")
FRAMES_PER_MINUTE: Final = 6000


def untrained(name: str, options: argparse.Namespace) -> Predictor:
    """Return a model with initial weights."""
    change: dict[str, Any] = {"features": {"normalize": "none"}}
    if name != "ctc":
        change |= {"encoder": {"width": options.width, "layers": options.layers}}
    config = TranscribeConfig.model_validate(merged(COMMON, MODELS[name], change))
    clip = Clip.of(np.zeros(8000, np.float32), 8000, Framing(rate=8000))
    return TASK.learn(config, Recordings([Recording(clip, "zero one")]))


def measure(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Return the cost of one pass."""
    torch.set_num_threads(1)
    predictor = untrained(name, options)
    model = predictor.model.eval()
    frames = round(options.minutes * FRAMES_PER_MINUTE)
    bands = predictor.config.features.bands
    batch = FramesBatch(torch.randn(1, frames, bands), torch.tensor([frames]))
    short = FramesBatch(batch.values[:, :400], torch.tensor([400]))
    with torch.inference_mode():
        model(short)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        start = time.perf_counter()
        positions = model(batch).shape[1]
        seconds = time.perf_counter() - start
    added = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return {
        "model": name,
        "positions": positions,
        "seconds": round(seconds, 2),
        "times_real_time": round(options.minutes * 60 / seconds),
        "added_mib": round(added),
    }


def measure_stream(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Return latency and speed of a recording that comes in by tenths of a second."""
    torch.set_num_threads(1)
    live = LiveTranscriber(untrained(name, options))
    piece = live.rate // 10
    noise = np.random.default_rng(0).normal(0, 0.1, (round(options.minutes * 600), piece))
    start = time.perf_counter()
    for samples in noise.astype(np.float32):
        live.feed(samples)
    live.finish()
    seconds = time.perf_counter() - start
    return {
        "model": name,
        "latency": round(live.latency, 3),
        "seconds": round(seconds, 2),
        "times_real_time": round(live.seconds / seconds, 1),
    }


def main() -> None:
    """Print a line of JSON for each model."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.long_recordings")
    parser.add_argument("names", nargs="*", metavar="MODEL", help=", ".join(NAMES))
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--width", type=int, default=96)
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--stream", action="store_true", help="as a stream; of windows only")
    parser.add_argument("--one", action="store_true", help="measure in this process")
    options = parser.parse_args()
    for name in options.names or NAMES:
        if options.one:
            found = (measure_stream if options.stream else measure)(name, options)
            print(json.dumps(found), flush=True)
            continue
        sizes = [f"--{key}={getattr(options, key)}" for key in ("minutes", "width", "layers")]
        command = [sys.executable, "-m", "benchmarks.long_recordings", name, "--one", *sizes]
        subprocess.run([*command, "--stream"] if options.stream else command, check=True)


if __name__ == "__main__":
    main()
