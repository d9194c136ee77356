"""Images, recordings and series: by upload, in base64 and as numbers, but never by the name of a file of the server."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from heedful.serve.limits import Limits
from heedful.serve.uploads import Upload
from heedful.tasks.predictor import Predictor
from heedful.tasks.table import TASKS
from tests.audio.sounds import RATE, tone, write
from tests.images.pictures import SIDES, picture
from tests.serve.conftest import Reply, Running, run_server

IMAGES = [{"image": picture(side, n), "label": side} for side in SIDES for n in range(4)]
SOUNDS = [{"audio": tone(500 * n), "rate": RATE, "label": str(n)} for n in (1, 2, 3)] * 3
SERIES = [{"values": [n, n + 1.0, 2.0 * n], "label": str(n % 2)} for n in range(8)]


@pytest.fixture(scope="module")
def models() -> dict[str, Predictor]:
    found = {}
    for task, rows in (("images", IMAGES), ("audio", SOUNDS), ("series", SERIES)):
        torch.manual_seed(0)
        each = TASKS[f"classify-{task}"]
        given = {"encoder": {"kind": "transformer", "width": 8, "heads": 2}}
        data = {"data": {"rate": RATE}} if task == "audio" else {}
        config = each.configuration.model_validate({**given, **data})
        found[task] = each.learn(config, each.reader.from_rows(rows, config.data, "train"))
        found[task].model.eval()
    return found


@pytest.fixture(scope="module")
def server(models: dict[str, Predictor]) -> Iterator[Running]:
    with run_server(models, Limits()) as running:
        yield running


def form(*parts: tuple[str, bytes]) -> tuple[bytes, dict[str, str]]:
    """Return a form of parts, each the rest of its disposition and its content."""
    rows = [
        f"--boundary\r\ncontent-disposition: form-data; {name}\r\n\r\n".encode() + content + b"\r\n"
        for name, content in parts
    ]
    headers = {"content-type": "multipart/form-data; boundary=boundary"}
    return b"".join([*rows, b"--boundary--\r\n"]), headers


def upload(server: Running, model: str, *parts: tuple[str, bytes]) -> Reply:
    return server.ask("POST", f"/models/{model}/predict", *form(*parts))


def png(pixels: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def wav(folder: Path, samples: Any) -> bytes:
    return write(folder / "sound.wav", samples, subtype="FLOAT").read_bytes()


def wanted(predictor: Predictor, given: Any) -> Any:
    example = predictor.task.reader.to_input(given, predictor.config.data, "input")
    [found] = predictor.predict([example])
    return predictor.answer.to_json(found)["labels"]


def test_images_come_as_files_base64_and_numbers(
    server: Running, models: dict[str, Predictor]
) -> None:
    pixels = [picture(side, 9) for side in SIDES]
    expected = [wanted(models["images"], each) for each in pixels]
    parts = [('name="file"; filename="any.png"', png(each)) for each in pixels]
    found = upload(server, "images", *parts, ('name="probabilities"', b"true")).values[
        "predictions"
    ]
    assert [each["labels"] for each in found] == expected
    assert all(set(each["all_probabilities"]) == set(SIDES) for each in found)
    for inputs in (
        [{"base64": base64.b64encode(png(each)).decode(), "name": "x.png"} for each in pixels],
        [each.tolist() for each in pixels],
        [{"image": each.tolist()} for each in pixels],
    ):
        found = server.predict("images", inputs).values["predictions"]
        assert [each["labels"] for each in found] == expected
    data = [base64.b64encode(png(each)).decode() for each in pixels]
    tensor = {"name": "input", "datatype": "BYTES", "shape": [3], "data": data}
    values = server.ask("POST", "/v2/models/images/infer", {"inputs": [tensor]}).values
    assert values["outputs"][0]["data"] == [label for [label] in expected]
    numbers = {"datatype": "UINT8", "shape": [3, 8, 8], "data": np.stack(pixels).ravel().tolist()}
    values = server.ask("POST", "/v2/models/images/infer", {"inputs": [numbers]}).values
    assert values["outputs"][0]["data"] == [label for [label] in expected]


def test_recordings_come_as_files_and_numbers(
    server: Running, models: dict[str, Predictor], tmp_path: Path
) -> None:
    sound = tone(900)
    expected = wanted(models["audio"], {"audio": sound, "rate": RATE})
    reply = upload(server, "audio", ('name="file"; filename="a.wav"', wav(tmp_path, sound)))
    assert reply.values["predictions"][0]["labels"] == expected
    samples = sound.astype(float).tolist()
    found = server.predict("audio", [samples, {"audio": samples, "rate": RATE}])
    assert [each["labels"] for each in found.values["predictions"]] == [expected] * 2
    whole = server.predict("audio", [[1, 0, -1, 0] * 800]).values["predictions"]
    halves = server.predict("audio", [[1.0, 0.0, -1.0, 0.0] * 800]).values["predictions"]
    assert whole == halves
    assert "beyond 1" in server.predict("audio", [[300, -300] * 800]).values["error"]
    assert "too short for a frame" in server.predict("audio", [[0.1, 0.2, 0.3]]).values["error"]


def test_series_come_as_files_and_numbers(server: Running, models: dict[str, Predictor]) -> None:
    expected = wanted(models["series"], [3.0, 4.0, 6.0])
    file = io.BytesIO()
    np.save(file, np.array([[3.0], [4.0], [6.0]]))
    reply = upload(server, "series", ('name="file"; filename="s.npy"', file.getvalue()))
    assert reply.values["predictions"][0]["labels"] == expected, reply.body
    reply = server.predict("series", [[3, 4, 6], {"values": [3, 4, 6]}])
    assert [each["labels"] for each in reply.values["predictions"]] == [expected] * 2


def test_attention_on_files(server: Running, tmp_path: Path) -> None:
    parts = [
        ('name="file"; filename="secret-name.png"', png(picture("left", 1))),
        ('name="attention"', b"true"),
    ]
    reply = upload(server, "images", *parts)
    assert reply.values["predictions"][0]["attention"]["records"], reply.body
    sound = ('name="file"; filename="a.wav"', wav(tmp_path, tone(900)))
    reply = upload(server, "audio", sound, ('name="attention"', b"true"))
    assert reply.values["predictions"][0]["attention"]["records"], reply.body


@pytest.mark.parametrize("model", ["images", "audio", "series"])
@pytest.mark.parametrize(
    "given",
    [
        "/etc/passwd",
        __file__,
        {"image": __file__, "audio": __file__, "values": __file__},
        {"image": [__file__], "audio": {"array": __file__}, "values": [[__file__]]},
        [__file__],
    ],
)
def test_no_file_of_the_server_is_opened_by_name(server: Running, model: str, given: Any) -> None:
    reply = server.predict(model, [given])
    assert reply.status == 400
    assert "would name a file of the server" in reply.values["error"]


@pytest.mark.parametrize("model", ["images", "audio", "series"])
@pytest.mark.parametrize(
    "name",
    ["../../../etc/x.png", "/etc/x.wav", "..\\x.npy", "x.png\0.npy", "a" * 5000, "x.pkl", ""],
)
def test_bad_files_are_named_as_the_client_does(
    server: Running, tmp_path: Path, model: str, name: str
) -> None:
    content = b"no file of this kind \x00\xff" * 10
    encoded = base64.b64encode(content).decode()
    reply = server.predict(model, [{"base64": encoded, "name": name}])
    assert reply.status == 400, reply.body
    message = reply.values["error"]
    assert "heedful-" not in message
    assert "upload" not in message
    assert "/tmp" not in message
    assert str(tmp_path.parent.parent) not in message
    if 0 < len(name) < 100:
        assert any(part in message for part in ("x.png", "x.wav", "x.npy", "x.pkl", ".npy"))


def test_names_of_uploads_give_only_an_ending() -> None:
    names = {
        "a.PNG": ".png",
        "a.ts.gz": ".ts.gz",
        "../../x": "",
        "a.b/../c": "",
        "x.\u0660": "",
        "x.png\n": "",
        "": "",
    }
    assert {name: Upload(name, b"").suffix for name in names} == names


def test_pickles_are_not_loaded(server: Running) -> None:
    file = io.BytesIO()
    np.save(file, np.array([{"a": print}], dtype=object), allow_pickle=True)
    for model in ("images", "series"):
        reply = upload(server, model, ('name="file"; filename="a.npy"', file.getvalue()))
        assert reply.status == 400
        assert re.search("[Oo]bject", reply.values["error"])


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            form(('name="file"; filename="a.png"', b"x"), ('name="beam"', b"3"))[0],
            "unknown option 'beam'",
        ),
        (form(('name="colour"', b"3"))[0], "neither a file nor an option"),
        (form(('name="top_k"', b"many"))[0], "expected a integer"),
        (form(*[(f'name="x{n}"', b"3") for n in range(200)])[0], "the form cannot be read"),
        (b"no form", "the form cannot be read"),
        (b"--boundary\r\n\xff\xfe\r\n\r\n", "the form cannot be read"),
    ],
)
def test_wrong_forms_are_told_what_is_wrong(server: Running, body: bytes, message: str) -> None:
    reply = server.ask("POST", "/models/images/predict", body, form()[1])
    assert (reply.status, message in reply.values["error"]) == (400, True), reply.body


def test_nothing_of_an_upload_stays(
    server: Running, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for content in (png(picture("left", 1)), b"none"):
        upload(server, "images", ('name="file"; filename="a.png"', content))
    assert list(tmp_path.iterdir()) == []
