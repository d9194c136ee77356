"""`heedful evaluate`, `predict` and `explain` of a run that transcribes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from heedful.tasks.transcribe import TASK
from tests.cli.conftest import run_command
from tests.data.test_timings import read_text_grid
from tests.transcribe.conftest import tones

soundfile = pytest.importorskip("soundfile")


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of three recordings with their transcripts."""
    folder = tmp_path_factory.mktemp("recordings")
    lines = ["audio,text"]
    for number, row in enumerate(tones("test", 3).rows):
        soundfile.write(folder / f"r{number}.wav", np.asarray(row.clip.read()), 8000)
        lines.append(f"r{number}.wav,{row.answer}")
    path = folder / "test.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_evaluate_reports_error_rates(run: Path, table: Path) -> None:
    ran = run_command("evaluate", str(run), "--test", str(table))
    assert ran.status == 0
    for word in ("substituted", "deleted", "words", "characters"):
        assert word in ran.stdout + ran.stderr
    values = json.loads(
        run_command("evaluate", str(run), "--test", str(table), "--json").stdout.splitlines()[-1]
    )
    assert values["wer"] == pytest.approx(
        (
            values["words"]["substitutions"]
            + values["words"]["deletions"]
            + values["words"]["insertions"]
        )
        / values["words"]["length"]
    )
    assert {"reference", "predicted", "count"} == set(values["confusions"][0])


def test_predict_writes_a_line_for_each_recording(run: Path, table: Path) -> None:
    lines = run_command("predict", str(run), str(table), "-q").stdout.splitlines()
    assert lines[0] == "audio\tpredicted"
    assert [Path(line.split("\t")[0]).name for line in lines[1:]] == ["r0.wav", "r1.wav", "r2.wav"]
    best = [line.split("\t")[1] for line in lines[1:]]
    several = run_command(
        "predict", str(run), str(table), "--nbest", "3", "--beam", "8", "-q"
    ).stdout.splitlines()
    assert several[0] == "audio\tscore\tpredicted"
    rows = [line.split("\t") for line in several[1:]]
    assert len(rows) == 9
    scores = [float(row[1]) for row in rows]
    assert all(scores[n] >= scores[n + 1] for n in (0, 1, 3, 4, 6, 7))
    assert [rows[n][2] for n in (0, 3, 6)] == best


def test_times_are_written_in_each_format(run: Path, table: Path, tmp_path: Path) -> None:
    seconds = {f"r{n}.wav": row.clip.seconds for n, row in enumerate(tones("test", 3).rows)}
    ctm = run_command("predict", str(run), str(table), "--timestamps", "ctm", "-q").stdout
    for line in ctm.splitlines():
        name, channel, start, length, *_ = line.split()
        assert channel == "1"
        assert float(start) + float(length) <= seconds[name] + 0.001
    values = [
        json.loads(line)
        for line in run_command(
            "predict", str(run), str(table), "--json", "--timestamps", "json"
        ).stdout.splitlines()[:-1]
    ]
    assert sum(len(each["words"]) for each in values) == len(ctm.splitlines())
    folder = tmp_path / "grids"
    command = ("predict", str(run), str(table), "-q", "--timestamps", "textgrid")
    ran = run_command(*command, "--timestamps-folder", str(folder))
    assert ran.stdout.startswith("audio\tpredicted\n")
    for each in values:
        name = Path(each["audio"]).name
        grid = (folder / name).with_suffix(".TextGrid").read_text(encoding="utf-8")
        spoken = [word.text for word in read_text_grid(grid) if word.text]
        assert spoken == [word["text"] for word in each["words"]]
    one = table.parent / "r0.wav"
    assert run_command("predict", str(run), str(one), "--timestamps", "srt", "-q").status == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--timestamps", "vtt"], "unknown --timestamps 'vtt'"),
        (["--timestamps", "json"], "--timestamps json is for --json"),
        (["--timestamps", "ctm", "--json"], "--timestamps ctm has no effect on --json"),
        (["--timestamps-folder", "x"], "--timestamps-folder needs a format"),
        (["--timestamps", "textgrid"], "a textgrid file holds one recording"),
        (["--alignments", "x"], "alignments has no effect on the task 'transcribe'"),
    ],
)
def test_options_without_effect_are_refused(
    run: Path, table: Path, options: list[str], message: str
) -> None:
    ran = run_command("predict", str(run), str(table), *options)
    assert ran.status != 0
    assert message in " ".join(ran.stderr.split())


def test_explain_shows_which_positions_each_token_is_from(run: Path, table: Path) -> None:
    recording = str(table.parent / "r0.wav")
    command = ("explain", str(run), recording, "--reference", "low high")
    [shown] = json.loads(run_command(*command, "--json").stdout)["texts"]
    predictor = TASK.load(run)
    kinds = {record["kind"] for record in shown["records"]}
    assert kinds == {
        *(["cross"] if predictor.model.decoder is not None else []),
        *(["ctc"] if predictor.model.has_ctc else []),
    }
    for record in shown["records"]:
        assert record["query_tokens"][:2] == ["low", "high"]
        weights = np.array(record["weights"])
        assert weights.shape[2] == len(record["key_tokens"])
        np.testing.assert_allclose(weights.sum(axis=-1), 1, atol=1e-2)
    assert run_command(*command, "-q").status == 0
