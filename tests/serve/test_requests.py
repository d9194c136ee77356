"""What a server answers is what the model predicts, whatever the task and the interface."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from heedful.data.builtin import load_builtin_dialogues
from heedful.data.dialogue.replies import read_replies
from heedful.serve.limits import Limits
from heedful.serve.options import OPTIONS
from heedful.tasks.predictor import Predictor
from heedful.tasks.table import TASKS
from tests.serve.conftest import Running, run_server

INPUTS: dict[str, list[Any]] = {
    "de-en": ["ein Hund", "ein Mann rennt", "ein"],
    "mood": ["a good film", "bad", "a very new film that is good"],
    "stars": ["a good film", "bad"],
    "words": ["I saw a saw", ["I", "saw"]],
}


def predicted(predictor: Predictor, inputs: list[Any], **search: Any) -> list[dict[str, Any]]:
    reader, data = predictor.task.reader, predictor.config.data
    examples = [reader.to_input(each, data, "input") for each in inputs]
    return [
        {**reader.to_json(example), **predictor.answer.to_json(found)}
        for example, found in zip(examples, predictor.predict(examples, **search), strict=True)
    ]


def close(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: close(each) for key, each in value.items()}
    if isinstance(value, list):
        return [close(each) for each in value]
    return pytest.approx(value, rel=1e-5) if isinstance(value, float) else value


@pytest.mark.parametrize("name", INPUTS)
def test_answers_are_the_predictions(
    server: Running, predictors: dict[str, Predictor], name: str
) -> None:
    reply = server.predict(name, INPUTS[name])
    assert reply.status == 200, reply.body
    assert reply.values["model"] == name
    assert reply.values["task"] == predictors[name].task.name
    assert reply.values["predictions"] == close(predicted(predictors[name], INPUTS[name]))


def test_an_empty_list_and_an_empty_text_are_answered(server: Running) -> None:
    assert server.predict("mood", []).values["predictions"] == []
    assert server.predict("mood", [""]).values["predictions"][0]["labels"] == []


def test_nbest_alignments_and_attention(server: Running, predictors: dict[str, Predictor]) -> None:
    options = {"beam": 3, "nbest": 2}
    reply = server.predict("de-en", INPUTS["de-en"], alignments=True, attention=True, **options)
    wanted = predicted(predictors["de-en"], INPUTS["de-en"], **options)
    for found, expected in zip(reply.values["predictions"], wanted, strict=True):
        assert found["translations"] == close(expected["translations"])
        assert len(found["translations"]) == 2
        words = found["alignment"].split()
        assert len(words) == len(found["target_words"])
        if found["translations"][0]["text"]:
            assert found["attention"]["records"][0]["weights"]
        else:
            assert found["attention"] is None
    assert any(each["attention"] for each in reply.values["predictions"])


def test_probabilities_and_the_most_probable_labels(server: Running) -> None:
    [found] = server.predict("mood", ["a film"], probabilities=True, top_k=2).values["predictions"]
    assert sum(found["all_probabilities"].values()) == pytest.approx(1)
    shares = sorted(found["all_probabilities"].values(), reverse=True)
    assert [each["probability"] for each in found["top"]] == shares[:2]


def test_many_clients_at_once_get_each_their_own_answers(server: Running) -> None:
    """Nothing is lost or swapped: each text comes back with its own answer."""
    texts = [f"film {n} {'good ' * (n % 7)}" for n in range(48)]
    alone = {text: server.predict("mood", [text]).values["predictions"][0] for text in texts}
    wrong: list[Any] = []

    def client(mine: list[str]) -> None:
        for text in mine:
            [found] = server.predict("mood", [text]).values["predictions"]
            if found != close(alone[text]):
                wrong.append((text, found))

    threads = [threading.Thread(target=client, args=(texts[n::8],)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    sums = server.service.metrics.registry.get_sample_value
    assert sums("heedful_inputs_total", {"model": "mood"}) >= 96


WRONG = [
    ({"inputs": "a film"}, 400, "inputs is 'a film'; expected a list"),
    ({"input": ["a"]}, 400, "inputs is missing"),
    ({"inputs": ["a", 3]}, 400, "input 2 is 3"),
    ({"inputs": ["a"], "tresh": 1}, 400, "did you mean 'threshold'"),
    ({"inputs": ["a"], "threshold": "0.5"}, 400, "expected a number"),
    ({"inputs": ["a"], "threshold": True}, 400, "expected a number"),
    ({"inputs": ["a"], "threshold": 7}, 400, "threshold"),
    ({"inputs": ["a"], "top_k": 1.5}, 400, "expected an integer"),
    ({"inputs": ["a"], "beam": 3}, 400, "unknown option 'beam'"),
    ({"inputs": ["a"] * 257}, 413, "more than the 256"),
    ({"inputs": ["a"] * 9, "attention": True}, 400, "at most 8 inputs"),
    ({"inputs": ["\ud800"]}, 400, "surrogate"),
    ({"inputs": [{"base64": "###"}]}, 400, "base64"),
    ({"inputs": [{"base64": "aGk="}]}, 400, "takes a text"),
    ({"inputs": [{"words": "a"}]}, 400, "there is no column 'text'"),
]


@pytest.mark.parametrize(("values", "status", "message"), WRONG)
def test_wrong_requests_are_told_what_is_wrong(
    server: Running, values: Any, status: int, message: str
) -> None:
    reply = server.ask("POST", "/models/mood/predict", values)
    assert reply.status == status
    assert message in reply.values["error"]


def test_one_bad_input_fails_its_own_request_alone(server: Running) -> None:
    found: dict[str, int] = {}

    def client(text: Any) -> None:
        found[str(text)] = server.predict("mood", [text]).status

    threads = [
        threading.Thread(target=client, args=(text,)) for text in ("good", 3, "bad", "\ud800")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {"good": 200, "3": 400, "bad": 200, "\ud800": 400}


def test_a_large_beam_is_refused(server: Running) -> None:
    reply = server.predict("de-en", ["ein"], beam=17)
    assert (reply.status, reply.values["error"]) == (
        400,
        "beam is 17; this server takes at most 16.",
    )


def test_models_and_options_are_listed(server: Running, predictors: dict[str, Predictor]) -> None:
    found = {each["name"]: each for each in server.ask("GET", "/models").values["models"]}
    assert found.keys() == predictors.keys()
    assert set(found["mood"]["labels"]) == {"good", "bad", "new"}
    assert {"beam", "nbest", "alignments", "attention"} <= set(found["de-en"]["options"])
    assert all(set(each["options"]) <= set(OPTIONS) for each in found.values())


def test_a_model_has_to_be_named(server: Running) -> None:
    assert server.ask("POST", "/predict", {"inputs": ["a"]}).status == 404
    reply = server.ask("POST", "/models/mod/predict", {"inputs": ["a"]})
    assert "did you mean 'mood'" in reply.values["error"]


def test_the_only_model_need_not_be_named(serve_with: Any) -> None:
    reply = serve_with().ask("POST", "/predict", {"inputs": ["a"]})
    assert reply.values["model"] == "mood"


def test_health_readiness_and_metrics(server: Running) -> None:
    assert server.ask("GET", "/health").values == {"status": "ok"}
    assert server.ask("GET", "/ready").values == {"ready": True}
    server.predict("mood", ["a"])
    text = server.ask("GET", "/metrics").body.decode()
    assert 'heedful_requests_total{endpoint="predict",status="200"}' in text
    assert 'heedful_queued_inputs{model="mood"} 0.0' in text


def test_the_description_names_every_model_and_follows_its_references(server: Running) -> None:
    described = server.ask("GET", "/openapi.json").values
    assert described["openapi"] == "3.1.0"
    assert "/models/mood/predict" in described["paths"]
    schema = described["paths"]["/models/mood/predict"]["post"]["requestBody"]["content"]
    assert "threshold" in schema["application/json"]["schema"]["properties"]

    def check(value: Any) -> None:
        if isinstance(value, dict):
            if reference := value.get("$ref"):
                place = described
                for key in reference.removeprefix("#/").split("/"):
                    place = place[key]
            for each in value.values():
                check(each)
        elif isinstance(value, list):
            for each in value:
                check(each)

    check(described)
    for path, operations in described["paths"].items():
        for method in operations:
            asked = path.replace("{name}", "mood")
            assert server.ask(method.upper(), asked).status not in (404, 405), path


# LibreTranslate


def test_languages_are_told_by_the_training_files(server: Running) -> None:
    assert server.ask("GET", "/languages").values == [
        {"code": "de", "name": "German", "targets": ["en"]}
    ]


@pytest.mark.parametrize("source", ["de", "auto"])
def test_libretranslate_translates_texts_and_lists(
    server: Running, predictors: dict[str, Predictor], source: str
) -> None:
    [one, two, _] = [
        each["translations"][0]["text"] for each in predicted(predictors["de-en"], INPUTS["de-en"])
    ]
    asked = {"q": "ein Hund", "source": source, "target": "en"}
    assert server.ask("POST", "/translate", asked).values["translatedText"] == one
    asked = {"q": ["ein Hund\nein Mann rennt", ""], "source": source, "target": "en"}
    assert server.ask("POST", "/translate", asked).values["translatedText"] == [f"{one}\n{two}", ""]
    form = f"q=ein+Hund&source={source}&target=en".encode()
    headers = {"content-type": "application/x-www-form-urlencoded"}
    assert server.ask("POST", "/translate", form, headers).values["translatedText"] == one


def test_libretranslate_gives_alternatives(server: Running) -> None:
    asked = {"q": "ein Hund", "source": "de", "target": "en", "alternatives": 2}
    values = server.ask("POST", "/translate", asked).values
    assert isinstance(values["translatedText"], str)
    assert len(values["alternatives"]) == 2


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"target": "fr"}, "this server translates de to en"),
        ({"source": "fr", "target": "en"}, "source is 'fr'"),
        ({"target": "en", "format": "html"}, "only 'text'"),
        ({"target": "en", "alternatives": 99}, "from 0 to 10"),
        ({"target": "en", "alternatives": "many"}, "from 0 to 10"),
        ({"target": "en", "q": 3}, "q holds 3"),
        ({"target": "en", "q": None}, "q holds None"),
    ],
)
def test_libretranslate_says_what_is_wrong(
    server: Running, values: dict[str, Any], message: str
) -> None:
    reply = server.ask("POST", "/translate", {"q": "ein", **values})
    assert reply.status == 400
    assert message in reply.values["error"]


# Open Inference Protocol


def tensor(data: list[Any], **changed: Any) -> dict[str, Any]:
    return {
        "inputs": [
            {"name": "input", "datatype": "BYTES", "shape": [len(data)], "data": data, **changed}
        ]
    }


@pytest.mark.parametrize("path", ["/v2/models/mood", "/v2/models/mood/versions/1"])
def test_the_inference_protocol(
    server: Running, predictors: dict[str, Predictor], path: str
) -> None:
    assert server.ask("GET", "/v2").values["name"] == "heedful"
    assert server.ask("GET", "/v2/health/live").values == {"live": True}
    assert server.ask("GET", "/v2/health/ready").values == {"ready": True}
    assert server.ask("GET", f"{path}/ready").values["ready"] is True
    described = server.ask("GET", path).values
    assert [each["name"] for each in described["outputs"]] == ["prediction", "json"]
    asked = {"id": "7", **tensor(INPUTS["mood"]), "parameters": {"top_k": 1}}
    values = server.ask("POST", f"{path}/infer", asked).values
    assert (values["id"], values["model_name"]) == ("7", "mood")
    prediction, rows = values["outputs"]
    assert prediction["shape"] == [3]
    wanted = [each["labels"][0] for each in predicted(predictors["mood"], INPUTS["mood"])]
    assert prediction["data"] == wanted
    assert '"top": [{"label"' in rows["data"][0]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "expected a list of one tensor"),
        ({"inputs": []}, "expected a list of one tensor"),
        (tensor(["a"], shape=[2]), "expected [1]"),
        (tensor(["a"], shape=[-1]), "a list of sizes"),
        (tensor(["a"], shape="x"), "a list of sizes"),
        (tensor(["a"], datatype="TEXT"), "expected one of BYTES"),
        (tensor(["a"], datatype="FP32"), "no numbers of the shape"),
        (tensor([[1], [1, 2]], datatype="FP32"), "no numbers of the shape"),
        (tensor([10**400], datatype="INT64"), "no numbers of the shape"),
        (tensor([1.5], datatype="FP32"), "input 1 is 1.5"),
        ({**tensor(["a"]), "parameters": 3}, "parameters"),
    ],
)
def test_the_inference_protocol_says_what_is_wrong(
    server: Running, values: Any, message: str
) -> None:
    reply = server.ask("POST", "/v2/models/mood/infer", values)
    assert reply.status == 400
    assert message in reply.values["error"]


def test_json_that_curl_calls_a_form_is_read(server: Running) -> None:
    kind = {"content-type": "application/x-www-form-urlencoded"}
    reply = server.ask("POST", "/models/mood/predict", b' {"inputs": ["a film"]}', kind)
    assert reply.status == 200
    assert len(reply.values["predictions"]) == 1


def test_a_model_of_replies_is_served_and_is_no_translator() -> None:
    task = TASKS["reply"]
    config = task.configuration.model_validate(
        {
            "data": {"train": ("builtin:answers",)},
            "model": {"kind": "gru", "embedding": 4, "hidden": 4},
        }
    )
    dialogues = load_builtin_dialogues("answers").valid
    predictor = task.learn(config, read_replies(dialogues, "answers", max_turns=4))
    with run_server({"talk": predictor}, Limits()) as server:
        assert server.predict("talk", ["are you free"]).status == 200
        assert server.ask("GET", "/languages").values == []
        reply = server.ask("POST", "/translate", {"q": "a", "source": "de", "target": "en"})
        assert reply.status == 404
        assert "no translator" in reply.values["error"]


def test_samples_of_a_translator_follow_their_seed(server: Running) -> None:
    def drawn(seed: int) -> Any:
        options = {"sample": True, "top_k": 5, "temperature": 2.0, "seed": seed}
        reply = server.predict("de-en", ["ein Hund rennt ein Mann"], **options)
        assert reply.status == 200, reply.body
        return reply.values["predictions"]

    assert drawn(1) == drawn(1)
    assert len({str(drawn(seed)) for seed in range(5)}) > 1
