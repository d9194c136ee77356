"""Gates: recomputed from the weights as the layers have them, of every recurrent encoder and decoder."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import heedful
from heedful.errors import HeedfulError, OptionError
from heedful.explore.explanation import Explanation
from heedful.explore.gates.cells import CellGates, cell_gates
from heedful.explore.gates.draw import KEPT, OPENNESS, layer_gates
from heedful.explore.gates.explained import with_gates
from heedful.explore.gates.record import GateRecorder, recording_gates
from heedful.models.encoders.recurrent import RecurrentEncoderConfig, RecurrentStates
from heedful.nn.recurrent import RecurrentEncoder
from tests.cli.conftest import run_command
from tests.explore.browser import BROWSER, browsing, saved_files
from tests.explore.pages import Page
from tests.transcribe.conftest import tones, untrained

TEXTS = [{"text": "a good film", "label": "yes"}, {"text": "a bad film", "label": "no"}] * 4
PAIRS = [{"source": "ab c d", "target": "d c ab"}, {"source": "c d", "target": "d c"}] * 4


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_gates_are_those_of_the_equations(cell: str) -> None:
    layer: Any = {"lstm": nn.LSTM, "gru": nn.GRU}[cell](3, 4, batch_first=True).double()
    inputs = torch.randn(5, 3, dtype=torch.float64)
    start = (torch.zeros(4),) * (2 if cell == "lstm" else 1)
    found = cell_gates(cell, inputs, start, layer.all_weights[0])
    weight, recurrent, bias, other = (each.detach() for each in layer.all_weights[0])
    hidden = torch.zeros(4, dtype=torch.float64)
    for step, each in enumerate(inputs):
        total = (weight @ each + bias + recurrent @ hidden + other).sigmoid()
        names = ("input", "forget") if cell == "lstm" else ("reset", "update")
        parts = dict(zip(names, total.view(-1, 4), strict=False))
        if cell == "lstm":
            parts["output"] = total.view(4, 4)[3]
        assert set(parts) == set(found.gates)
        for name, gate in parts.items():
            np.testing.assert_allclose(found.gates[name][step], gate, atol=1e-12)
        hidden = torch.from_numpy(found.states[step].copy())
    np.testing.assert_allclose(found.states, layer(inputs[None])[0][0].detach(), atol=1e-12)


def test_what_is_kept_is_the_product_of_the_gates_between() -> None:
    forget = np.array([[0.5, 1.0], [0.25, 0.5], [0.5, 0.1]])
    found = CellGates("lstm", {"forget": forget}, forget, reverse=False)
    wanted = [[1, 0, 0], [(0.25 + 0.5) / 2, 1, 0], [(0.125 + 0.05) / 2, (0.5 + 0.1) / 2, 1]]
    np.testing.assert_allclose(found.kept(), wanted)
    np.testing.assert_allclose(found.kept(0)[2], [0.125, 0.5, 1])
    back = CellGates("lstm", {"forget": forget[::-1]}, forget, reverse=True)
    np.testing.assert_allclose(back.kept(), np.array(wanted)[::-1, ::-1])


def test_half_lives_are_those_of_a_gate_that_never_moves() -> None:
    forget = np.tile([0.5, 0.5**0.25], (6, 1))
    found = CellGates("lstm", {"forget": forget}, forget, reverse=False)
    np.testing.assert_allclose(found.half_lives(), [1, 4])


@pytest.mark.parametrize("kind", ["lstm", "gru"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_stacked_encoders_are_recorded_layer_by_layer(kind: Any, bidirectional: bool) -> None:
    config = RecurrentEncoderConfig(kind=kind, hidden=4, layers=2, bidirectional=bidirectional)
    encoder = RecurrentStates(config, 3).eval()
    inputs, lengths = torch.randn(1, 6, 3), torch.tensor([4])
    with recording_gates(encoder) as recorder, torch.no_grad():
        states = encoder(inputs, lengths)
    directions = [False, True] if bidirectional else [False]
    assert [(each.layer, each.gates.reverse) for each in recorder.records] == [
        (layer, reverse) for layer in (0, 1) for reverse in directions
    ]
    last = np.concatenate([each.gates.states for each in recorder.records if each.layer == 1], -1)
    np.testing.assert_allclose(last, states.values[0, :4], atol=1e-6)
    assert all(each.difference < 1e-6 for each in recorder.records)


def test_other_states_than_the_layers_are_refused() -> None:
    layers = nn.GRU(2, 3, batch_first=True)
    wrong = torch.full((4, 3), 0.5)
    with pytest.raises(HeedfulError, match=r"states that differ by 0\.\d+ from the layer's own"):
        GateRecorder().add_layers(
            "path", "encoder", layers, torch.zeros(4, 2), (torch.zeros(1, 3),), wrong
        )


def test_an_rnn_has_no_gates() -> None:
    encoder = RecurrentEncoder("rnn", 2, 3).eval()
    with recording_gates(encoder) as recorder, torch.no_grad():
        encoder(torch.zeros(1, 3, 2), torch.tensor([3]))
    assert recorder.records == []
    with pytest.raises(OptionError, match="no gates to show: only LSTM and GRU"):
        layer_gates(recorder.records, {})


def trained(folder: Path, task: str, rows: Any, **settings: Any) -> Any:
    return heedful.train(
        task, train=rows, valid=rows, out=folder / "run", training={"epochs": 1}, **settings
    )


DECODERS = [
    {"kind": kind, "attention": attention, "order": order, "embedding": 6, "hidden": 5, "decoder_layers": layers}
    for kind in ("lstm", "gru")
    for attention, order, layers in (
        ("additive", "bahdanau", 1), ("dot", "bahdanau", 2), ("dot", "luong", 2), ("none", "luong", 1),
    )
]  # fmt: skip


@pytest.mark.parametrize(
    "model", DECODERS, ids=lambda m: f"{m['kind']}-{m['attention']}-{m['order']}"
)
def test_every_recurrent_decoder_is_recorded(model: dict[str, Any], tmp_path: Path) -> None:
    run = trained(tmp_path, "translate", PAIRS, model=model, vocabulary={"size": 20})
    plain = run.explain("ab c d", reference="d c ab")
    found = run.explain("ab c d", reference="d c ab", gates=True)
    assert found.records == plain.records
    by_kind = {(record.kind, record.layer): record for record in found.gate_records}
    decoder = by_kind["decoder gates →", model["decoder_layers"] - 1]
    assert decoder.key_tokens[0] == "<begin>"
    assert by_kind["encoder gates ←", 0].key_tokens[-1] == "<end>"
    names = ("input", "forget", "output") if model["kind"] == "lstm" else ("reset", "update")
    assert decoder.query_tokens[: len(names)] == names
    # Nothing of the recording stays behind.
    again = run.explain("ab c d", reference="d c ab")
    assert again.records == plain.records


@pytest.mark.parametrize("writer", ["ctc", "bahdanau", "luong", "fixed"])
def test_gates_of_recognizers_of_speech(writer: str) -> None:
    predictor = untrained(writer)
    clip = tones().inputs[0]
    plain = Explanation("", clip, None, "low high", [], "")
    found = with_gates(predictor, plain).gates
    assert [each.label for each in found][:2] == ["encoder, layer 1 →", "encoder, layer 1 ←"]
    assert found[0].labels == tuple(predictor.input.positions(clip))
    decoders = [each for each in found if each.record.part == "decoder"]
    assert len(decoders) == (writer != "ctc")
    assert all(each.labels[0] == "<begin>" for each in decoders)


def test_one_unit_is_shown_beside_the_mean(tmp_path: Path) -> None:
    run = trained(
        tmp_path, "classify", TEXTS, encoder={"kind": "gru", "hidden": 4, "layers": 1}
    )  # fmt: skip
    found = run.explain("a good film", gates=True, unit=1)
    gates, kept = found.gate_records[:2]
    assert (gates.measure, kept.measure) == (OPENNESS, KEPT)
    assert gates.query_tokens == ("reset", "update", "reset[2]", "update[2]")
    assert gates.key_tokens == kept.query_tokens == ("a", "good", "film")
    assert "states differ" in gates.note
    np.testing.assert_allclose(np.diagonal(kept.weights[0]), 1)
    assert not kept.allowed[0][0, 1:].any()
    with pytest.raises(OptionError, match="has no unit 5; its units are 1 to 4"):
        run.explain("a good film", gates=True, unit=4)


def test_a_character_encoder_is_no_part(tmp_path: Path) -> None:
    rows = [{"tokens": ["a", "dog"], "tags": ["D", "N"]}] * 8
    small = {"kind": "lstm", "hidden": 4, "layers": 1, "bidirectional": False}
    run = trained(tmp_path, "tag", rows, encoder=small, inputs={"characters": "lstm"})
    found = run.explain(["a", "dog"], gates=True)
    assert [each.label for each in found.gates] == ["encoder, layer 1 →"]


def test_the_command_shows_gates_and_draws_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    trained(tmp_path, "classify", TEXTS, encoder={"kind": "lstm", "hidden": 4, "layers": 1})
    ran = run_command("explain", "run", "a good film", "--gates", "--unit", "2")
    assert ran.status == 0, ran.stderr
    assert "forget[2]" in ran.stdout
    assert "encoder memory ←, layer 1" in ran.stdout
    ran = run_command("explain", "run", "a good film", "--gates", "--out", "gates.svg")
    assert Path("gates.svg").read_text(encoding="utf-8").count("<svg") == 1
    ran = run_command("explain", "run", "a good film", "--gates", "--out", "gates.html")
    data = Page(Path("gates.html").read_text(encoding="utf-8")).data()
    assert [each["label"] for each in data["gates"]] == ["encoder, layer 1 →", "encoder, layer 1 ←"]
    assert data["gates"][0]["names"][data["gates"][0]["keeping"]] == "forget"
    assert data["records"][data["first"]]["measure"] == "attention weights"
    ran = run_command("explain", "run", "a good film", "--gates", "--json")
    values = json.loads(ran.stdout.splitlines()[-1])
    assert values["texts"][0]["records"][0]["measure"] == OPENNESS
    ran = run_command("explain", "run", "a good film", "--unit", "2")
    assert (ran.status, "--unit goes with --gates" in ran.stderr) == (2, True)
    ran = run_command("explain", "run", "a good film", "--gates", "--unit", "9")
    assert "its units are 1 to 4" in ran.stderr


@pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")
def test_the_page_shows_the_gates_of_a_unit(tmp_path: Path) -> None:
    pytest.importorskip("playwright", reason="playwright is not installed")
    small = {"kind": "lstm", "hidden": 4, "layers": 1}
    model = trained(tmp_path, "classify", TEXTS, encoder=small)
    found = model.explain("a good film", gates=True, unit=2)
    back = found.gates[1].record.gates
    with browsing(found.html(), tmp_path) as (page, failures):
        menus = page.locator(".gates select")
        menus.nth(0).select_option(label="encoder, layer 1 ←")
        menus.nth(1).select_option(index=3)
        page.wait_for_function(
            "document.querySelector('.gates caption').textContent.includes('unit 3:')"
        )
        tables = page.locator(".gates table")
        shown = tables.nth(0).locator("tbody td").all_text_contents()
        wanted = np.concatenate([values[:, 2] for values in back.gates.values()])
        assert shown == [f"{value:.2f}" for value in wanted]
        # Read backwards: the first token keeps of the last what is left over.
        cells = tables.nth(1).locator("tbody td").all_text_contents()
        kept = back.kept(2)
        lines = [f"{kept[at, given]:.2f}" if given >= at else "" for at in range(3) for given in range(3)]  # fmt: skip
        assert cells == lines
        files = saved_files(page, ".gates")
        assert failures == []
    rows = list(csv.reader(io.StringIO(files["CSV"].decode("utf-8-sig"))))
    assert rows[0][0].startswith("Openness of each gate, unit 3")
    read = np.array([[float(cell) for cell in row[1:]] for row in rows[2:5]])
    np.testing.assert_allclose(read.ravel(), wanted, rtol=1e-5)
    assert b">forget<" in files["SVG"]
