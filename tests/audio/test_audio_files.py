"""Recordings from folders, tables, manifests and Kaldi folders, and every kind of damaged file."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from heedful.data.audio.clips import Clip
from heedful.data.audio.columns import AudioColumns
from heedful.data.audio.fbank import Framing
from heedful.data.audio.files import decode, inspect, resample
from heedful.data.audio.python_rows import recordings_of_rows
from heedful.data.audio.tables import read_audio
from heedful.errors import DataError, OptionError
from tests.audio.sounds import RATE, tone, write, write_table

FRAMING = Framing(rate=RATE)
LABEL = AudioColumns(answer="label")


def read(path: Path, columns: AudioColumns = LABEL, framing: Framing = FRAMING) -> Any:
    return read_audio([str(path)], columns, framing)


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".aiff", ".mp3", ".w64"])
def test_formats(suffix: str, tmp_path: Path) -> None:
    path = write(tmp_path / f"a{suffix}")
    info = inspect(path)
    assert (info.rate, info.channels) == (RATE, 1)
    assert info.samples == pytest.approx(2400, abs=1200)  # MP3 pads
    samples = decode(path, 0, info.samples)
    assert samples.dtype == np.float32
    assert 0.1 < np.abs(samples).max() < 0.5


def test_a_folder_of_labels(tmp_path: Path) -> None:
    for label, name in (("yes", "b.wav"), ("no", "a.flac"), ("no", "deep/c.WAV")):
        write(tmp_path / label / name)
    (tmp_path / "no" / "notes.txt").write_text("not audio")
    found = read(tmp_path)
    assert [(each.clip.name, each.answer) for each in found.rows] == [
        ("a.flac", ("no",)), ("c.WAV", ("no",)), ("b.wav", ("yes",)),
    ]  # fmt: skip
    assert {clip.frames for clip in found.inputs} == {28}
    write(tmp_path / "loose.wav")
    with pytest.raises(DataError, match="'label' is empty"):
        read(tmp_path)


@pytest.mark.parametrize("name", ["audio", "file_name", "path", "audio_filepath", "file", "wav"])
def test_usual_names_of_the_column_of_paths(name: str, tmp_path: Path) -> None:
    write(tmp_path / "sounds" / "a.wav")
    table = write_table(tmp_path / "t.csv", ["id", name, "label"], [[1, "sounds/a.wav", "yes"]])
    [found] = read(table).rows
    assert (found.answer, found.line) == (("yes",), 2)


def test_other_names_and_tables_without_a_header(tmp_path: Path) -> None:
    write(tmp_path / "a.wav")
    table = write_table(tmp_path / "t.csv", ["clip", "label"], [["a.wav", "yes"]])
    with pytest.raises(DataError, match=r"t.csv, line 1: no column of the recordings .* --audio"):
        read(table)
    assert read(table, AudioColumns(audio="clip", answer="label")).answers == [("yes",)]
    with pytest.raises(DataError, match="there is no column 'lable'; did you mean 'label'"):
        read(table, AudioColumns(audio="clip", answer="lable"))
    (tmp_path / "t.tsv").write_text("a.wav\tyes\n")
    assert read(tmp_path / "t.tsv", AudioColumns(audio="1", answer="2")).answers == [("yes",)]


def test_tables_of_hugging_face_and_common_voice(tmp_path: Path) -> None:
    write(tmp_path / "a.wav")
    write_table(tmp_path / "metadata.csv", ["file_name", "transcription"], [["a.wav", "one  two"]])
    text = AudioColumns(kind="text")
    assert read(tmp_path, text).answers == ["one two"]
    (tmp_path / "train.tsv").write_text("client_id\tpath\tsentence\nx\ta.wav\tdrei\n")
    assert read(tmp_path / "train.tsv", text).answers == ["drei"]
    with pytest.raises(DataError, match="no column of the transcripts"):
        read(write_table(tmp_path / "t.csv", ["audio", "label"], [["a.wav", "x"]]), text)


def test_a_manifest_of_nemo(tmp_path: Path) -> None:
    write(tmp_path / "long.wav", tone(400, 2.0))
    rows: list[dict[str, Any]] = [
        {"audio_filepath": "long.wav", "text": "one", "duration": 0.5, "offset": 0.25},
        {"audio_filepath": str(tmp_path / "long.wav"), "text": "two", "duration": 2.04},
    ]
    manifest = tmp_path / "train_manifest.json"
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    first, second = read(manifest, AudioColumns(kind="text")).rows
    assert (first.answer, first.clip.start, first.clip.samples) == ("one", 2000, 4000)
    np.testing.assert_array_equal(first.clip.read(), second.clip.read()[2000:6000])
    assert second.clip.seconds == 2.0  # listed durations are rounded
    for wrong in ({"offset": 2.5}, {"offset": 1.0, "duration": 1.5}):
        manifest.write_text(json.dumps({**rows[0], **wrong}))
        with pytest.raises(DataError, match=r"line 1: the part from .* passes the end of long.wav"):
            read(manifest, AudioColumns(kind="text"))
    manifest.write_text(json.dumps({**rows[0], "offset": "soon"}))
    with pytest.raises(DataError, match="'offset' holds 'soon'; expected seconds"):
        read(manifest, AudioColumns(kind="text"))


def test_a_folder_of_kaldi(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", tone(400, 1.0))
    (tmp_path / "wav.scp").write_text("u1 a.wav\n\nu2 a.wav\n")
    (tmp_path / "text").write_text("u1 hello there\nu2 bye\n")
    (tmp_path / "utt2spk").write_text("u1 ann\nu2 bob\n")
    assert read(tmp_path, AudioColumns(kind="text")).answers == ["hello there", "bye"]
    assert read(tmp_path, AudioColumns(answer="spk")).answers == [("ann",), ("bob",)]
    (tmp_path / "segments").write_text("u1 u1 0.25 0.75\nu2 u2 0.5 -1\n")
    clips = read(tmp_path, AudioColumns(kind="text")).inputs
    assert [(clip.start, clip.samples) for clip in clips] == [(2000, 4000), (4000, 4000)]
    for wrong, message in (
        ("u1 u9 0 1", "the recording 'u9' is not in wav.scp"),
        ("u1 u1 0", "expected a recording, its start and its end"),
        ("u1 u1 1 0.5", "ends at 0.5 s, before it begins at 1 s"),
    ):
        (tmp_path / "segments").write_text(f"{wrong}\n")
        with pytest.raises(DataError, match=f"segments, line 1: .*{message}"):
            read(tmp_path, AudioColumns(kind="text"))


@pytest.mark.parametrize(
    "entry", ["touch RAN |", "| touch RAN", "sph2pipe -f wav a.sph | sox - out.wav |"]
)
def test_commands_of_kaldi_are_refused_and_not_run(
    entry: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "wav.scp").write_text(f"u1 {entry}\n")
    with pytest.raises(DataError, match="wav.scp, line 1: .* is a shell command, which is not run"):
        read(tmp_path, AudioColumns(kind="none"))
    assert not (tmp_path / "RAN").exists()


def test_archives_of_kaldi_are_refused(tmp_path: Path) -> None:
    (tmp_path / "wav.scp").write_text("u1 raw.ark:17\n")
    with pytest.raises(DataError, match="'raw.ark:17' is not the name of a file"):
        read(tmp_path, AudioColumns(kind="none"))


def test_segments_become_a_label_per_frame(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", tone(400, 0.5))
    names = ["audio", "start", "end", "label"]
    rows = [["a.wav", 0.1, 0.2, "call"], ["a.wav", 0.3, 0.9, "song"]]
    table = write_table(tmp_path / "t.csv", names, rows)
    columns = AudioColumns(answer="label", kind="frames")
    [found] = read(table, columns).rows
    assert len(found.answer) == found.clip.frames == 48
    for frame, label in enumerate(found.answer):
        middle = FRAMING.centre(frame)
        expected = "call" if 0.1 <= middle < 0.2 else "song" if middle >= 0.3 else "none"
        assert label == expected, middle
    for wrong, message in (
        (["a.wav", 0.2, 0.1, "x"], "the segment from 0.2 to 0.1 s is empty"),
        (["a.wav", 0.6, 0.9, "x"], r"begins after the end of the recording \(0.50 s\)"),
        (["a.wav", "", 0.9, "x"], "a segment needs start, end and label"),
        (["a.wav", "-1", 0.9, "x"], "'start' holds '-1'; expected seconds"),
    ):
        write_table(table, names, [rows[0], wrong])
        with pytest.raises(DataError, match=f"line 3: .*{message}"):
            read(table, columns)


def damaged(folder: Path) -> dict[str, str]:
    """Write damaged recordings; return the name of each and what is to be said of it."""
    write(folder / "cut.wav", tone(400, 1.0))
    whole = (folder / "cut.wav").read_bytes()
    (folder / "cut.wav").write_bytes(whole[:5000])
    write(folder / "cut.flac", np.random.default_rng(0).normal(0, 0.1, 30_000).astype(np.float32))
    (folder / "cut.flac").write_bytes((folder / "cut.flac").read_bytes()[:9000])
    (folder / "empty.wav").write_bytes(b"")
    (folder / "head.wav").write_bytes(whole[:44])
    (folder / "text.wav").write_text("this is no audio at all, though its name says so")
    (folder / "folder.wav").mkdir()
    write(folder / "short.wav", tone(400, 0.01))
    write(folder / "none.wav", np.zeros(0, np.float32))
    write(folder / "slow.wav", rate=100)
    nan = np.full(3000, np.nan, np.float32)
    write(folder / "nan.wav", nan, subtype="FLOAT")
    return {
        "missing.wav": "no such file",
        "cut.wav": "truncated: 4,956 of 16,000 bytes",
        "cut.flac": "cannot be read as audio|truncated",
        "empty.wav": "the file is empty",
        "head.wav": "truncated: 0 of 16,000 bytes",
        "text.wav": "cannot be read as audio",
        "folder.wav": "a folder, not a recording",
        "short.wav": "short.wav has 10 ms, too short for a frame of 25 ms",
        "none.wav": "no samples",
        "slow.wav": "the sample rate is 100 Hz; expected 1,000 to 768,000 Hz",
        "nan.wav": "the samples hold NaN or infinity",
    }


def test_damaged_recordings_are_errors_or_left_out(tmp_path: Path) -> None:
    faults = damaged(tmp_path)
    write(tmp_path / "good.wav")
    rows = [["good.wav", "yes"], *([name, "no"] for name in faults), ["good.wav", ""]]
    for name, message in faults.items():
        one = write_table(tmp_path / "one.csv", ["audio", "label"], [[name, "no"]])
        with pytest.raises(DataError, match=message) as caught:
            read(one)
        assert f"{one}, line 2: " in str(caught.value)
        assert name in str(caught.value)
        with pytest.raises(DataError, match="there are no recordings that can be used"):
            read(one, AudioColumns(answer="label", skip_bad=True))
    table = write_table(tmp_path / "all.csv", ["audio", "label"], rows)
    found = read(table, AudioColumns(answer="label", skip_bad=True))
    assert [clip.name for clip in found.inputs] == ["good.wav"]
    assert len(found.skipped) == len(faults) + 1
    for number, (name, said) in enumerate(zip(faults, found.skipped, strict=False), start=3):
        assert said.startswith(f"{table}, line {number}: ")
        assert name in said


def test_wav_files_of_unknown_length_are_read(tmp_path: Path) -> None:
    path = write(tmp_path / "piped.wav")
    content = bytearray(path.read_bytes())
    at = content.index(b"data")
    content[at + 4 : at + 8] = struct.pack("<I", 0xFFFFFFFF)
    path.write_bytes(bytes(content))
    assert inspect(path).samples == 2400


def test_a_header_that_claims_terabytes_is_damage(tmp_path: Path) -> None:
    path = write(tmp_path / "huge.flac")
    content = bytearray(path.read_bytes())
    # The 36 bits of the number of samples end at byte 26 of the file.
    content[21] |= 0x0F
    content[22:26] = b"\xff" * 4
    path.write_bytes(bytes(content))
    with pytest.raises(DataError, match="huge.flac: (the file is truncated|cannot be read)"):
        inspect(path)


def test_channels_are_mixed_or_chosen(tmp_path: Path) -> None:
    left, right = tone(300), tone(900)
    path = write(tmp_path / "two.wav", np.stack([left, right], axis=1), subtype="FLOAT")
    for channel, expected in ((0, (left + right) / 2), (1, left), (2, right)):
        found = read(path, AudioColumns(kind="none", channel=channel))
        np.testing.assert_allclose(found.inputs[0].read(), expected, atol=1e-6)
    with pytest.raises(DataError, match="data.channel is 3; the recording has 2 channels"):
        read(path, AudioColumns(kind="none", channel=3))


@pytest.mark.parametrize("rate", [8000, 11_025, 16_000, 44_100, 48_000])
def test_resampling_keeps_the_tone_and_the_duration(rate: int, tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", tone(440, 0.5, rate), rate)
    [clip] = read(path, AudioColumns(kind="none"), Framing(rate=16_000)).inputs
    samples = clip.read()
    assert len(samples) == round(len(tone(440, 0.5, rate)) * 16_000 / rate)
    spectrum = np.abs(np.fft.rfft(samples))
    assert abs(int(spectrum.argmax()) * 2 - 440) <= 2
    assert clip.frames == Framing(rate=16_000).frames(len(samples))


def test_packages_that_are_missing_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    path = write(tmp_path / "a.wav")
    monkeypatch.setitem(sys.modules, "soxr", None)
    with pytest.raises(OptionError, match=r'soxr; install it: pip install "heedful\[audio\]"'):
        resample(tone(300), 8000, 16_000)
    monkeypatch.setitem(sys.modules, "soundfile", None)
    with pytest.raises(OptionError, match=r'soundfile; install it: pip install "heedful\[audio\]"'):
        inspect(path)


def test_lists_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file or folder"):
        read(tmp_path / "nothing")
    with pytest.raises(DataError, match="the folder holds no recordings"):
        read(tmp_path)
    (tmp_path / "list.doc").write_text("a.wav\n")
    with pytest.raises(DataError, match="unknown format '.doc'; expected a table"):
        read(tmp_path / "list.doc")
    (tmp_path / "t.csv").write_text("audio,label\n,x\n")
    with pytest.raises(DataError, match="t.csv, line 2: column 'audio' is empty"):
        read(tmp_path / "t.csv")


def test_rows_in_python(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav")
    integers = np.round(tone(500) * 32767).astype(np.int16)
    rows: list[dict[str, Any]] = [
        {"audio": str(path), "label": "x"},
        {"audio": tone(500), "rate": 8000, "label": "x"},
        {"audio": {"array": tone(500).tolist(), "sampling_rate": 8000}, "label": "x"},
        {"audio": integers, "rate": 8000, "label": "x"},
        {"audio": np.stack([tone(500)] * 2, axis=1), "label": "x"},
    ]
    found = recordings_of_rows(rows, LABEL, FRAMING, "train")
    for clip in found.inputs:
        np.testing.assert_allclose(clip.read(), tone(500), atol=1e-4)
    for wrong, message in (
        ("loud", "no such file"),
        ([], "expected samples"),
        ([["a"]], "expected samples"),
        ([np.nan] * 900, "the samples hold NaN"),
        (tone(500)[:20], "too short for a frame"),
    ):
        with pytest.raises(DataError, match=f"example 1 of train: .*{message}"):
            recordings_of_rows([{"audio": wrong, "label": "x"}], LABEL, FRAMING, "train")
    skipping = AudioColumns(answer="label", skip_bad=True)
    kept = recordings_of_rows([*rows, {"audio": [], "label": "x"}], skipping, FRAMING, "train")
    assert (len(kept), len(kept.skipped)) == (5, 1)


def test_numbers_and_several_labels(tmp_path: Path) -> None:
    write(tmp_path / "a.wav")
    table = write_table(tmp_path / "t.csv", ["audio", "age", "tags"], [["a.wav", 3.5, "a; b;"]])
    assert read(table, AudioColumns(answer="age", kind="number")).answers == [("3.5",)]
    assert read(table, AudioColumns(answer="tags", separator=";")).answers == [("a", "b")]
    write_table(table, ["audio", "age"], [["a.wav", "old"]])
    with pytest.raises(DataError, match="line 2: .*'old'"):
        read(table, AudioColumns(answer="age", kind="number"))
    write_table(table, ["audio", "age"], [["a.wav", ""]])
    with pytest.raises(DataError, match="line 2: column 'age' is empty"):
        read(table, AudioColumns(answer="age", kind="number"))


def test_a_resumed_run_notices_other_samples(tmp_path: Path) -> None:
    first = read(write(tmp_path / "a.wav"), AudioColumns(kind="none"))
    texts = first.texts()
    assert read(tmp_path / "a.wav", AudioColumns(kind="none")).texts() == texts
    write(tmp_path / "a.wav", tone(501))
    assert read(tmp_path / "a.wav", AudioColumns(kind="none")).texts() != texts


def test_a_recording_of_a_given_number_of_frames() -> None:
    data = recordings_of_rows([{"audio": tone(300), "label": "x"}], LABEL, FRAMING, "train")
    for frames in (1, 7, 100):
        assert data.input_of_length(frames).frames == frames
    assert isinstance(data.showcase(3)[0], Clip)


def test_soundfile_is_new_enough_for_mp3() -> None:
    assert "MP3" in soundfile.available_formats()
