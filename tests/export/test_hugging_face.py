"""A folder for the Hugging Face hub: the same ids by transformers' tokenizers, the same answers by `heedful.load`."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import heedful
from heedful.data.dialogue.turns import USER, Exchange, Turn
from heedful.data.files import Pairs
from heedful.errors import OptionError, RunError
from heedful.export.hugging_face import TARGET
from heedful.export.run import export
from heedful.tasks.table import TASKS
from tests.compare.conftest import case_of, plan_of

transformers = pytest.importorskip("transformers", reason="the extra hf is not installed")

PARTS = (
    *"aábcdeËßñ.,;:!?'’\"-_()/0123٣٤%€ \t\n\u00a0\u3000\u2028\u1680\u001c\u0085▁⁇<>",
    *"İIıΣσςΟΔ ΟΔΟΣ ΑΣ.Б жשׁ\"מ״ל، ی\u200cم क्षि ต้น 他用。ば\u3099 ﾊﾞ 한글 𠀀",
    *"\u00ad\u200b\u200d\u2060\ufeff\u0301\u0327\u1e9b\u0323👩\u200d👧🏽🇩🇪Ⅷ²½ﬁＡ０",
    "e\u0301", "ΟΔΟΣ ", "don't ", "e-mail ", "a.b.c ", "3,141.59 ", "!!!", "...", "< pad >", "<s>", "< end > ",
    "the cat sat ", "lower newer ", "İstanbul ", "你好，世界 ", "ประเทศไทย ", "สวัสดี", "שלום ", "नमस्ते दुनिया ",
)  # fmt: skip
"""What texts are made of: signs, spaces of every kind, letters of many scripts, marks, joiners, names of tokens."""


def texts(count: int, seed: int) -> list[str]:
    chosen = random.Random(seed)
    found = ["".join(chosen.choices(PARTS, k=chosen.randint(1, 12))) for _ in range(count)]
    return [*found, "", " ", "\u200b", "\u200b ", " \u00ad", "a\u200b", "\u200ba", "Σ", "aΣ", "▁"]


CORPUS = [*texts(300, 0), *["the cat sat on the mat, didn't it? 你好 世界 lower newer ΟΔΟΣ"] * 3]


def folder_of(predictor: Any, place: Path) -> tuple[Path, Any]:
    """Export a model and load it again."""
    export(predictor, "hf", place / "hub")
    return place / "hub", heedful.load(place / "hub").predictor


def text_predictor(kind: str, lowercase: bool, **sections: Any) -> Any:
    task = TASKS["classify"]
    given = {
        "vocabulary": {"kind": kind, "lowercase": lowercase, "size": 150},
        "encoder": {"kind": "window", "hidden": 8},
        "inputs": {"word_width": 8, "characters": "lstm", "character_width": 4},
        "data": {"train": ["/somewhere/private/train.tsv"], "max_length": 500},
        **sections,
    }
    config = task.configuration.model_validate(given)
    rows = [{"text": text, "label": str(n % 3)} for n, text in enumerate(filter(str.strip, CORPUS))]
    predictor = task.learn(config, task.reader.from_rows(rows, config.data, "train"))
    predictor.model.eval()
    return predictor


@pytest.mark.parametrize("lowercase", [True, False], ids=["lower case", "any case"])
@pytest.mark.parametrize("kind", ["word", "space", "char", "bpe", "unigram"])
def test_text_models(kind: str, lowercase: bool, tmp_path: Path) -> None:
    original = text_predictor(kind, lowercase)
    folder, predictor = folder_of(original, tmp_path)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    new = texts(400, 1)
    wanted = [list(each.words) for each in predictor.input.encode(new)]
    got = tokenizer(new)["input_ids"]
    for text, ours, theirs in zip(new, wanted, got, strict=True):
        assert theirs == ours, repr(text)
    known = [each for each in new if predictor.input.tokenizer.tokenize(each)]
    answers = [
        [each.all_probabilities for each in one.predict(known)] for one in (original, predictor)
    ]
    for ours, theirs in zip(*answers, strict=True):
        assert theirs == pytest.approx(ours, abs=1e-6)


@pytest.mark.parametrize("kind", ["bpe", "unigram", "word", "char"])
@pytest.mark.parametrize("shared", [True, False])
def test_translators(kind: str, shared: bool, tmp_path: Path) -> None:
    task = TASKS["translate"]
    vocabulary = {"kind": kind, "shared": shared, "lowercase": shared, "size": 200}
    model = {"kind": "gru", "embedding": 8, "hidden": 8}
    config = task.configuration.model_validate({"vocabulary": vocabulary, "model": model})
    lines = [each for each in CORPUS if each.strip()]
    answers = [f"{each[:4]} ab" for each in reversed(lines)]
    original = task.learn(config, Pairs(lines, answers))
    original.model.eval()
    folder, predictor = folder_of(original, tmp_path)
    source = transformers.AutoTokenizer.from_pretrained(folder)
    assert (folder / TARGET).exists() != shared
    target = source if shared else transformers.AutoTokenizer.from_pretrained(folder / TARGET)
    new = texts(300, 2)
    end = predictor.answer.vocabulary.end_id
    for vocabulary, tokenizer in (
        (predictor.input.vocabulary, source),
        (predictor.answer.vocabulary, target),
    ):
        got = tokenizer(new)["input_ids"]
        for text, ours, theirs in zip(new, vocabulary.encode_ids(new), got, strict=True):
            assert theirs == [*ours, end], repr(text)
            if vocabulary.unk_id not in ours:
                decoded = tokenizer.decode(theirs, skip_special_tokens=True)
                assert " ".join(decoded.split()) == vocabulary.decode(ours)
    sources = ["the cat", "lower newer"]
    found = [[each.text for each in one.predict(sources, beam=2)] for one in (original, predictor)]
    assert found[0] == found[1]


def test_taggers(tmp_path: Path) -> None:
    task = TASKS["tag"]
    config = task.configuration.model_validate({"encoder": {"kind": "window", "hidden": 8}})
    sentences = [each.split() for each in CORPUS if each.split()]
    rows = [{"tokens": each, "tags": [t[0] for t in each]} for each in sentences]
    original = task.learn(config, task.reader.from_rows(rows, config.data, "train"))
    original.model.eval()
    folder, predictor = folder_of(original, tmp_path)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    new = [each.split() for each in texts(300, 3) if each.split()]
    for sentence, ours in zip(new, predictor.input.encode(new), strict=True):
        theirs = tokenizer(sentence, is_split_into_words=True)
        assert theirs["input_ids"] == list(ours.words), sentence
        assert theirs.word_ids() == list(range(len(sentence)))
    found = [[each.labels for each in one.predict(new)] for one in (original, predictor)]
    assert found[0] == found[1]


@pytest.mark.parametrize("name", ["reply", "rank-replies"])
def test_dialogues(name: str, tmp_path: Path) -> None:
    task = TASKS[name]
    sizes = {"reply": {"model": {"kind": "gru", "embedding": 8, "hidden": 8}}}
    config = task.configuration.model_validate({"vocabulary": {"size": 150}, **sizes.get(name, {})})
    said = [each for each in CORPUS if each.strip()]
    rows = [
        {"messages": [{"role": "user", "content": a}, {"role": "assistant", "content": b}]}
        for a, b in zip(said, said[::-1], strict=True)
    ]
    original = task.learn(config, task.reader.from_rows(rows, config.data, "train"))
    original.model.eval()
    folder, predictor = folder_of(original, tmp_path)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    new = texts(200, 4)
    assert tokenizer(new)["input_ids"] == predictor.input.vocabulary.encode_ids(new)
    asked = [Exchange((Turn(USER, "the cat sat"),))]
    found = [[task_text(each) for each in one.predict(asked)] for one in (original, predictor)]
    assert found[0] == found[1]


def task_text(prediction: Any) -> str:
    return str(prediction)


def test_regression_of_texts_too(tmp_path: Path) -> None:
    task = TASKS["regress"]
    config = task.configuration.model_validate({"encoder": {"kind": "window", "hidden": 8}})
    rows = [{"text": "a b c", "target": 1.0}, {"text": "b c d", "target": 2.0}] * 2
    original = task.learn(config, task.reader.from_rows(rows, config.data, "train"))
    original.model.eval()
    folder, predictor = folder_of(original, tmp_path)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    [ours] = predictor.input.encode(["d b z"])
    assert tokenizer("d b z")["input_ids"] == list(ours.words)
    pair = [next(iter(one.predict(["d b a"]))).value for one in (original, predictor)]
    assert pair[0] == pair[1]


@pytest.mark.parametrize("name", list(TASKS))
def test_runs_of_every_task_are_written(name: str, tmp_path: Path) -> None:
    plan, data = plan_of(name), case_of(name).data
    original = plan.task.learn(next(iter(plan.contenders.values())), data)
    original.model.eval()
    folder, predictor = folder_of(original, tmp_path)
    assert json.loads((folder / "config.json").read_text())["task"] == name
    for some, theirs in zip(
        original.model.state_dict().values(), predictor.model.state_dict().values(), strict=True
    ):
        assert some.equal(theirs[: len(some)] if some.ndim else theirs)
    wanted, got = (
        [str(each) for each in one.predict(list(data.inputs)[:2])] for one in (original, predictor)
    )
    assert got == wanted


def test_what_the_folder_holds(tmp_path: Path) -> None:
    folder, _ = folder_of(text_predictor("bpe", True), tmp_path)
    configuration = json.loads((folder / "config.json").read_text())
    assert configuration["task"] == "classify"
    assert set(configuration["label2id"]) == {"0", "1", "2"}
    tokenizer = transformers.PreTrainedTokenizerFast.from_pretrained(folder)
    assert configuration["vocab_size"] == len(tokenizer)
    assert tokenizer.pad_token_id == 0
    whole = "".join(each.read_text() for each in folder.iterdir() if each.suffix != ".safetensors")
    assert "train.tsv" in whole
    assert "private" not in whole
    assert "library_name: heedful" in (folder / "README.md").read_text()


def test_every_row_of_the_weights_has_an_id(tmp_path: Path) -> None:
    original = text_predictor("bpe", True)
    learned = original.input.tokens.words
    pieces = original.input.tokenizer.pieces.learned
    assert not set(pieces) <= set(learned.entries)
    _, predictor = folder_of(original, tmp_path)
    assert set(pieces) <= set(predictor.input.tokens.words.entries)
    assert predictor.input.tokens.words.entries[: len(learned.entries)] == learned.entries


def test_words_of_an_older_version_are_refused(tmp_path: Path) -> None:
    import dataclasses

    predictor = text_predictor("word", True)
    old = dataclasses.replace(predictor.input.tokenizer, rules=1)
    predictor.input = dataclasses.replace(predictor.input, tokenizer=old)
    with pytest.raises(OptionError, match="rules of an older version"):
        export(predictor, "hf", tmp_path / "hub")
    assert not (tmp_path / "hub").exists()


Snapshot = Callable[[Path], Path]


@pytest.fixture
def snapshot(tmp_path: Path) -> Snapshot:
    """Return what lays a folder out as huggingface_hub does: links into a folder of blobs."""

    def lay_out(folder: Path) -> Path:
        cache = tmp_path / "models--somebody--mood"
        place = cache / "snapshots" / "0123abc"
        place.mkdir(parents=True)
        (cache / "blobs").mkdir()
        for number, file in enumerate(sorted(each for each in folder.rglob("*") if each.is_file())):
            blob = cache / "blobs" / f"{number:040x}"
            blob.write_bytes(file.read_bytes())
            link = place / file.relative_to(folder)
            link.parent.mkdir(exist_ok=True)
            up = "../" * (len(link.relative_to(cache).parts) - 1)
            link.symlink_to(f"{up}blobs/{blob.name}")
        return place

    return lay_out


def test_a_snapshot_of_the_hub_is_loaded(tmp_path: Path, snapshot: Snapshot) -> None:
    original = text_predictor("word", True)
    folder, _ = folder_of(original, tmp_path)
    loaded = heedful.load(snapshot(folder))
    [wanted], [got] = original.predict(["the cat sat"]), loaded.predict(["the cat sat"])
    assert got == wanted


def test_files_that_did_not_arrive(tmp_path: Path, snapshot: Snapshot) -> None:
    folder, _ = folder_of(text_predictor("word", True), tmp_path)
    place = snapshot(folder)
    for name in ("model.safetensors", "vocabulary.json", "config.toml", "heedful.json"):
        file = (place / name).resolve()
        content = file.read_bytes()
        file.unlink()
        with pytest.raises(RunError, match=rf"{name}.*is missing.*download") as missing:
            heedful.load(place)
        assert "\n" not in str(missing.value)
        pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 34\n"
        file.write_text(pointer)
        with pytest.raises(RunError, match=rf"{name} is a Git LFS pointer.*git lfs pull") as lfs:
            heedful.load(place)
        assert "\n" not in str(lfs.value)
        file.write_bytes(content)
    heedful.load(place)


def test_links_elsewhere_are_still_refused(tmp_path: Path, snapshot: Snapshot) -> None:
    folder, _ = folder_of(text_predictor("word", True), tmp_path)
    place = snapshot(folder)
    outside = tmp_path / "elsewhere"
    outside.mkdir()
    target = outside / "vocabulary.json"
    target.write_bytes((place / "vocabulary.json").read_bytes())
    (place / "vocabulary.json").unlink()
    (place / "vocabulary.json").symlink_to(target)
    with pytest.raises(RunError, match="link out of its folder"):
        heedful.load(place)
    # blobs that are a link themselves
    (place / "vocabulary.json").unlink()
    (place / "vocabulary.json").symlink_to("../../blobs/vocabulary.json")
    blobs = place.parents[1] / "blobs"
    blobs.rename(tmp_path / "moved")
    target.rename(outside / "heedful.json")
    blobs.symlink_to(outside)
    with pytest.raises(RunError, match=r"link out of its folder|is missing"):
        heedful.load(place)


def test_the_folder_above_a_snapshot_says_which_to_give(tmp_path: Path, snapshot: Snapshot) -> None:
    folder, _ = folder_of(text_predictor("word", True), tmp_path)
    place = snapshot(folder)
    with pytest.raises(RunError, match="snapshots/0123abc"):
        heedful.load(place.parents[1])
