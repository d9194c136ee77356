"""Transcripts by CTC, attention and both: losses, searches, times, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from heedful.answers.transcript import Transcript
from heedful.data.audio.clips import Recordings
from heedful.decode.ctc import ctc_loss
from heedful.errors import DataError, OptionError
from heedful.tasks.predictor import Predictor
from heedful.tasks.transcribe import TASK, TranscribeConfig
from heedful.tasks.translate import TranslationConfig
from heedful.training.loop import train_model
from tests.transcribe.conftest import GRU, WRITERS, config_of, tones, untrained


def batch_of(predictor: Predictor, data: Recordings) -> tuple[Any, Any]:
    encoded = predictor.input.encode(data.inputs)
    targets = predictor.answer.targets(data)
    return predictor.input.collate(encoded), predictor.answer.collate(targets)


@pytest.mark.parametrize("writer", WRITERS)
def test_loss_of_a_batch_is_that_of_its_recordings(writer: str) -> None:
    predictor, data = untrained(writer), tones(rows=4)
    together = predictor.answer.loss(predictor.model, *batch_of(predictor, data))
    alone = sum(
        predictor.answer.loss(predictor.model, *batch_of(predictor, data.take([row])))
        for row in range(4)
    )
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)
    assert together.requires_grad


@pytest.mark.parametrize("weight", [0.0, 0.25, 0.9])
def test_loss_weighs_ctc_and_the_decoder(weight: float) -> None:
    predictor, data = untrained("luong", ctc={"weight": 0.5}), tones(rows=3)
    batch, targets = batch_of(predictor, data)
    model, answer = predictor.model, predictor.answer
    states = model.states(batch)
    by_ctc = ctc_loss(
        model.ctc_log_probabilities(states),
        states.lengths,
        targets.ids[:, 1:],
        targets.lengths - 2,
        blank=0,
    ).sum()
    decoded = model.decoder.decode(model.memory(states), targets.ids[:, :-1])
    scores = torch.log_softmax(model.decoder.output(decoded.states), dim=-1)
    by_decoder = torch.zeros(())
    for row, length in enumerate(targets.lengths.tolist()):
        for position in range(1, length):
            by_decoder = by_decoder - scores[row, position - 1, targets.ids[row, position]]
    object.__setattr__(answer, "ctc_weight", weight)
    expected = weight * by_ctc + (1 - weight) * by_decoder
    torch.testing.assert_close(answer.loss(model, batch, targets), expected)


@pytest.mark.parametrize("writer", WRITERS)
def test_transcripts_of_a_batch_are_those_of_its_recordings(writer: str) -> None:
    predictor, data = untrained(writer), tones(rows=5)
    options: dict[str, Any] = {"beam": 4, "nbest": 3}
    if writer != "fixed":
        options["timestamps"] = "auto"
    together = list(predictor.predict(data.inputs, **options))
    alone = [next(iter(predictor.predict([clip], **options))) for clip in data.inputs]
    for one, other in zip(together, alone, strict=True):
        assert [each.text for each in one] == [each.text for each in other]
        assert one.score == pytest.approx(other.score, rel=1e-3)
        if writer != "fixed":
            assert [word[:3] for word in one.words] == [word[:3] for word in other.words]
            sure = [[word.confidence or 0.0 for word in each.words] for each in (one, other)]
            assert sure[0] == pytest.approx(sure[1], abs=2e-4)
        scores = [each.score for each in one]
        assert scores == sorted(scores, reverse=True)


def test_joint_search_prefers_what_both_find_probable() -> None:
    predictor, data = untrained("luong"), tones(rows=6)
    searches = [
        [each.text for each in predictor.predict(data.inputs, beam=6, ctc_weight=weight)]
        for weight in (0.0, 0.5, 1.0)
    ]
    assert searches[0] != searches[1] != searches[2]


def test_times_are_within_the_recording_and_in_order() -> None:
    for writer, timestamps in (("ctc", "ctc"), ("luong", "ctc"), ("luong", "attention")):
        predictor, data = untrained(writer), tones(rows=6)
        found: list[Transcript] = list(predictor.predict(data.inputs, timestamps=timestamps))
        assert any(each.words for each in found)
        for clip, each in zip(data.inputs, found, strict=True):
            assert each.words is not None
            assert [word.text for word in each.words] == each.text.split()
            times = [time for word in each.words for time in (word.start, word.end)]
            assert times == sorted(times)
            assert all(0 <= time <= clip.seconds + 0.02 for time in times)
            assert all(
                (word.confidence is None) == (timestamps == "attention") for word in each.words
            )


def test_times_of_ctc_are_those_of_the_frames() -> None:
    predictor = untrained("ctc", inputs={"width": 8, "kernels": [3], "strides": [4]})
    [clip] = tones(rows=1).inputs
    encoded = predictor.input.encode([clip])
    [transcript] = predictor.predict([clip], timestamps="ctc")
    model, answer = predictor.model, predictor.answer
    with torch.no_grad():
        scores = model(predictor.input.collate(encoded))[0].numpy()
    path = scores.argmax(axis=1)
    assert transcript.words
    for word in transcript.words:
        position = round((word.start - 0.0125 + 0.02) / 0.04)
        # a frame of 25 ms every 10 ms; a position is 4 frames around the middle of its first
        assert word.start == pytest.approx(max(0, 0.0125 - 0.02 + position * 0.04), abs=1e-6)
        assert len(path) >= position
    trimmed = encoded[0]._replace(first=10)
    with torch.no_grad():
        found = answer.predict(model, predictor.input.collate(encoded), timestamps="ctc")
    [moved] = answer.placed(found, [trimmed])
    assert moved.words is not None
    for before, after in zip(transcript.words, moved.words, strict=True):
        assert after.end - before.end == pytest.approx(0.1, abs=1e-6)


def test_transcripts_that_ctc_cannot_carry_are_refused_by_name(tmp_path: Path) -> None:
    data = tones()
    rows = list(data.rows)
    for row in (2, 5):
        object.__setattr__(rows[row], "answer", "low " * 200)
    object.__setattr__(rows[7], "answer", "middle high")
    bad = Recordings(rows, "made")
    with pytest.raises(DataError) as error:
        next(iter(train_model(TASK, config_of("ctc"), bad, tones("valid"), tmp_path / "run")))
    lines = str(error.value).splitlines()
    assert len(lines) == 3
    for row, line in zip((2, 5), lines, strict=False):
        assert line.startswith(
            f"{rows[row].clip.name}: the transcript has 200 tokens, 199 of them equal"
        )
        assert "needs 399 positions under CTC; the recording has" in line
    assert "inputs.strides" in lines[2]
    config = config_of("bahdanau")
    predictor = TASK.learn(config, bad)
    assert len(TASK.batches(predictor, bad, training=True)) > 0


def test_the_fastest_variant_of_training_has_to_carry_the_transcript() -> None:
    config = config_of("ctc", augment={"tempo": (0.9, 2.0)})
    predictor = TASK.learn(config, tones())
    [encoded] = predictor.input.encode(tones(rows=1).inputs)
    frames = len(encoded.values)
    assert predictor.input.positions_left(encoded, training=False) == (frames + 1) // 2
    assert predictor.input.positions_left(encoded, training=True) == (round(frames / 2) + 1) // 2
    batch = predictor.input.collate([encoded])
    assert predictor.model.lengths(batch).tolist() == [(frames + 1) // 2]


@pytest.mark.parametrize(
    ("writer", "search", "message"),
    [
        ("ctc", {"beam": 0}, "beam must be at least 1"),
        ("ctc", {"ctc_weight": 1.5}, "ctc_weight must be from 0 to 1; got 1.5"),
        ("bahdanau", {"ctc_weight": 0.5}, "has no effect on a model without CTC"),
        ("bahdanau", {"timestamps": "ctc"}, "the model has no ctc to take times"),
        ("ctc", {"timestamps": "attention"}, "the model has no attention to take times"),
        ("ctc", {"timestamps": "viterbi"}, "unknown timestamps 'viterbi'"),
    ],
)
def test_options_without_effect_are_refused(
    writer: str, search: dict[str, Any], message: str
) -> None:
    predictor = untrained(writer)
    with pytest.raises(OptionError, match=message):
        list(predictor.predict(tones(rows=1).inputs, **search))


def test_a_model_without_attention_or_ctc_has_no_times() -> None:
    predictor = untrained("fixed", ctc={"weight": 0.0})
    with pytest.raises(OptionError, match="no CTC or attention to take times"):
        list(predictor.predict(tones(rows=1).inputs, timestamps="auto"))


def test_a_decoder_that_would_not_be_trained_is_refused() -> None:
    with pytest.raises(ValueError, match="so that the decoder would not be trained"):
        TranscribeConfig.model_validate({"ctc": {"weight": 1.0}, "decoder": GRU})


@pytest.mark.parametrize("key", ["beam", "max_length_ratio", "batch_tokens", "chunk"])
def test_settings_that_decide_time_or_memory_have_the_limits_of_translation(key: str) -> None:
    limits = [
        task.model_json_schema()["$defs"][name]["properties"][key]["maximum"]
        for task, name in (
            (TranscribeConfig, "TranscriptDecodingConfig"),
            (TranslationConfig, "ShortlistedDecodingConfig"),
        )
    ]
    assert limits[0] == limits[1]
    with pytest.raises(ValueError, match=f"decoding.{key}\n.*less than or equal to"):
        TranscribeConfig.model_validate({"decoding": {key: limits[0] + 1}})


def test_recordings_whose_ends_are_cut_off_are_refused() -> None:
    with pytest.raises(ValueError, match="augment.crop is 0.1, but a recording whose ends"):
        TranscribeConfig.model_validate({"augment": {"crop": 0.1}})


def test_a_hypothesis_is_at_most_as_long_as_the_bound() -> None:
    predictor = untrained("bahdanau", decoding={"max_length_ratio": 0.1})
    [clip] = tones(rows=1).inputs
    positions = len(predictor.input.positions(clip))
    [transcript] = predictor.predict([clip], beam=2, nbest=2)
    assert all(len(each.tokens) <= int(0.1 * positions) + 10 for each in transcript)


def test_a_run_is_loaded_as_it_was(run: Path) -> None:
    predictor, data = TASK.load(run), tones("test", 4)
    again = TASK.load(run)
    one, other = ([each.text for each in p.predict(data.inputs)] for p in (predictor, again))
    assert one == other
    scores = predictor.evaluate(data)
    assert scores.words.length == sum(len(answer.split()) for answer in data.answers)
    assert scores.wer == pytest.approx(scores.words.errors / scores.words.length)
    statistics = predictor.answer.statistics(list(predictor.predict(data.inputs)), data)
    assert predictor.answer.value(statistics.sum(axis=0)) == pytest.approx(scores.wer)
    assert np.isfinite(statistics).all()


@pytest.mark.long
def test_tones_are_learned(tmp_path: Path) -> None:
    sections: dict[str, Any] = {
        "features": {"bands": 20}, "inputs": {"width": 32}, "encoder": {"kind": "gru", "hidden": 32, "layers": 1},
        "augment": {"time_masks": 0, "band_masks": 0},
        "training": {"epochs": 20, "threads": 1, "batch_tokens": 1000},
    }  # fmt: skip
    decoder = {"kind": "gru", "embedding": 16, "hidden": 32, "dropout": 0.1}
    for writer, changes in (("ctc", {}), ("luong", {"decoder": decoder})):
        folder = tmp_path / writer
        config = config_of(writer, **sections, **changes)
        for _ in train_model(TASK, config, tones(rows=400), tones("valid", 100), folder):
            pass
        assert TASK.load(folder).evaluate(tones("test", 200)).wer < 0.1
