"""Log-mel filter banks against kaldi-native-fbank, an independent implementation of Kaldi's."""

from __future__ import annotations

from typing import Any

import kaldi_native_fbank
import numpy as np
import pytest
import torch

from heedful.data.audio.fbank import WINDOWS, Framing, MelOptions, cut, fbank
from tests.audio.sounds import chirp, tone


def kaldi(samples: Any, framing: Framing, options: MelOptions) -> Any:
    """Return the features that kaldi-native-fbank computes."""
    given = kaldi_native_fbank.FbankOptions()
    frame = given.frame_opts
    frame.samp_freq, frame.dither, frame.snip_edges = framing.rate, 0, framing.snip_edges
    frame.frame_length_ms, frame.frame_shift_ms = framing.window, framing.shift
    frame.window_type = "hanning" if options.window == "hann" else options.window
    frame.preemph_coeff, frame.remove_dc_offset = options.pre_emphasis, options.remove_mean
    mel = given.mel_opts
    mel.num_bins, mel.low_freq, mel.high_freq = options.bands, options.low, options.high
    given.use_energy, given.energy_floor = False, 0
    bank = kaldi_native_fbank.OnlineFbank(given)
    bank.accept_waveform(framing.rate, (samples * 32768).tolist())
    bank.input_finished()
    frames = [bank.get_frame(index) for index in range(bank.num_frames_ready)]
    return np.stack(frames) if frames else np.zeros((0, options.bands), np.float32)


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("snip_edges", [True, False])
@pytest.mark.parametrize(("rate", "bands"), [(8000, 40), (16_000, 80), (22_050, 23)])
def test_features_equal_kaldis(rate: int, bands: int, snip_edges: bool, window: str) -> None:
    rng = np.random.default_rng(bands)
    framing = Framing(rate=rate, snip_edges=snip_edges)
    options = MelOptions(bands=bands, window=window)
    for samples in (
        rng.normal(0, 0.1, rate // 3 + int(rng.integers(300))).astype(np.float32),
        # The noise is above the rounding of float32, which differs between two Fourier transforms.
        chirp(100, rate / 2.2, rate=rate)
        + rng.normal(0, 0.01, round(0.3 * rate)).astype(np.float32),
    ):
        expected = kaldi(samples, framing, options)
        features = fbank(torch.from_numpy(samples), framing, options).numpy()
        assert features.shape == expected.shape
        assert len(features) == framing.frames(len(samples))
        np.testing.assert_allclose(features, expected, atol=2e-3)
        assert np.abs(features - expected).mean() < 2e-5


@pytest.mark.parametrize(
    "changed",
    [
        {"pre_emphasis": 0.0},
        {"remove_mean": False},
        {"low": 200.0},
        {"high": 3000.0},
        {"high": -500.0},
    ],
)
def test_each_option_means_what_it_means_in_kaldi(changed: dict[str, Any]) -> None:
    samples = np.random.default_rng(0).normal(0.01, 0.1, 3000).astype(np.float32)
    framing, options = Framing(rate=8000), MelOptions(bands=30, **changed)
    features = fbank(torch.from_numpy(samples), framing, options).numpy()
    np.testing.assert_allclose(features, kaldi(samples, framing, options), atol=1e-3)
    usual = fbank(torch.from_numpy(samples), framing, MelOptions(bands=30)).numpy()
    assert np.abs(features - usual).max() > 0.01


@pytest.mark.parametrize("snip_edges", [True, False])
@pytest.mark.parametrize(("window", "shift"), [(25, 10), (20, 20), (32, 7.5)])
def test_frames_of_short_recordings(window: float, shift: float, snip_edges: bool) -> None:
    framing = Framing(rate=8000, window=window, shift=shift, snip_edges=snip_edges)
    options = MelOptions(bands=20)
    for samples in [*range(1, 400, 13), framing.window_samples, framing.window_samples - 1]:
        wave = tone(300)[:samples]
        features = fbank(torch.from_numpy(wave), framing, options)
        assert len(features) == framing.frames(samples) == len(kaldi(wave, framing, options))
    for frames in (1, 2, 17):
        least = framing.samples(frames)
        assert framing.frames(least) == frames
        assert framing.frames(least - 1) == frames - 1


def test_edges_are_reflected() -> None:
    framing = Framing(rate=1000, window=6, shift=4, snip_edges=False)
    frames = cut(torch.arange(5.0), framing)
    assert frames.tolist() == [[0, 0, 1, 2, 3, 4]]


def test_long_recordings_are_computed_in_blocks() -> None:
    framing, options = Framing(rate=1000, window=16, shift=2), MelOptions(bands=4)
    samples = torch.from_numpy(np.random.default_rng(0).normal(0, 0.1, 25_000)).float()
    whole = fbank(samples, framing, options)
    assert len(whole) == framing.frames(25_000) > 10_000
    torch.testing.assert_close(
        whole[11_000:11_005], fbank(samples[22_000:22_024], framing, options)
    )


def test_silence_is_finite() -> None:
    assert fbank(torch.zeros(4000), Framing(rate=8000)).isfinite().all()
