"""`heedful predict RUN - --stream`: raw samples from standard input, transcripts as they become certain."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from heedful.cli.output import Output, write_json
from heedful.errors import OptionError

if TYPE_CHECKING:
    from heedful.tasks.predictor import Predictor

SECONDS = 0.1
"""Of samples that are read at once."""


def predict_stream(
    predictor: Predictor, file: str, search: Mapping[str, Any], output: Output
) -> None:
    """Transcribe samples from standard input.

    Raises: OptionError for a file, an option of `search` but beam, or a model that cannot read a stream.
    """
    from heedful.cli.input_lines import STANDARD_INPUT
    from heedful.tasks.live import LiveTranscriber, pcm_samples

    if file != STANDARD_INPUT:
        raise OptionError(f"--stream reads standard input; write - instead of {file}")
    for name in search:
        if name != "beam":
            option = name.replace("_", "-")
            raise OptionError(f"--{option} has no effect with --stream; leave it out")
    live = LiveTranscriber(predictor, beam=search.get("beam"))
    rate = live.framing.rate
    output.say(
        f"reading 16-bit little-endian samples, mono, {rate:,} per second; latency {live.latency:.2f} s"
    )
    size, left, shown = 2 * round(rate * SECONDS), b"", ""
    source: Any = sys.stdin.buffer
    while read := source.read1(size):
        read = left + read
        whole = len(read) // 2 * 2
        left = read[whole:]
        text = live.feed(pcm_samples(read[:whole]))
        if text != shown:
            _write(live.seconds, text, json=output.json, final=False)
            shown = text
    if left:
        raise OptionError("the stream ended inside a sample; send 16 bits for each")
    _write(live.seconds, live.finish(), json=output.json, final=True)


def _write(seconds: float, text: str, *, json: bool, final: bool) -> None:
    if json:
        write_json({"seconds": round(seconds, 3), "text": text, "final": final})
        return
    sys.stdout.buffer.write(f"{seconds:.2f}\t{'final' if final else 'partial'}\t{text}\n".encode())
    sys.stdout.buffer.flush()
