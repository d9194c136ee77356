"""Dialogues are read from every form that people have, and what is wrong with a file is said by file and line."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from heedful.data.dialogue.read import read_dialogues
from heedful.data.dialogue.replies import Replies, draw_candidates, read_replies, split_replies
from heedful.data.dialogue.tables import DialogueColumns
from heedful.data.dialogue.turns import ASSISTANT, SYSTEM, USER, Exchange, Turn
from heedful.errors import DataError, OptionError

SAID = ("hi", "hello", "are you free tomorrow?", "Yes.")


def messages(texts: Sequence[str] = SAID) -> list[dict[str, str]]:
    return [{"role": ("user", "assistant")[n % 2], "content": text} for n, text in enumerate(texts)]


def sharegpt() -> dict[str, Any]:
    return {
        "conversations": [
            {"from": ("human", "gpt")[n % 2], "value": text} for n, text in enumerate(SAID)
        ]
    }


def read(path: Path, content: str | bytes, *, skip_bad: bool = False, **options: Any) -> Replies:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    speaker, max_turns = options.pop("speaker", ""), options.pop("max_turns", 8)
    found = read_dialogues([path], DialogueColumns(**options), "utf-8", 10**6)
    return read_replies(found, path.name, max_turns=max_turns, speaker=speaker, skip_bad=skip_bad)


TURNS = "dialogue\tturn\tspeaker\tutterance\n" + "".join(
    f"a\t{n}\t{('Ann', 'Bob')[n % 2]}\t{text}\n" for n, text in enumerate(SAID)
)
FORMS: dict[str, tuple[str, str | bytes]] = {
    "messages": ("a.jsonl", json.dumps({"messages": messages()}) + "\n"),
    "messages in gzip": (
        "a.jsonl.gz",
        gzip.compress((json.dumps({"messages": messages()}) + "\n").encode()),
    ),
    "parts of a content": (
        "a.jsonl",
        json.dumps(
            {
                "messages": [
                    {**each, "content": [{"type": "text", "text": each["content"]}]}
                    for each in messages()
                ]
            }
        ),
    ),
    "ShareGPT lines": ("a.jsonl", json.dumps(sharegpt())),
    "ShareGPT document": ("a.json", json.dumps([sharegpt()], indent=1)),
    "lines in a .json": ("a.json", json.dumps(sharegpt()) + "\n"),
    "turns": ("a.tsv", TURNS),
    "turns out of order": (
        "a.tsv",
        "\n".join([TURNS.split("\n")[0], *reversed(TURNS.split("\n")[1:5])]) + "\n",
    ),
    "turns without speakers": (
        "a.csv",
        "conversation,text\n" + "".join(f'1,"{text}"\n' for text in SAID),
    ),
    "ParlAI": (
        "a.txt",
        "text:hi\tlabels:hello\ntext:are you free tomorrow?\tlabels:Yes.|No.\tepisode_done:True\n",
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_replies(form: str, tmp_path: Path) -> None:
    name, content = FORMS[form]
    data = read(tmp_path / name, content)
    assert data.answers == ["hello", "Yes."]
    assert [turn.text for turn in data.rows[1].history] == list(SAID[:3])
    assert [turn.speaker for turn in data.rows[1].history] == [USER, ASSISTANT, USER]
    assert data.rows[0].dialogue == data.rows[1].dialogue


def test_prompts_and_replies_and_their_prompt_is_their_dialogue(tmp_path: Path) -> None:
    data = read(tmp_path / "a.csv", "question,answer\nhi,hello\nhi,good day\nbye,see you\n")
    assert data.answers == ["hello", "good day", "see you"]
    assert [each.dialogue for each in data.rows] == ["hi", "hi", "bye"]
    bare = read(tmp_path / "b.tsv", "hi\thello\nbye\tsee you\n", prompt="1", reply="2")
    assert bare.answers == ["hello", "see you"]


def test_the_speaker_whose_turns_are_learned_can_be_named(tmp_path: Path) -> None:
    data = read(tmp_path / "a.tsv", TURNS, speaker="Ann")
    assert data.answers == ["are you free tomorrow?"]
    system = [{"role": "system", "content": "Be brief."}, *messages()]
    data = read(tmp_path / "b.jsonl", json.dumps({"messages": system}), speaker="user")
    assert data.answers == ["hi", "are you free tomorrow?"]
    assert data.rows[0].history == (Turn(SYSTEM, "Be brief."),)


def test_a_history_has_the_last_turns_only(tmp_path: Path) -> None:
    content = json.dumps({"messages": messages()})
    assert len(read(tmp_path / "a.jsonl", content, max_turns=2).rows[1].history) == 2
    assert read(tmp_path / "a.jsonl", content, max_turns=0).rows[1].history == ()


def test_a_group_is_read_and_must_be_there(tmp_path: Path) -> None:
    line = json.dumps({"messages": messages(), "topic": "time"})
    assert read(tmp_path / "a.jsonl", line, group="topic").rows[0].group == "time"
    with pytest.raises(DataError, match=r"a.jsonl, line 1: there is no column 'topik'; did you"):
        read(tmp_path / "a.jsonl", line, group="topik")


def bad(*, turns: Any, key: str = "messages") -> str:
    return json.dumps({"messages": messages()}) + "\n" + json.dumps({key: turns}) + "\n"


WRONG: dict[str, tuple[str, str, str]] = {
    "no list": ("a.jsonl", bad(turns="hi"), r"line 2: 'messages' is 'hi'; expected a list"),
    "no content": (
        "a.jsonl", bad(turns=[{"role": "user"}]), r"line 2: messages, turn 1: got .*expected"
    ),
    "a call of a tool": (
        "a.jsonl", bad(turns=[{"role": "user", "content": None}]), r"line 2: .*A call of a tool"
    ),
    "an image": (
        "a.jsonl",
        bad(turns=[{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}]),
        r"line 2: messages, turn 1",
    ),
    "an unknown role": (
        "a.jsonl",
        bad(turns=[{"role": "asistant", "content": "hi"}]),
        r"line 2: unknown role 'asistant'; did you mean 'assistant'",
    ),
    "an empty turn": (
        "a.jsonl",
        bad(turns=[{"role": "user", "content": " "}]),
        r"line 2: turn 1 of dialogue '2' has no text",
    ),
    "other keys": ("a.jsonl", bad(turns=[], key="talk"), r"line 2: there are no messages"),
    "no JSON": ("a.jsonl", "{\n", r"line 1: not valid JSON"),
    "a document of something else": ("a.json", '{"a":\n1}', r"expected a list of dialogues"),
    "a dialogue of something else": ("a.json", "[3]", r"dialogue 1: got '3'; expected an object"),
    "unknown columns": ("a.tsv", "q\ta\nhi\thello\n", r"line 2: the columns q, a are those of no"),
    "a turn twice": (
        "a.tsv",
        "dialogue\tturn\ttext\n1\t0\thi\n1\t0\thello\n",
        r"line 3: turn 0 of dialogue '1' is there twice, first in line 2",
    ),
    "a place that is no number": (
        "a.tsv", "dialogue\tturn\ttext\n1\tx\thi\n", r"line 2: column 'turn', .* is 'x'; expected a number"
    ),
    "a place that is not finite": (
        "a.tsv", "dialogue\tturn\ttext\n1\tnan\thi\n", r"line 2: column 'turn', .* is 'nan'; expected a number"
    ),
    "no field of ParlAI": ("a.txt", "hi\n", r"line 1: 'hi' is no field; expected ParlAI's"),
    "no labels": ("a.txt", "text:hi\n", r"line 1: the line has the fields text; expected text and"),
    "another ending": ("a.doc", "hi", r"unknown form '.doc'"),
    "nothing": ("a.jsonl", "", r"the file holds no dialogues"),
    "nobody replies": (
        "a.jsonl",
        json.dumps({"messages": messages(["hi"])}),
        r"there is no reply of an assistant.*the speakers are 'user'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_said_by_file_and_line(case: str, tmp_path: Path) -> None:
    name, content, message = WRONG[case]
    with pytest.raises(DataError, match=message) as caught:
        read(tmp_path / name, content)
    assert name in str(caught.value)


def test_a_missing_file_and_an_unknown_speaker(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        list(read_dialogues([tmp_path / "no.jsonl"], DialogueColumns(), "utf-8", 100))
    with pytest.raises(DataError, match="no reply of 'Eve'.*the speakers are 'Ann', 'Bob'"):
        read(tmp_path / "a.tsv", TURNS, speaker="Eve")


def test_bad_dialogues_can_be_left_out_and_are_listed(tmp_path: Path) -> None:
    data = read(tmp_path / "a.jsonl", bad(turns=[{"role": "user", "content": ""}]), skip_bad=True)
    assert data.answers == ["hello", "Yes."]
    [reason] = data.skipped
    assert "line 2" in reason


def test_bad_turns_of_a_table_leave_the_others(tmp_path: Path) -> None:
    rows = "a,hi\na,hello\nb,hi\nb, \nc,hi\nc,bye\n"
    data = read(tmp_path / "a.csv", "dialogue,text\n" + rows, skip_bad=True)
    assert data.answers == ["hello", "bye"]
    assert len(data.skipped) == 1


def made(count: int, replies: int = 2) -> Replies:
    return Replies(
        [
            Exchange((Turn(USER, f"q{n}"),), f"a{n}", "odd" if n % 2 else "even", str(n // replies))
            for n in range(count)
        ]
    )


def test_a_dialogue_is_never_in_two_parts() -> None:
    train, valid = split_replies(made(40), 0.25, 0)
    assert len(train) == 30
    assert not {each.dialogue for each in train.rows} & {each.dialogue for each in valid.rows}
    assert sorted(train.answers + valid.answers) == sorted(made(40).answers)
    assert split_replies(made(40), 0.25, 1)[1].answers != valid.answers
    with pytest.raises(DataError, match="5 dialogues are too few"):
        split_replies(made(10), 0.1, 0)
    with pytest.raises(OptionError, match="above 0 and below 1"):
        split_replies(made(10), 1.5, 0)


def test_all_replies_to_a_prompt_are_in_one_part(tmp_path: Path) -> None:
    rows = "".join(f"hi {n % 4},hello {n}\n" for n in range(40))
    train, valid = split_replies(read(tmp_path / "a.csv", "prompt,reply\n" + rows), 0.25, 0)
    assert len(valid) == 10
    asked = [{each.history for each in part.rows} for part in (train, valid)]
    assert not asked[0] & asked[1]


def test_dialogues_of_different_files_are_different(tmp_path: Path) -> None:
    names = {
        row.dialogue for name in ("a.tsv", "b.tsv") for row in read(tmp_path / name, TURNS).rows
    }
    assert len(names) == 2


def test_candidates_are_other_replies_of_the_group() -> None:
    data = made(12)
    groups = [each.group for each in data.rows]
    drawn = draw_candidates(data.answers, groups, 4)
    for row, places in enumerate(drawn.tolist()):
        assert places[0] == row
        texts = [data.answers[place] for place in places]
        assert len(set(texts)) == 4
        assert {groups[place] for place in places} == {groups[row]}
    assert (draw_candidates(data.answers, groups, 7) == -1).all()


def test_a_candidate_never_has_the_text_of_the_true_reply() -> None:
    replies = ["same"] * 10 + [f"other {n}" for n in range(5)]
    drawn = draw_candidates(replies, [""] * 15, 5)
    for row in range(10):
        assert "same" not in [replies[place] for place in drawn[row, 1:]]
