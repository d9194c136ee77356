from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heedful.data.vocabulary import KINDS, UNKNOWN_TEXT, Vocabulary
from heedful.data.words import normalise, words
from heedful.errors import DataError, OptionError, RunError

ENGLISH = [
    "Two young, White males are outside near many bushes.",
    "Several men in hard hats are operating a giant pulley system.",
    "A little girl climbing into a wooden playhouse (it's hers).",
    "A man in a blue shirt is standing on a ladder, cleaning 25 windows!",
]
CHINESE = [
    "那如果那是真的呢？",
    "我喜欢你。",
    "他用iPhone打电话给3个人。",
    "如果我是你，我会打电话。",
]
TEXTS = ENGLISH + CHINESE
SMALL = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])

kinds = pytest.mark.parametrize("kind", KINDS)


@kinds
def test_known_texts_come_back_as_they_were(kind: str) -> None:
    vocabulary = Vocabulary.train(TEXTS, kind=kind, size=400)
    for text, encoding in zip(TEXTS, vocabulary.encode_batch(TEXTS), strict=True):
        assert encoding.ids
        assert vocabulary.decode(encoding.ids) == text
        assert "".join(encoding.pieces).replace("▁", " ").strip() == text
        assert vocabulary.unk_id not in encoding.ids


@kinds
@SMALL
@given(texts=st.lists(st.text(max_size=20), min_size=1, max_size=4), lowercase=st.booleans())
def test_any_text_trained_on_comes_back(kind: str, texts: list[str], lowercase: bool) -> None:
    texts = [*texts, "x"]
    vocabulary = Vocabulary.train(texts, kind=kind, size=500, lowercase=lowercase)
    for text in texts:
        expected = normalise(text, lowercase=lowercase)
        assert vocabulary.decode(vocabulary.encode(text).ids) == expected


@kinds
@SMALL
@given(text=st.text(max_size=30))
def test_any_text_can_be_encoded_and_never_to_a_reserved_id(kind: str, text: str) -> None:
    vocabulary = TRAINED[kind]
    encoding = vocabulary.encode(text)
    lengths = {len(encoding.ids), len(encoding.pieces), len(encoding.word_ids)}
    assert lengths == {len(encoding.last_word_ids)} == {len(encoding)}
    assert all(index == 1 or 4 <= index < len(vocabulary) for index in encoding.ids)
    number = len(vocabulary.words(text))
    assert all(0 <= word < number for word in encoding.word_ids)
    covered = {
        word
        for first, last in zip(encoding.word_ids, encoding.last_word_ids, strict=True)
        for word in range(first, last + 1)
    }
    assert covered == set(range(number))
    assert encoding.word_ids == sorted(encoding.word_ids)


TRAINED = {kind: Vocabulary.train(TEXTS, kind=kind, size=300) for kind in KINDS}


@kinds
@pytest.mark.parametrize(
    "name", ["<pad>", "<s>", "</s>", "<unk>", "< pad >", "< begin >", "< end >"]
)
def test_names_of_reserved_pieces_are_ordinary_text(kind: str, name: str) -> None:
    lines = [f"say {name} here", name * 20, name] * 30
    vocabulary = Vocabulary.train(lines, kind=kind, size=200)
    ids = vocabulary.encode(f"say {name} here").ids
    assert set(ids).isdisjoint({0, 1, 2, 3})
    assert vocabulary.decode(ids) == f"say {name} here"


@kinds
@pytest.mark.parametrize("texts", [ENGLISH, CHINESE, TEXTS])
@pytest.mark.parametrize("size", [5, 6, 9, 12, 20, 40, 64, 100, 200])
def test_the_size_is_never_exceeded(kind: str, texts: list[str], size: int) -> None:
    vocabulary = Vocabulary.train(texts, kind=kind, size=size)
    assert 4 < len(vocabulary) <= size
    assert len(vocabulary) == len(vocabulary.pieces)
    assert max(vocabulary.encode(texts[0]).ids, default=0) < len(vocabulary)


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_a_larger_size_gives_longer_pieces(kind: str) -> None:
    small, large = (Vocabulary.train(ENGLISH, kind=kind, size=size) for size in (45, 90))
    assert len(large.encode(ENGLISH[0]).ids) < len(small.encode(ENGLISH[0]).ids)


@kinds
def test_the_most_frequent_are_kept(kind: str) -> None:
    vocabulary = Vocabulary.train(["e e e e e a a z"], kind=kind, size=6 if kind == "word" else 7)
    assert UNKNOWN_TEXT not in vocabulary.decode(vocabulary.encode("e a").ids)
    assert UNKNOWN_TEXT in vocabulary.decode(vocabulary.encode("z").ids)


@kinds
def test_min_frequency_leaves_out_what_is_rare(kind: str) -> None:
    lines = ["aa bb", "aa bb", "aa cc"]
    whole, frequent = (
        Vocabulary.train(lines, kind=kind, size=50, min_frequency=least) for least in (1, 3)
    )
    assert 1 not in whole.encode("cc").ids
    assert 1 in frequent.encode("cc").ids
    assert 1 not in frequent.encode("aa").ids


@kinds
def test_unknown_characters_become_the_unknown_piece(kind: str) -> None:
    vocabulary = TRAINED[kind]
    encoding = vocabulary.encode("near ☃ many")
    assert vocabulary.unk_id in encoding.ids
    assert vocabulary.decode(encoding.ids).replace(" ", "") == f"near{UNKNOWN_TEXT}many"
    # The pieces still show what stood there.
    assert "☃" in "".join(encoding.pieces)


@kinds
def test_case_is_kept_unless_asked_otherwise(kind: str) -> None:
    kept = Vocabulary.train(["Abc abc"], kind=kind, size=50)
    lowered = Vocabulary.train(["Abc abc"], kind=kind, size=50, lowercase=True)
    assert kept.encode("Abc").ids != kept.encode("abc").ids
    assert lowered.encode("ABC").ids == lowered.encode("abc").ids
    assert lowered.decode(lowered.encode("ABC").ids) == "abc"
    assert lowered.words("A B") == ["a", "b"]


@kinds
def test_white_space_and_composition_do_not_matter(kind: str) -> None:
    vocabulary = Vocabulary.train(["café au lait"], kind=kind, size=50)
    assert vocabulary.encode(" cafe\u0301\u00a0 au\tlait ") == vocabulary.encode("café au lait")


@kinds
def test_word_indices_of_spaced_text(kind: str) -> None:
    encoding = TRAINED[kind].encode("Two young, White males")
    by_word = ["", "", "", ""]
    for piece, word in zip(encoding.pieces, encoding.word_ids, strict=True):
        by_word[word] += piece.removeprefix("▁")
    assert by_word == ["Two", "young,", "White", "males"]
    assert encoding.word_ids == encoding.last_word_ids


def test_a_piece_may_span_several_characters_that_are_words() -> None:
    vocabulary = Vocabulary.train(["那是真的", "真的"] * 5, kind="bpe", size=100)
    encoding = vocabulary.encode("那是真的")
    assert encoding.pieces == ["那是真的"]
    assert (encoding.word_ids, encoding.last_word_ids) == ([0], [3])


@pytest.mark.parametrize("kind", ["word", "char"])
def test_chinese_words_are_characters(kind: str) -> None:
    encoding = TRAINED[kind].encode("我喜欢你。")
    assert encoding.pieces == ["我", "喜", "欢", "你", "。"]
    assert encoding.word_ids == encoding.last_word_ids == [0, 1, 2, 3, 4]


def test_sub_words_mix_no_letters_with_punctuation_or_digits() -> None:
    vocabulary = Vocabulary.train(["dog. 1984, dog."] * 20, kind="bpe", size=100)
    assert vocabulary.encode("dog. 1984,").pieces == ["▁dog", ".", "▁1", "9", "8", "4", ","]


@kinds
def test_empty_text(kind: str) -> None:
    encoding = TRAINED[kind].encode(" ")
    assert (encoding.ids, encoding.pieces, encoding.word_ids) == ([], [], [])
    assert TRAINED[kind].decode([]) == ""
    assert TRAINED[kind].encode_batch([]) == []


@kinds
def test_a_batch_equals_a_loop(kind: str) -> None:
    vocabulary = TRAINED[kind]
    assert vocabulary.encode_batch(TEXTS) == [vocabulary.encode(text) for text in TEXTS]
    assert vocabulary.encode_ids(TEXTS) == [vocabulary.encode(text).ids for text in TEXTS]


@kinds
def test_decoding_leaves_out_padding_begin_and_end(kind: str) -> None:
    vocabulary = TRAINED[kind]
    ids = vocabulary.encode(TEXTS[0]).ids
    assert vocabulary.decode([2, *ids, 3, 0, 0]) == TEXTS[0]


@kinds
@pytest.mark.parametrize("text", [ENGLISH[2], CHINESE[2]])
def test_tracing_ids_agrees_with_encoding(kind: str, text: str) -> None:
    vocabulary = TRAINED[kind]
    encoding = vocabulary.encode(text)
    assert vocabulary.align_ids(encoding.ids) == encoding
    framed = vocabulary.align_ids([2, *encoding.ids, 3])
    assert framed.word_ids == [-1, *encoding.word_ids, -1]
    assert framed.last_word_ids == [-1, *encoding.last_word_ids, -1]


@kinds
@SMALL
@given(data=st.data())
def test_whatever_ids_a_model_makes_can_be_traced(kind: str, data: st.DataObject) -> None:
    vocabulary = TRAINED[kind]
    ids = data.draw(st.lists(st.integers(0, len(vocabulary) - 1), max_size=15))
    encoding = vocabulary.align_ids(ids)
    number = len(words(vocabulary.decode(ids)))
    assert all(-1 <= word < number for word in encoding.word_ids)
    assert encoding.ids == ids
    shown = {
        word
        for first, last in zip(encoding.word_ids, encoding.last_word_ids, strict=True)
        for word in range(first, last + 1)
    }
    assert shown - {-1} == set(range(number))


@pytest.mark.parametrize("bad", [-1, 10_000])
def test_ids_of_nothing_are_refused(bad: int) -> None:
    with pytest.raises(OptionError, match=rf"id {bad} is not in this vocabulary of \d+ pieces"):
        TRAINED["bpe"].decode([5, bad])
    with pytest.raises(OptionError, match=rf"id {bad} is not in"):
        TRAINED["bpe"].align_ids([bad])


@kinds
def test_saving_and_loading(kind: str, tmp_path: Path) -> None:
    vocabulary = TRAINED[kind]
    path = tmp_path / "vocabulary.json"
    vocabulary.save(path)
    first = path.read_bytes()
    loaded = Vocabulary.load(path)
    assert loaded == vocabulary
    assert loaded.encode_batch(TEXTS) == vocabulary.encode_batch(TEXTS)
    loaded.save(path)
    assert path.read_bytes() == first
    assert pickle.loads(pickle.dumps(vocabulary)) == vocabulary


def test_vocabularies_that_encode_otherwise_are_unequal() -> None:
    assert len({*TRAINED.values(), Vocabulary.train(TEXTS, kind="char", lowercase=True)}) == 5
    assert TRAINED["char"] != Vocabulary.train(ENGLISH, kind="char")


@pytest.mark.long
def test_another_process_learns_the_same(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from heedful.data.vocabulary import Vocabulary\n"
        "lines = Path(sys.argv[1]).read_text('utf-8').splitlines()\n"
        "for kind in ('bpe', 'unigram', 'word', 'char'):\n"
        "    Vocabulary.train(lines, kind=kind, size=150).save(Path(sys.argv[2], kind))"
    )
    (tmp_path / "text").write_text("\n".join(TEXTS), encoding="utf-8")
    environment = {**os.environ, "PYTHONHASHSEED": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run(
        [sys.executable, "-c", code, tmp_path / "text", tmp_path], check=True, env=environment
    )
    for kind in KINDS:
        assert Vocabulary.load(tmp_path / kind) == Vocabulary.train(TEXTS, kind=kind, size=150)


@kinds
def test_the_same_text_always_gives_the_same_vocabulary(kind: str) -> None:
    made = {Vocabulary.train(TEXTS, kind=kind, size=150) for _ in range(4)}
    assert len(made) == 1


def test_lines_may_come_from_a_generator() -> None:
    assert Vocabulary.train(iter(TEXTS), size=150) == Vocabulary.train(TEXTS, size=150)


def test_bad_options_are_refused() -> None:
    with pytest.raises(OptionError, match="unknown vocabulary kind 'bep'; did you mean 'bpe'"):
        Vocabulary.train(TEXTS, kind="bep")
    with pytest.raises(OptionError, match="a vocabulary size of 4 leaves no room: 4 ids"):
        Vocabulary.train(TEXTS, size=4)
    with pytest.raises(OptionError, match="min_frequency is 0; it must be 1 or more"):
        Vocabulary.train(TEXTS, min_frequency=0)
    with pytest.raises(OptionError, match="lines is a single string; pass a list of strings"):
        Vocabulary.train("text")


@pytest.mark.parametrize("lines", [[], ["", "  "]])
def test_no_text_gives_no_vocabulary(lines: list[str]) -> None:
    with pytest.raises(DataError, match="there is no text to learn a vocabulary from"):
        Vocabulary.train(lines)


@kinds
def test_text_with_nothing_frequent_gives_no_vocabulary(kind: str) -> None:
    with pytest.raises(DataError, match="nothing in the text occurs 9 times or more"):
        Vocabulary.train(["a b c"], kind=kind, min_frequency=9)


def test_a_missing_vocabulary(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"v\.json is missing"):
        Vocabulary.load(tmp_path / "v.json")


@pytest.mark.parametrize("content", [b"", b'{"format": "heed', b"\xff\xfe", b"[" * 100_000])
def test_a_damaged_vocabulary(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "v.json").write_bytes(content)
    with pytest.raises(RunError, match=r"v\.json.*(is damaged or truncated|not valid UTF-8)"):
        Vocabulary.load(tmp_path / "v.json")


@pytest.mark.parametrize("content", ["[]", "{}", '{"format": "heedful vocabulary 0"}', "3"])
def test_something_else_is_no_vocabulary(tmp_path: Path, content: str) -> None:
    (tmp_path / "v.json").write_text(content)
    with pytest.raises(RunError, match="not a vocabulary written by Heedful"):
        Vocabulary.load(tmp_path / "v.json")


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("bpe", {"kind": "bep"}),
        ("bpe", {"kind": None}),
        ("bpe", {"lowercase": 1}),
        ("bpe", {"pieces": "abc"}),
        ("bpe", {"pieces": ["a", "a"], "merges": []}),
        ("bpe", {"pieces": ["a", ""], "merges": []}),
        ("bpe", {"pieces": ["a", 3], "merges": []}),
        ("bpe", {"pieces": ["a", "< pad >"], "merges": []}),
        ("bpe", {"merges": [["a"]]}),
        ("bpe", {"merges": ["ab"]}),
        ("bpe", {"merges": [["☃", "a"]]}),
        ("bpe", {"merges": [[["a"], "a"]]}),
        ("bpe", {"merges": None}),
        ("bpe", {"scores": [0.5]}),
        ("char", {"merges": [["T", "w"]]}),
        ("unigram", {"scores": []}),
        ("unigram", {"scores": None}),
        ("unigram", {"pieces": ["a"], "scores": ["b"]}),
        ("unigram", {"pieces": ["a"], "scores": [float("nan")]}),
    ],
)
def test_parts_that_do_not_fit_together(
    tmp_path: Path, kind: str, change: dict[str, object]
) -> None:
    path = tmp_path / "v.json"
    TRAINED[kind].save(path)
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **change}))
    with pytest.raises(RunError, match="the vocabulary is damaged: its parts are inconsistent"):
        Vocabulary.load(path)
