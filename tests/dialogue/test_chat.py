"""A chat: what goes to standard output, and what the commands in it do."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

import heedful
from heedful.cli import chat
from heedful.data.dialogue.turns import ASSISTANT, USER
from heedful.errors import DataError, OptionError
from heedful.tasks.conversation import Conversation, Drawing
from tests.cli.conftest import run_command

LINES = "are you free now\n\n/seed 5\nis she late\n/history\n/nonsense\n/reset\nare you free now\n"


@pytest.mark.parametrize("task", ["reply", "rank-replies"])
def test_a_line_is_answered_with_a_line(task: str, talks: Path) -> None:
    ran = run_command("chat", str(talks / task), "--temperature", "0", input=LINES)
    assert ran.status == 0, ran.stderr
    one, empty, _, again = ran.stdout.split("\n")[:-1]
    assert empty == ""
    assert one == again
    assert "user: is she late" in ran.stderr
    assert "unknown command '/nonsense'" in ran.stderr
    assert "The history is empty." in ran.stderr


def test_json_and_quit(talks: Path) -> None:
    text = "hi\n/quit\nhi\n"
    ran = run_command("chat", str(talks / "rank-replies"), "--json", input=text)
    [line] = ran.stdout.splitlines()
    assert set(json.loads(line)) == {"reply"}


@pytest.mark.parametrize("task", ["reply", "rank-replies"])
def test_the_whole_history_is_drawn(task: str, talks: Path, tmp_path: Path) -> None:
    page, run = tmp_path / "page.html", str(talks / task)
    text = f"is she late\nare you free now\n/explain\n/explain {page}\n/explain {tmp_path}/a.doc\n"
    ran = run_command("chat", run, input=text)
    assert ran.status == 0, ran.stderr
    assert "attention weights" in ran.stderr
    assert "unknown ending of a picture '.doc'" in ran.stderr
    content = page.read_text(encoding="utf-8")
    for word in ("user:", "assistant:", "late", "free"):
        assert word in content


def test_nothing_to_explain_and_wrong_seeds(talks: Path) -> None:
    ran = run_command("chat", str(talks / "reply"), input="/explain\n/seed x\n/help\n")
    assert "there is no reply to explain yet" in ran.stderr
    assert "/seed takes a whole number" in ran.stderr
    for name in chat.COMMANDS:
        assert f"/{name}" in ran.stderr
    assert ran.stdout == ""


def test_other_tasks_and_options_out_of_range(talks: Path, tmp_path: Path) -> None:
    rows = [{"text": "good", "label": "a"}, {"text": "bad", "label": "b"}] * 12
    tiny = {"epochs": 1, "threads": 1, "keep_freed_memory": False}
    heedful.train("classify", train=rows, out=tmp_path / "run", encoder="none", training=tiny)
    ran = run_command("chat", str(tmp_path / "run"), input="hi\n")
    assert ran.status == 2
    assert "a run of reply or rank-replies; this one is of 'classify'" in ran.stderr
    ran = run_command("chat", str(talks / "reply"), "--top-p", "0", input="hi\n")
    assert "top_p must be above 0 and at most 1; got 0.0" in ran.stderr


def test_a_seed_repeats_what_is_drawn(talks: Path) -> None:
    predictor = heedful.load(talks / "reply").predictor
    said = ["are you free now", "is she late", "they are ready"]

    def talk(seed: int) -> list[str]:
        conversation = Conversation(predictor, Drawing(), seed)
        return [conversation.say(text) for text in said]

    assert talk(1) == talk(1)
    assert len({tuple(talk(seed)) for seed in range(4)}) > 1
    conversation = Conversation(predictor, Drawing(), 1)
    first = conversation.say(said[0])
    conversation.reset()
    conversation.seed(1)
    assert conversation.say(said[0]) == first


def test_the_history_alternates_and_a_ranker_does_not_repeat_itself(talks: Path) -> None:
    conversation = Conversation(heedful.load(talks / "rank-replies").predictor)
    replies = [conversation.say("are you free now") for _ in range(4)]
    assert len(set(replies)) == 4
    assert [turn.speaker for turn in conversation.history] == [USER, ASSISTANT] * 4
    assert conversation.last is not None
    assert conversation.last[1] == replies[-1]
    with pytest.raises(DataError, match="the text is empty"):
        conversation.say(" ")


def test_a_terminal_is_prompted(talks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = iter(["are you free now", "", "/nonsense"])

    def typed(prompt: str) -> str:
        assert prompt == chat.PROMPT
        try:
            return next(lines)
        except StopIteration:
            raise EOFError from None

    monkeypatch.setattr("builtins.input", typed)
    out = io.StringIO()
    monkeypatch.setattr("sys.stdout", out)
    monkeypatch.setattr("sys.stdin", type("Terminal", (io.StringIO,), {"isatty": lambda _: True})())
    chat.chat(talks / "rank-replies")
    said = out.getvalue().splitlines()
    assert said[0].startswith("Say something")
    assert len(said) >= 3
    assert "unknown command" in said[2]


def test_a_drawing_is_checked() -> None:
    with pytest.raises(OptionError, match="top_k"):
        Drawing(top_k=-1)
