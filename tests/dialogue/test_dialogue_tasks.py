"""Both tasks on dialogues from end to end, in Python and by the command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import heedful
from heedful.data.dialogue.turns import ASSISTANT, USER, Exchange, Turn
from heedful.errors import DataError, OptionError, RunError
from tests.cli.conftest import run_command

TASKS = ("reply", "rank-replies")


@pytest.mark.parametrize("task", TASKS)
def test_every_command(task: str, talks: Path, tmp_path: Path) -> None:
    run, test = str(talks / task), str(talks / "test.jsonl")
    ran = run_command("evaluate", run, "--test", test, "--json")
    assert ran.status == 0, ran.stderr
    found = json.loads(ran.stdout)
    assert found["replies"] == len((talks / "test.jsonl").read_text().split('"assistant"')) - 1
    (tmp_path / "new.txt").write_text("are you free now\nhi || hello || is she late\n", "utf-8")
    ran = run_command("predict", run, str(tmp_path / "new.txt"))
    assert ran.status == 0, ran.stderr
    assert len(ran.stdout.splitlines()) == 2
    ran = run_command(
        "explain", run, "is she late || No . || are you", "--out", str(tmp_path / "a.html")
    )
    assert ran.status == 0, ran.stderr
    assert "assistant:" in (tmp_path / "a.html").read_text(encoding="utf-8")
    ran = run_command("explain", run, "are you free", "--reference", "Yes .", "--json")
    assert ran.status == 0, ran.stderr
    [shown] = json.loads(ran.stdout)["texts"]
    assert shown["target"] == "Yes ."
    assert shown["messages"] == [{"role": "user", "content": "are you free"}]
    report = (talks / task / "report.html").read_text(encoding="utf-8")
    assert "heedful explain" in report
    assert "heedful chat" in report
    assert "Exchange(" not in report


@pytest.mark.parametrize("task", TASKS)
def test_messages_are_answered_in_their_own_format(task: str, talks: Path, tmp_path: Path) -> None:
    said = [{"role": "user", "content": "are you free"}, {"role": "assistant", "content": "Yes ."}]
    (tmp_path / "new.jsonl").write_text(
        json.dumps({"id": 3, "messages": said[:1]}) + "\n" + json.dumps({"messages": said}) + "\n"
    )
    ran = run_command("predict", str(talks / task), str(tmp_path / "new.jsonl"))
    assert ran.status == 0, ran.stderr
    one, two = (json.loads(line) for line in ran.stdout.splitlines())
    assert one["id"] == 3
    # The reply at the end is said anew, so that both ask the same.
    assert one["predicted"] == two["predicted"]


@pytest.mark.parametrize("task", TASKS)
def test_histories_in_python(task: str, talks: Path) -> None:
    model = heedful.load(talks / task)
    turns = (Turn(USER, "is she late"), Turn(ASSISTANT, "No ."), Turn(USER, "are you"))
    given = [
        "is she late || No . || are you",
        [turn.text for turn in turns],
        {"messages": [{"role": turn.speaker, "content": turn.text} for turn in turns]},
        Exchange(turns, "whatever it is"),
    ]
    found = list(model.predict(given[:3]))
    assert len({each.text for each in found}) == 1
    assert model.predict([{"prompt": "are you"}])[0].text == model.predict(["are you"])[0].text
    with pytest.raises(DataError, match="input 1 is 3"):
        model.predict([3])
    with pytest.raises(DataError, match="expected messages, or a prompt"):
        model.predict([{"text": "are you"}])


def test_the_reply_of_an_exchange_is_not_read_by_the_generator(talks: Path) -> None:
    model = heedful.load(talks / "reply")
    history = (Turn(USER, "are you free now"),)
    found = model.predict(
        [Exchange(history, "Yes ."), Exchange(history, "No , not now ."), Exchange(history)]
    )
    assert len({each.candidates for each in found}) == 1
    losses = [getattr(each, "loss", None) for each in found]
    assert losses[0] != losses[1]
    assert losses[2] is None


def test_older_turns_are_read_up_to_the_limit(talks: Path) -> None:
    model = heedful.load(talks / "rank-replies")
    newest = (Turn(ASSISTANT, "No ."), Turn(USER, "are you free now"))
    eight = tuple(Turn((USER, ASSISTANT)[n % 2], "is she late") for n in range(8))
    one, two, three = (
        found.history.tolist()
        for found in model.predict(
            [Exchange((*eight[2:], *newest)), Exchange((*eight, *newest)), Exchange(newest)]
        )
    )
    assert one == two
    assert one != three


def test_rows_of_python_are_learned_from(tmp_path: Path) -> None:
    rows = [{"question": f"are you {n}", "answer": f"Yes , {n} ."} for n in range(30)]
    tiny = {"epochs": 1, "threads": 1, "keep_freed_memory": False}
    model = heedful.train(
        "reply", train=rows, out=tmp_path / "run", model={"width": 8, "heads": 2, "feed_forward": 8},
        training=tiny, vocabulary={"kind": "word", "min_frequency": 1},
    )  # fmt: skip
    assert model.evaluate(rows[:4]).replies == 4
    with pytest.raises(DataError, match="example 2 of test: the keys are text; expected messages"):
        model.evaluate([rows[0], {"text": "hi"}])


def test_a_model_without_context_knows_no_history(talks: Path, tmp_path: Path) -> None:
    model = heedful.train(
        "reply", train=str(talks / "train.jsonl"), out=tmp_path / "run", max_turns=0,
        model={"kind": "gru", "embedding": 8, "hidden": 8},
        training={"epochs": 1, "threads": 1, "keep_freed_memory": False},
    )  # fmt: skip
    one, other = model.predict(["are you free", "is she late now"])
    assert one.candidates == other.candidates


def test_what_is_refused(talks: Path, tmp_path: Path) -> None:
    train = str(talks / "train.jsonl")
    with pytest.raises(OptionError, match="share_embeddings has no use in replying"):
        heedful.train("reply", train=train, out=tmp_path / "a", model={"share_embeddings": True})
    same = [{"prompt": f"hi {n}", "reply": "hello"} for n in range(30)]
    with pytest.raises(DataError, match="all replies are the same"):
        heedful.train("rank-replies", train=same, out=tmp_path / "b")
    few = [{"prompt": f"hi {n}", "reply": f"hello {n}"} for n in range(30)]
    with pytest.raises(
        OptionError, match="3 distinct replies, too few to choose among 20; give more with --valid"
    ):
        heedful.train("rank-replies", train=few, out=tmp_path / "c")
    ran = run_command("predict", str(talks / "reply"), train, "--probabilities")
    assert ran.status == 2
    ran = run_command("train", "reply", "--train", "builtin:answer", "--out", str(tmp_path / "d"))
    assert "did you mean 'answers'" in ran.stderr
    (tmp_path / "new.tsv").write_text("text\nhi\n")
    ran = run_command("predict", str(talks / "reply"), str(tmp_path / "new.tsv"))
    assert "expected messages (JSON lines) or a column of prompts" in ran.stderr


@pytest.mark.parametrize(
    ("task", "name", "content"),
    [
        ("rank-replies", "replies.json", '{"replies": 3}'),
        ("rank-replies", "replies.json", '{"replies": [], "words": {}, "texts": 2}'),
        ("rank-replies", "replies.json", r'{"replies": ["\ud800"], "words": {}, "texts": 2}'),
        ("rank-replies", "replies.json", '{"replies": ["a"], "words": {"a": -1}, "texts": 2}'),
        ("reply", "ngrams.safetensors", "damaged"),
    ],
)
def test_a_damaged_run_is_refused(
    task: str, name: str, content: str, talks: Path, tmp_path: Path
) -> None:
    import shutil

    shutil.copytree(talks / task, tmp_path / "run")
    (tmp_path / "run" / name).write_text(content)
    with pytest.raises(RunError, match=name):
        heedful.load(tmp_path / "run")


def test_a_ranker_learns_and_its_replies_are_those_of_the_training(talks: Path) -> None:
    model = heedful.load(talks / "rank-replies")
    metrics = model.evaluate(str(talks / "test.jsonl"))
    assert metrics.hits_1 > 2 / 4  # of four candidates
    assert metrics.candidates == 4
    assert metrics.groups == 2
    [found] = model.predict(["are you free now"], nbest=3)
    bank = set(model.predictor.answer.bank)
    assert len(found.replies) == 3
    assert {text for text, _ in found.replies} <= bank
    scores = [score for _, score in found.replies]
    assert scores == sorted(scores, reverse=True)


def test_the_vectors_of_the_bank_are_those_of_the_weights(talks: Path) -> None:
    import torch

    predictor = heedful.load(talks / "rank-replies").predictor
    answer, model = predictor.answer, predictor.model
    with torch.no_grad():
        before = answer.bank_vectors(model)
        assert answer.bank_vectors(model) is before
        model.reply.head.output.weight.mul_(-1.5)
        assert not torch.allclose(answer.bank_vectors(model), before)
