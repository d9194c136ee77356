"""Plain text to label: sentences, tokens and their places, and how it is told from columns."""

from __future__ import annotations

from pathlib import Path

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from heedful.data.label_recognition import is_text
from heedful.data.label_text import PlainText, TokenRule
from heedful.errors import DataError

ENGLISH = TokenRule.learn(["'s", "n't", "mr.", "u.s.", "don't", "e-mail", "it", "saw"])
FRENCH = TokenRule.learn(["l'", "d'", "aujourd'hui"])
CHINESE = TokenRule.learn(["北京", "大学", "学生"])


def tokens(rule: TokenRule, text: str) -> list[str]:
    return [text[start:end] for start, end in rule.spans(text)]


@pytest.mark.parametrize(
    ("rule", "text", "expected"),
    [
        (
            ENGLISH,
            "Angela Merkel met Tom Hanks in Berlin.",
            "Angela Merkel met Tom Hanks in Berlin .",
        ),
        (
            ENGLISH,
            "Mr. Hanks' dog (it's old), isn't it?",
            "Mr. Hanks ' dog ( it 's old ) , is n't it ?",
        ),
        (ENGLISH, "Who saw J. R. Smith?!", "Who saw J. R. Smith ? !"),
        (ENGLISH, "$3.50, 1,000 at 10:30...", "$ 3.50 , 1,000 at 10:30 ..."),
        (ENGLISH, "a@b.org or https://x.org/a?b=1.", "a@b.org or https://x.org/a?b=1 ."),
        (ENGLISH, "the U.S. and AT&T's", "the U.S. and AT&T 's"),
        (ENGLISH, "’Twas “old” — so", "’ Twas “ old ” — so"),
        (FRENCH, "l'eau d'aujourd'hui", "l' eau d' aujourd'hui"),
        (CHINESE, "北京大学生, OK。", "北京 大学 生 , OK 。"),
        (TokenRule.learn(()), "不知道", "不 知 道"),
        (ENGLISH, "well-known", "well-known"),
        (TokenRule.learn(["-", *map(str, range(200))]), "well-known", "well - known"),
        (ENGLISH, "", ""),
    ],
)
def test_text_is_split_into_tokens(rule: TokenRule, text: str, expected: str) -> None:
    assert tokens(rule, text) == expected.split()


def visible(text: str) -> str:
    return regex.sub(r"[\s\p{Cf}]", "", text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("हिन्दी में।", ["हिन्दी", "में", "।"]),  # vowel signs belong to their letters
        ("cafe\u0301, na\u00adive", ["cafe\u0301", ",", "na\u00adive"]),
        ("👍🏽👍🏽 🇩🇪🇫🇷", ["👍🏽👍🏽", "🇩🇪", "🇫🇷"]),
        ("ភាសា\u200bខ្មែរ", ["ភា", "សា", "ខ្មែ", "រ"]),
        ("\u200eO'Hara\u00a0saw\u3000it\ufeff", ["O'Hara", "saw", "it\ufeff"]),
        ("\u200e", []),
    ],
)
def test_tokens_of_other_scripts(text: str, expected: list[str]) -> None:
    assert tokens(ENGLISH, text) == expected


def test_words_are_compared_in_canonical_form() -> None:
    rule = TokenRule.learn(["café.", "ความ", "한국"])
    assert tokens(rule, "cafe\u0301.") == ["cafe\u0301."]
    assert tokens(rule, "ความรัก")[0] == "ความ"


@given(st.text(max_size=40))
def test_tokens_are_all_that_is_visible(text: str) -> None:
    spans = ENGLISH.spans(text)
    assert visible("".join(text[start:end] for start, end in spans)) == visible(text)
    assert not any(regex.search(r"[\s\u200b]", text[start:end]) for start, end in spans)
    assert all(visible(text[start:end]) for start, end in spans)
    assert all(start < end for start, end in spans)
    assert [span for sentence in ENGLISH.sentences(text) for span in sentence] == spans


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("I saw it. It saw me.", [4, 4]),
        ("I saw Mr. X.", [5]),
        ('He said "No." Then he left.', [6, 4]),
        ("wait... and see", [4]),
        ("见了。走了！", [3, 3]),
        ("Is 3.5 enough? 4 is", [4, 2]),
    ],
)
def test_text_is_split_into_sentences(text: str, counts: list[int]) -> None:
    assert [len(each) for each in ENGLISH.sentences(text)] == counts


def test_sentences_know_their_line_and_places() -> None:
    plain = PlainText(ENGLISH)
    found = list(plain.read(Path("new.txt"), iter(["", "A b. C d."])))
    assert [(each.tokens, each.first_line) for each in found] == [
        (("A", "b", "."), 2),
        (("C", "d", "."), 2),
    ]
    assert found[1].offsets == ((5, 6), (7, 8), (8, 9))
    assert plain.write(found[0], ["X", "Y", "Z"]) == "A\tX\nb\tY\n.\tZ\n\n"


LABELS = {"O", "B-PER", "I-PER"}
ASK = None


@pytest.mark.parametrize(
    ("block", "file_format", "width", "expected"),
    [
        ("Angela Merkel met Tom Hanks in Berlin.", "columns", 4, True),
        ("Angela Merkel met Tom Hanks in Berlin.", "columns", 0, True),
        ("Angela Merkel met Tom.\nShe left early in the morning.", "columns", 4, True),
        ("Hello", "columns", 4, False),
        ("Hello\nworld", "columns", 4, False),
        ("Hello world", "columns", 4, ASK),
        ("Hello world", "columns", 2, ASK),
        ("Hello O", "columns", 2, False),
        ("Hello _", "columns", 2, False),
        ("a\tb c d e f", "columns", 2, False),
        ("a X B-PER\nb Y O\nc Z O", "columns", 3, False),
        ("a X\nb Y\nc Z", "columns", 3, False),
        ("a X\nb Y", "columns", 3, ASK),
        ("a X B-PER\nb O\nc Z O\nd X Y O", "columns", 3, ASK),
        ("a b c d e\nf g h i j", "columns", 3, ASK),
        ("Who is it?", "conllu", 10, True),
        ("Who", "conllu", 10, True),
        ("I\nsaw", "conllu", 10, False),
        ("1 I I PRON PRP _ 2 nsubj _ _", "conllu", 10, False),
        ("# text = I\n1\tI\tI\tPRON\tPRP\t_\t2\tnsubj\t_\t_", "conllu", 10, False),
        ('{"tokens": ["a"]}', "jsonl", 0, False),
        ("Who is it?", "jsonl", 0, True),
        ("", "columns", 2, False),
    ],
)
def test_text_is_told_from_columns(
    block: str, file_format: str, width: int, expected: bool | None
) -> None:
    lines = block.split("\n") if block else []
    if expected is ASK:
        with pytest.raises(DataError, match="give --text or --no-text"):
            is_text(lines, file_format, width, LABELS, Path("new.txt"))
    else:
        assert is_text(lines, file_format, width, LABELS, Path("new.txt")) == expected
