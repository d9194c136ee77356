"""What translators do about frequent source tokens: one definition with classifying, seen in weights and losses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from heedful.answers.text_base import TargetBatch
from heedful.config import build
from heedful.data.files import Pairs
from heedful.decode import SearchOptions, beam_search
from heedful.errors import OptionError
from heedful.inputs.pieces import PieceBatch
from heedful.models.frequency import inverse_frequency
from heedful.tasks.base import TrainingBatch
from heedful.tasks.predictor import Predictor
from heedful.tasks.translate import TASK as TRANSLATE
from heedful.tasks.translate import TranslationConfig
from heedful.training.events import Progress
from heedful.training.loop import train_model

PAIRS = Pairs(
    ["the dog runs", "the dog sleeps", "the man runs", "the cat sleeps the", "a bird"],
    ["der Hund rennt", "der Hund schläft", "der Mann rennt", "die Katze schläft", "ein Vogel"],
)
MODELS: dict[str, dict[str, Any]] = {
    "bahdanau, additive": {"kind": "gru", "embedding": 8, "hidden": 8},
    "bahdanau, two layers": {"kind": "lstm", "embedding": 8, "hidden": 8, "decoder_layers": 2},
    "luong, dot": {
        "kind": "gru", "embedding": 8, "hidden": 8, "attention": "dot", "order": "luong",
    },
    "luong, sparsemax": {
        "kind": "rnn", "embedding": 8, "hidden": 8, "attention": "bilinear", "order": "luong",
        "normalizer": "sparsemax",
    },
    "transformer": {
        "kind": "transformer", "width": 8, "feed_forward": 8, "heads": 2, "encoder_layers": 1,
        "decoder_layers": 2,
    },
    "transformer, additive": {
        "kind": "transformer", "width": 8, "feed_forward": 8, "heads": 2, "encoder_layers": 1,
        "decoder_layers": 1, "score": "additive",
    },
}  # fmt: skip
TRAINING = {
    "epochs": 2, "batch_tokens": 12, "threads": 1, "keep_freed_memory": False, "metric": "loss",
}  # fmt: skip


def configuration(model: str, **frequency: float) -> TranslationConfig:
    values = {
        "model": {**MODELS[model], "dropout": 0.0},
        "vocabulary": {"kind": "word", "min_frequency": 1},
        "frequency": frequency,
        "training": TRAINING,
    }
    return build(TranslationConfig, values)


def learned(model: str, **frequency: float) -> Predictor:
    """Fresh weights, large enough that attention is not even."""
    torch.manual_seed(0)
    translator = TRANSLATE.learn(configuration(model, **frequency), PAIRS)
    for parameter in translator.model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.4)
    translator.model.eval()
    return translator


def tensors() -> tuple[Tensor, Tensor, Tensor]:
    found = TRANSLATE.learn(configuration("luong, dot"), PAIRS)
    source = found.input.collate(found.input.encode(["the dog runs", "a cat"]))
    target = found.answer.collate(found.answer.encode(["der Hund rennt", "eine Katze"]))
    return source.ids, source.lengths, target.ids[:, :-1]


def answered(source: Tensor, lengths: Tensor, target: Tensor) -> TrainingBatch:
    return TrainingBatch(PieceBatch(source, lengths), TargetBatch(target, torch.tensor([4, 3])))


def test_frequencies_are_shares_of_source_tokens_and_special_tokens_have_none() -> None:
    config = build(TranslationConfig, {"vocabulary": {"kind": "word", "min_frequency": 2}})
    source = TRANSLATE.learn(config, PAIRS).input
    found = source.frequencies(PAIRS.source)
    [ids] = source.encode(["the dog bird"])
    the, dog, bird, end = (float(found[each]) for each in ids)
    assert (the, dog) == pytest.approx((5 / 15, 2 / 15))
    assert bird == end == 0.0
    assert float(found.sum()) == pytest.approx((5 + 2 + 2 + 2) / 15)


@pytest.mark.parametrize("model", ["bahdanau, additive", "luong, dot", "transformer"])
def test_weighing_down_multiplies_the_softmax_by_the_smoothed_inverse_frequency(model: str) -> None:
    source, lengths, target = tensors()
    plain, weighed = learned(model).model, learned(model, down_weight=0.05).model
    before = plain(source, lengths, target, return_weights=True).weights
    after = weighed(source, lengths, target, return_weights=True).weights
    shares = weighed.source_frequencies[source]
    wanted = before * inverse_frequency(shares, 0.05)[:, None, None, None]
    wanted = wanted / wanted.sum(-1, keepdim=True)
    # The first target position of the first layer is asked the same by both.
    torch.testing.assert_close(after[:, 0, :, 0], wanted[:, 0, :, 0])
    assert (after[0, 0, :, 0, 0] < before[0, 0, :, 0, 0]).all()  # "the"


@pytest.mark.parametrize("model", MODELS)
def test_one_step_at_a_time_and_beams_are_weighed_as_the_whole_is(model: str) -> None:
    source, lengths, target = tensors()
    weighed = learned(model, down_weight=0.05).model.double()
    whole = weighed(source, lengths, target).states
    state = weighed.start(source, lengths)
    for place in range(target.shape[1]):
        states, state = weighed.step(target[:, place], state)
        torch.testing.assert_close(states, whole[:, place])
    for index in (torch.tensor([1, 0, 0]), torch.tensor([1]), torch.tensor([0, 0, 1, 1])):
        _, first = weighed.step(target[:, 0], weighed.start(source, lengths))
        again, _ = weighed.step(target[index, 1], first.select(index))
        torch.testing.assert_close(again, whole[index, 1])
    one, two = (
        beam_search(
            weighed,
            source[:rows],
            lengths[:rows],
            begin=2,
            end=3,
            max_length=6,
            options=SearchOptions(beam=3),
        )
        for rows in (1, 2)
    )
    assert [each.tokens for each in one[0]] == [each.tokens for each in two[0]]


@pytest.mark.parametrize("model", MODELS)
def test_the_penalty_is_what_frequent_tokens_get_at_real_targets(model: str) -> None:
    source, lengths, target = tensors()
    batch = answered(source, lengths, target)
    losses = {
        penalty: TRANSLATE.loss(learned(model, penalty=penalty, smoothing=0.1))
        for penalty in (1e-9, 0.5)
    }
    translator = learned(model, penalty=0.5, smoothing=0.1)
    weights = translator.model(source, lengths, target[:, :-1], return_weights=True).weights
    found = translator.model.source_frequencies[source]
    spent = (weights.mean(dim=(1, 2)) * (found / (0.1 + found))[:, None]).sum(-1)
    wanted = 0.5 * (spent[0, :3].sum() + spent[1, :2].sum())
    free, paid = (loss.train()(batch) for loss in losses.values())
    torch.testing.assert_close(paid - free, wanted, rtol=1e-3, atol=1e-5)
    paid.backward()
    gradients = (p.grad for p in losses[0.5].parameters() if p.grad is not None)
    assert all(torch.isfinite(each).all() for each in gradients)
    quiet, quieter = (loss.eval()(batch) for loss in losses.values())
    torch.testing.assert_close(quiet, quieter)


def test_sub_sampling_leaves_out_source_tokens_while_training_alone() -> None:
    source, lengths, target = tensors()
    batch = answered(source, lengths, target)
    translator = learned("luong, dot", subsample=0.01)
    loss, read = TRANSLATE.loss(translator), []
    forward = translator.model.forward

    def watched(source: Tensor, lengths: Tensor, *others: Any, **options: Any) -> Any:
        rows = zip(source.tolist(), lengths.tolist(), strict=True)
        read.append([row[:length] for row, length in rows])
        return forward(source, lengths, *others, **options)

    translator.model.forward = watched
    loss.eval()(batch)
    [whole] = read
    assert whole == [row[:n] for row, n in zip(source.tolist(), lengths.tolist(), strict=True)]
    loss.train()
    for _ in range(300):
        loss(batch)
    the, kept = whole[0][0], [first for first, _ in read[1:]]
    assert all(row[-1] == 3 for row in kept), "the end token always stays"
    share = sum(the in row for row in kept) / len(kept)
    assert share == pytest.approx((0.01 / (5 / 15)) ** 0.5, abs=0.06)
    assert len({len(row) for row in kept}) > 1


@pytest.mark.parametrize("name", ["down_weight", "penalty"])
def test_a_model_without_attention_has_nothing_to_weigh(name: str) -> None:
    values = {"model": {"kind": "gru", "attention": "none"}, "frequency": {name: 0.1}}
    with pytest.raises(OptionError, match=f"frequency.{name} needs attention to the source"):
        build(TranslationConfig, values)
    values["frequency"] = {"subsample": 0.1}
    assert build(TranslationConfig, values).frequency.subsample == 0.1


def test_a_model_that_heeds_no_frequencies_keeps_none() -> None:
    names = learned("transformer").model.state_dict().keys()
    assert "source_frequencies" not in names
    with_them = learned("transformer", subsample=0.1).model.state_dict().keys()
    assert with_them - names == {"source_frequencies"}


def test_a_resumed_run_ends_with_the_same_bytes_and_a_loaded_one_weighs(tmp_path: Path) -> None:
    options = {"subsample": 0.1, "down_weight": 0.05, "penalty": 0.2}
    config = configuration("bahdanau, additive", **options)
    training = config.training.model_copy(update={"checkpoint_steps": 1, "progress_steps": 1})
    config = config.model_copy(update={"training": training})
    list(train_model(TRANSLATE, config, PAIRS, PAIRS, tmp_path / "whole"))
    events = train_model(TRANSLATE, config, PAIRS, PAIRS, tmp_path / "part")
    for event in events:
        if isinstance(event, Progress) and event.step == 3:
            break
    events.close()
    torch.rand(3)
    list(train_model(TRANSLATE, config, PAIRS, PAIRS, tmp_path / "part", resume=True))
    for name in ("model.safetensors", "config.toml"):
        assert (tmp_path / "part" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    loaded = TRANSLATE.load(tmp_path / "whole")
    wanted = loaded.input.frequencies(PAIRS.source)
    torch.testing.assert_close(loaded.model.source_frequencies, wanted)
    assert loaded.model.source_bias(torch.tensor([[int(wanted.argmax())]])) is not None
