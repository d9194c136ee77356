from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from heedful import run_folder
from heedful.answers.alignment import Alignment
from heedful.answers.text import Candidate, Generated
from heedful.answers.text_metrics import score_translations
from heedful.config import build
from heedful.data.files import Pairs
from heedful.errors import DataError, OptionError, RunError, ShapeError
from heedful.tasks.alignment import align_words, encode_pair
from heedful.tasks.predictor import Predictor
from heedful.tasks.translate import TASK as TRANSLATE
from heedful.tasks.translate import TranslationConfig

PAIRS = Pairs(
    ["Ein Hund rennt.", "Zwei Männer gehen.", "Ein Mann geht im Schnee.", "我喜欢你。"],
    ["A dog runs.", "Two men walk.", "A man walks in the snow.", "I like you."],
)
SMALL = {
    "transformer": {"width": 8, "feed_forward": 8, "heads": 2, "encoder_layers": 1},
    "gru": {"embedding": 8, "hidden": 8},
    "lstm": {"embedding": 8, "hidden": 8, "attention": "none"},
    "rnn": {"embedding": 8, "hidden": 8, "order": "luong"},
}


def untrained(model="transformer", **vocabulary) -> Predictor:
    config = build(
        TranslationConfig,
        {
            "model": {"kind": model, **SMALL[model]},
            "vocabulary": {"size": 120, "min_frequency": 1, **vocabulary},
        },
    )
    torch.manual_seed(0)
    return TRANSLATE.learn(config, PAIRS)


@pytest.fixture
def run(tmp_path):
    folder = run_folder.create(tmp_path / "run", "translate")
    translator = untrained()
    translator.save(folder)
    translator.save_weights(folder / run_folder.WEIGHTS)
    return folder


@pytest.mark.parametrize("kind", SMALL)
@pytest.mark.parametrize("vocabulary", ["bpe", "unigram", "word", "char"])
def test_every_model_and_vocabulary_translates_and_aligns(kind, vocabulary):
    translator = untrained(kind, kind=vocabulary, shared=vocabulary != "word")
    found = list(translator.predict(PAIRS.source, beam=2))
    assert [len(each) for each in found] == [1, 1, 1, 1]
    alignment = align_words(translator, "Ein Mann rennt.", "A man runs fast.")
    assert alignment.source_words == ["Ein", "Mann", "rennt."]
    assert alignment.target_words == ["A", "man", "runs", "fast."]
    assert all(0 <= weight <= 1 for row in alignment.weights for weight in row)
    assert alignment.method == ("gradient" if kind == "lstm" else "attention")
    assert [pair.split("-")[1] for pair in alignment.pharaoh().split()] == ["0", "1", "2", "3"]
    assert align_words(translator, "我喜欢你。", "I like you.").source_words == [
        "我",
        "喜",
        "欢",
        "你",
        "。",
    ]


def test_order_is_kept_over_chunks_batches_and_empty_lines():
    translator = untrained()
    texts = ["Ein Hund rennt im Schnee.", "", "Ein", "  ", "Zwei Männer gehen.", "Hund Hund"]
    alone = [next(translator.predict([text])) for text in texts]
    decoding = translator.config.decoding.model_copy(update={"chunk": 4, "batch_tokens": 8})
    translator.config = translator.config.model_copy(update={"decoding": decoding})
    together = list(translator.predict(iter(texts)))
    assert [each[0].text for each in together] == [each[0].text for each in alone]
    assert [bool(each[0].text) for each in together] == [True, False, True, False, True, True]


def test_translating_streams():
    translator = untrained()
    decoding = translator.config.decoding.model_copy(update={"chunk": 2})
    translator.config = translator.config.model_copy(update={"decoding": decoding})
    read = []

    def lines():
        for number in range(10):
            read.append(number)
            yield "Ein Hund."

    next(translator.predict(lines()))
    assert read == [0, 1]


def test_options_of_translate():
    translator = untrained()
    assert translator.config.decoding.beam == 5
    five, default, one = (
        [each[0] for each in translator.predict(PAIRS.source, beam=beam)] for beam in (5, None, 1)
    )
    assert default == five != one
    found = next(translator.predict(["Ein Hund."], beam=4, nbest=3))
    assert len(found) == 3
    assert [each.score for each in found] == sorted((each.score for each in found), reverse=True)
    plain = next(translator.predict(["Ein Hund."], length_penalty=0.0))
    assert plain[0].score != next(translator.predict(["Ein Hund."]))[0].score
    for options, message in (
        ({"beam": 0}, "beam must be at least 1"),
        ({"beam": 2, "nbest": 3}, "nbest must be from 1 to the beam, 2"),
        ({"length_penalty": -1.0}, "length_penalty must be a number of at least 0"),
    ):
        with pytest.raises(OptionError, match=message):
            translator.predict(["Ein"], **options)


def test_the_longest_translation_follows_the_source():
    translator = untrained()
    decoding = translator.config.decoding.model_copy(update={"max_length_ratio": 1e-9})
    translator.answer = replace(translator.answer, decoding=decoding)
    assert all(len(e[0].tokens) <= 10 for e in translator.predict(PAIRS.source, beam=1))


def test_aligning_nothing_is_refused():
    with pytest.raises(DataError, match="the target has no words"):
        align_words(untrained(), "Ein Hund", " ")


def test_pharaoh_takes_the_greatest_weight():
    weights = [[0.2, 0.8], [0.9, 0.1], [0.5, 0.5]]
    assert Alignment(["a", "b"], ["c", "d", "e"], weights, "attention").pharaoh() == "1-0 0-1 0-2"


def test_tensors_name_every_token():
    tensors = encode_pair(untrained(), "Ein Hund.", "A dog.")
    assert tensors.source.shape == (1, len(tensors.source_pieces))
    assert tensors.target.shape == (1, len(tensors.target_pieces))
    assert (tensors.source_pieces[-1], tensors.target_pieces[0]) == ("<end>", "<begin>")
    assert len(tensors.source_words) == len(tensors.source_pieces) - 1
    assert len(tensors.target_words) == len(tensors.target_pieces) - 1


def test_a_run_loads_as_it_was_saved(run):
    before, after = untrained(), TRANSLATE.load(run)
    assert after.config == before.config
    assert not after.model.training
    for name, tensor in before.model.state_dict().items():
        assert torch.equal(after.model.state_dict()[name], tensor)
    assert list(after.predict(PAIRS.source)) == list(before.predict(PAIRS.source))


def test_lowercase_is_kept():
    translator = untrained(lowercase=True)
    assert translator.input.vocabulary.encode("HUND").ids == (
        translator.input.vocabulary.encode("hund").ids
    )
    assert align_words(translator, "Ein HUND", "a DOG").target_words == ["a", "dog"]


@pytest.mark.parametrize("lowercase", [True, False])
def test_a_vocabulary_without_case_is_scored_without_case(lowercase):
    answer = untrained(lowercase=lowercase).answer
    lower = [Generated((Candidate(text.lower(), 0.0, ()),)) for text in PAIRS.target]
    scores = answer.score(lower, PAIRS)
    assert (scores.exact_match == 1) is lowercase
    assert (scores.bleu > 99) is lowercase
    bleu = answer.value(answer.statistics(lower, PAIRS).sum(axis=0))
    assert float(bleu) == pytest.approx(scores.bleu)
    assert answer.score_by_length(lower, PAIRS)[0].bleu == pytest.approx(scores.bleu)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("model.safetensors", b"", "truncated or corrupt"),
        ("model.safetensors", None, "is missing; copy the run folder again"),
        ("heedful.json", None, "is not a run folder"),
        ("heedful.json", b"{", "heedful.json is corrupt"),
        (
            "heedful.json",
            json.dumps({"task": "tag", "format": 1}).encode(),
            "is a run of the task 'tag'",
        ),
        ("heedful.json", json.dumps({"task": "translate", "format": 9}).encode(), "has format 9"),
        ("config.toml", b"[model]\nwidth = 16", "does not match the model"),
        ("config.toml", b"[model]\nwidht = 16", "did you mean 'model.width'"),
        ("config.toml", None, r"config\.toml is missing"),
        ("source_vocabulary.json", b"{", "source_vocabulary.json"),
    ],
)
def test_damaged_runs(run, name, content, message):
    path = run / name
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RunError, match=message):
        TRANSLATE.load(run)


def test_weights_cut_anywhere(run):
    path = run / run_folder.WEIGHTS
    content = path.read_bytes()
    for keep in (4, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:keep])
        with pytest.raises(RunError, match="truncated or corrupt"):
            TRANSLATE.load(run)


def test_a_missing_run(tmp_path):
    with pytest.raises(RunError, match="does not exist"):
        TRANSLATE.load(tmp_path / "none")


def test_scores_of_known_translations():
    same = score_translations(["Ein Hund im Schnee ."], ["Ein Hund im Schnee ."])
    assert same.bleu == pytest.approx(100)
    assert same.exact_match == 1
    other = score_translations(["EIN HUND IM SCHNEE .", "x"], ["Ein Hund im Schnee .", "y"])
    assert other.bleu < other.bleu_lowercase_tokenized
    assert other.exact_match == 0
    assert "version" in other.bleu_signature
    assert "case:lc" in other.bleu_lowercase_tokenized_signature
    for translations, references in (([], []), (["a"], ["a", "b"])):
        with pytest.raises(ShapeError, match="expected equal numbers"):
            score_translations(translations, references)
