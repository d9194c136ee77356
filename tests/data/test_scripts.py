"""Words, characters and equality of texts in every script."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from heedful.data.labelled import LabelledFile, iterate_sentences, read_labelled
from heedful.data.lexicon import VOCABULARY, Lexicon, load_lexicons, load_rules, save_lexicons
from heedful.data.tokenization import TextTokenizer
from heedful.data.vectors import read_vectors
from heedful.data.vocabulary import KINDS, Vocabulary
from heedful.data.words import canonical, graphemes, normalise, words
from heedful.errors import DataError, RunError
from heedful.inputs.tokens import Tokens, TokenVocabulary

WHOLE_WORDS = {
    "Hindi": "किताब पढ़ो हिन्दी",
    "Tamil": "தமிழ்நாடு அரசு நான்",
    "Bengali": "বাংলাদেশ আমি",
    "Arabic with vowels": "العَرَبِيَّة كِتَاب",
    "Hebrew with vowels": "שָׁלוֹם עוֹלָם",
    "Hebrew abbreviation": 'צה"ל רס״ן',
    "Persian with a non-joiner": "می\u200cخواهم کتاب\u200cها",
    "combining Latin": "e\u0301te\u0301 x\u0323\u0307y",
    "Catalan": "col·lega",
    "Vietnamese": unicodedata.normalize("NFD", "tiếng Việt"),
    "numbers": "1,000.5 ١٬٢٣٤ 3.14 ၁၂၃",
    "English": "It's co-op 'tis n't rock’n’roll v1.0 snake_case",
    "soft hyphen": "Donau\u00addampf",
}


@pytest.mark.parametrize("name", WHOLE_WORDS)
def test_a_word_is_one_token(name: str) -> None:
    text = WHOLE_WORDS[name]
    wanted = [canonical(word) for word in text.split()]
    assert TextTokenizer("word").tokenize(text) == wanted
    assert words(text) == text.split()


PARTED = {
    "Thai": ("ง่ายกำ", ["ง่", "า", "ย", "กำ"]),
    "Lao": ("ລາວ", ["ລ", "າ", "ວ"]),
    "Khmer, parted by a zero-width space": ("ខ្មែរ\u200bដែល", ["ខ្មែ", "រ", "ដែ", "ល"]),
    "Myanmar": ("မြန်", ["မြ", "န်"]),
    "Japanese": ("か\u3099っこうへ", ["が", "っ", "こ", "う", "へ"]),
    "Chinese with Latin": ("他用iPhone。", ["他", "用", "iPhone", "。"]),
    "joined emoji": ("👨‍👩‍👧👨‍👩‍👦", ["👨‍👩‍👧", "👨‍👩‍👦"]),
    "flags": ("🇩🇪🇫🇷", ["🇩🇪", "🇫🇷"]),
    "skin tones": ("👍🏽👍🏿", ["👍🏽", "👍🏿"]),
    "equal symbols": ("😂😂!!!❤️❤️", ["😂😂", "!!!", "❤️❤️"]),
    "keycap": ("1️⃣", ["1️⃣"]),
    "colon": ("a:b", ["a", ":", "b"]),
}


@pytest.mark.parametrize("name", PARTED)
def test_scripts_without_spaces_and_symbols_are_cut_at_grapheme_clusters(name: str) -> None:
    text, wanted = PARTED[name]
    assert TextTokenizer("word").tokenize(text) == wanted


def test_no_token_is_a_bare_mark() -> None:
    text = " ".join(WHOLE_WORDS.values())
    for kind in ("word", "space", "char"):
        for token in TextTokenizer(kind).tokenize(text):
            assert not unicodedata.category(token[0]).startswith("M"), token


def test_characters_are_grapheme_clusters() -> None:
    assert graphemes("किताब👨‍👩‍👧🇩🇪") == ["कि", "ता", "ब", "👨‍👩‍👧", "🇩🇪"]
    assert TextTokenizer("char").tokenize("कि ता") == ["कि", "▁", "ता"]


@pytest.mark.parametrize("kind", KINDS)
def test_vocabularies_keep_joiners_and_marks_in_their_words(kind: str) -> None:
    vocabulary = Vocabulary.train(["می‌خواهم ❤️‍🔥 किताब"] * 2, kind=kind, size=60)
    found = vocabulary.encode("می‌خواهم ❤️‍🔥 किताब")
    assert vocabulary.decode(found.ids) == "می‌خواهم ❤️‍🔥 किताब"
    if kind == "word":
        assert found.pieces == ["▁می‌خواهم", "▁❤️‍🔥", "▁किताब"]


def test_equal_texts_are_equal_in_whatever_form_they_are_written(tmp_path: Path) -> None:
    composed, decomposed = "café", "cafe\u0301"
    for each in (
        decomposed,
        "ca\u00adfé",
        "\ufeffcafé",
        "caf\u200bé\u200e",
        "e\u00ad"[:0] + composed,
    ):
        assert canonical(each) == normalise(each) == composed
    assert canonical("\u200b") == "\u200b"  # a token of nothing else stays a token
    assert canonical("می\u200cخواهم") != canonical("میخواهم")
    tokens = Tokens.of([composed], TokenVocabulary(min_frequency=1))
    one, other = tokens.encode([[composed], [decomposed]])
    assert one.words == other.words
    assert tokens.in_vocabulary([[decomposed]]) == [[True]]
    file = tmp_path / "vectors.txt"
    file.write_text(f"{decomposed} 1 2\nother 3 4\n", encoding="utf-8")
    found = read_vectors(file, {composed})
    assert found.words == (composed,)
    np.testing.assert_array_equal(found.values, [[1, 2]])


@pytest.mark.parametrize("use", [canonical, normalise, TextTokenizer("word").tokenize])
def test_half_a_surrogate_pair_is_an_error(use: object) -> None:
    with pytest.raises(DataError, match=r"'a \\\\ud83d' holds half a surrogate pair"):
        use("a \ud83d")  # type: ignore[operator]


def test_what_was_learned_by_older_rules_is_applied_by_them(tmp_path: Path) -> None:
    assert TextTokenizer("word", rules=1).tokenize("कि 1,000") == ["क", "ि", "1", ",", "000"]
    assert TextTokenizer("char", rules=1).tokenize("कि") == ["क", "ि"]
    old = Vocabulary("word", False, ("▁a\u00ad",), rules=1)
    old.save(tmp_path / "old.json")
    assert '"heedful vocabulary 1"' in (tmp_path / "old.json").read_text("utf-8")
    assert Vocabulary.load(tmp_path / "old.json") == old
    assert old.normalise("a\u00ad") == "a\u00ad"
    path = tmp_path / VOCABULARY
    path.write_text('{"format": "heedful lexicon 1", "words": ["cafe\u0301"], "characters": ["c"]}')
    assert load_rules(path) == 1
    save_lexicons(path, {"labels": Lexicon(("a",))})
    assert load_rules(path) == 1
    words, characters = load_lexicons(path, ["words", "characters"])
    tokens = Tokens(words, characters, TokenVocabulary(), rules=load_rules(path))
    assert tokens.in_vocabulary([["cafe\u0301", "café"]]) == [[True, False]]


def test_a_damaged_lexicon_is_named_also_when_it_is_added_to(tmp_path: Path) -> None:
    path = tmp_path / VOCABULARY
    path.write_text('{"format": "heed')
    with pytest.raises(RunError, match="damaged or truncated"):
        save_lexicons(path, {"labels": Lexicon(("a",))})


@pytest.mark.parametrize("space", ["\u00a0", "\u3000", "\x85", "\x1c"])
@pytest.mark.parametrize("name", ["a.conll", "a.jsonl", "a.conllu"])
def test_other_white_space_is_a_token_or_part_of_one(tmp_path: Path, name: str, space: str) -> None:
    tokens, labels = [f"10{space}000", space, "b"], ["X", "Y", f"Z{space}Z"]
    pairs = list(zip(tokens, labels, strict=True))
    content = {
        "a.conll": "".join(f"{token} {label}\n" for token, label in pairs),
        "a.jsonl": json.dumps({"tokens": tokens, "tags": labels}),
        "a.conllu": "".join(
            f"{n}\t{token}\t_\t{label}\t_\t_\t_\t_\t_\t_\n"
            for n, (token, label) in enumerate(pairs, start=1)
        ),
    }
    (tmp_path / name).write_text(content[name], encoding="utf-8")
    [found] = read_labelled([tmp_path / name], LabelledFile()).sentences
    assert (list(found.tokens), list(found.labels)) == (tokens, labels)


def test_a_line_of_columns_that_is_one_token_is_no_end_of_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "a.conll").write_text("a\n\u00a0\nb\n \t\nc\n", encoding="utf-8")
    found = list(iterate_sentences(tmp_path / "a.conll", LabelledFile()))
    assert [each.tokens for each in found] == [("a", "\u00a0", "b"), ("c",)]


def test_labels_of_tokens_that_look_alike_are_one(tmp_path: Path) -> None:
    (tmp_path / "a.conll").write_text("x café\ny cafe\u0301\n", encoding="utf-8")
    assert read_labelled([tmp_path / "a.conll"], LabelledFile()).answers == [("café", "café")]
