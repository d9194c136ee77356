from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from heedful.errors import OptionError, ShapeError
from heedful.models import TransformerConfig, TransformerEncoderDecoder
from heedful.models.config import choices_of
from heedful.nn import (
    ACTIVATIONS,
    NORMALIZER_BUILDERS,
    NORMS,
    POSITIONS,
    SCORE_MODULES,
    MultiHeadAttention,
)
from heedful.ops.observe import observing

SMALL = {"width": 8, "feed_forward": 12, "heads": 2, "encoder_layers": 2, "decoder_layers": 3}
SOURCE, TARGET = 13, 17

# One choice at a time, from the tables, and the ways of giving positions in each place.
CHOICES = [
    {},
    *({"score": name} for name in SCORE_MODULES),
    *({"normalizer": name} for name in NORMALIZER_BUILDERS),
    *({"activation": name} for name in ACTIVATIONS),
    *({"positions": name} for name in POSITIONS),
    *(
        {"positions": name, "positions_how": how}
        for name in ("sinusoidal", "learned")
        for how in ("concat", "every_layer")
    ),
    *({"positions": "rotary", "score": name} for name in ("low_rank", "bilinear", "cosine")),
    {"positions": "relative", "score": "additive", "key_heads": 1},
    {"norm": "post"},
    {"key_heads": 1},
    {"tie_embeddings": False},
]


def name_of(options):
    return "-".join(map(str, options.values())) or "default"


def built(sizes=(SOURCE, TARGET), **options):
    torch.manual_seed(7)
    model = TransformerEncoderDecoder(
        TransformerConfig(**{**SMALL, "dropout": 0.0, **options}), *sizes
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return model


def batch():
    source, target = torch.randint(4, SOURCE, (3, 6)), torch.randint(4, TARGET, (3, 5))
    return source, torch.tensor([6, 2, 4]), target


@pytest.mark.parametrize("options", CHOICES, ids=name_of)
def test_shapes_and_every_parameter_learns(options):
    model = built(**options)
    states, weights = model(*batch(), return_weights=True)
    assert states.shape == (3, 5, 8)
    assert weights.shape == (3, 3, 2, 5, 6)
    assert model.output(states).shape == (3, 5, TARGET)
    model.output(states).square().sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize("options", CHOICES, ids=name_of)
def test_asking_for_weights_and_padding_and_neighbours_change_nothing(options):
    model = built(**options)
    source, lengths, target = batch()
    states, weights = model(source, lengths, target, return_weights=True)
    torch.testing.assert_close(model(source, lengths, target).states, states)
    other = source.clone()
    for row, length in enumerate(lengths.tolist()):
        other[row, length:] = 0
        alone = model(
            source[row : row + 1, :length],
            lengths[row : row + 1],
            target[row : row + 1],
            return_weights=True,
        )
        torch.testing.assert_close(alone.states[0], states[row], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(
            alone.weights[0], weights[row, ..., :length], atol=1e-5, rtol=1e-4
        )
        assert bool((weights[row, ..., length:] == 0).all())
    torch.testing.assert_close(model(other, lengths, target).states, states)


@pytest.mark.parametrize("options", CHOICES, ids=name_of)
def test_the_future_never_shows(options):
    model = built(**options)
    source, lengths, target = batch()
    states = model(source, lengths, target).states
    target[:, 3:] = 4
    torch.testing.assert_close(model(source, lengths, target).states[:, :3], states[:, :3])


@pytest.mark.parametrize("options", CHOICES, ids=name_of)
def test_step_by_step_is_the_whole(options):
    model = built(**options).eval()
    source, lengths, target = batch()
    whole = model(source, lengths, target).states
    state = model.start(source, lengths)
    for step in range(target.shape[1]):
        states, state = model.step(target[:, step], state)
        torch.testing.assert_close(states, whole[:, step], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("options", CHOICES, ids=name_of)
def test_save_and_load(options):
    first = built(**options)
    second = TransformerEncoderDecoder(first.config, SOURCE, TARGET)
    second.load_state_dict(first.state_dict())
    arguments = batch()
    assert torch.equal(first(*arguments).states, second(*arguments).states)


def test_every_choice_changes_the_output():
    arguments = batch()
    outputs = {name_of(options): built(**options)(*arguments).states for options in CHOICES}
    # These name a default, or act on the logits alone.
    same = {"scaled_dot", "softmax", "relu", "sinusoidal", "False"}
    names = [name for name in outputs if name not in same]
    flat = torch.stack([outputs[name].detach().flatten() for name in names])
    largest_difference = torch.cdist(flat, flat, p=float("inf")).fill_diagonal_(1)
    # A soft cap of 50 changes the small scores of fresh weights by little.
    assert float(largest_difference.min()) > 1e-4


# Hypotheses: rows selected, repeated, dropped


ORDERS = {
    "beams of every sentence": [0, 0, 1, 1, 2, 2],
    "a sentence is finished": [0, 0, 2, 2],
    "unequal numbers": [0, 1, 1, 2],
    "another order": [2, 2, 0, 0, 1, 1],
    "one row": [1],
    "interleaved": [0, 1, 0, 1],
}


@pytest.mark.parametrize("score", ["scaled_dot", "additive"])
@pytest.mark.parametrize("name", ORDERS)
def test_selected_rows_decode_as_if_alone(name, score):
    model = built(score=score).eval()
    source, lengths, target = batch()
    rows = torch.tensor(ORDERS[name])
    wanted = model(source[rows], lengths[rows], target[rows]).states
    _, state = model.step(target[:, 0], model.start(source, lengths))
    state = state.select(rows)
    for step in range(1, 4):
        states, state = model.step(target[rows, step], state)
        torch.testing.assert_close(states, wanted[:, step], atol=1e-5, rtol=1e-4)


def test_beams_are_reordered_without_copying_the_memory():
    model = built().eval()
    source, lengths, target = batch()
    first = torch.arange(3).repeat_interleave(2)
    state = model.start(source, lengths).select(first)
    _, state = model.step(target[first, 0], state)
    swapped = state.select(torch.tensor([1, 0, 2, 2, 5, 4]))
    assert swapped.beams == 2
    for before, after in zip(state.layers, swapped.layers, strict=True):
        assert after.cross_attention is before.cross_attention
    assert swapped.position == 1
    dropped = swapped.select(torch.tensor([2, 3]))
    assert dropped.layers[0].cross_attention.value.shape[0] == 1
    assert dropped.memory_mask.keep.shape == (1, 1, 1, 6)


# What the explorer and the decoder rely on


def test_module_paths_and_kinds_can_be_read():
    kinds = {
        path: module.kind
        for path, module in built().named_modules()
        if isinstance(module, MultiHeadAttention)
    }
    assert kinds["encoder.layers.1.self_attention"] == "encoder"
    assert kinds["decoder.layers.2.self_attention"] == "decoder"
    assert kinds["decoder.layers.0.cross_attention"] == "cross"
    assert len(kinds) == 2 + 2 * 3


def test_every_attention_can_be_observed():
    seen = []
    model = built()
    with observing(seen.append):
        model(*batch())
    assert [tuple(one.weights.shape) for one in seen].count((3, 2, 5, 6)) == 3
    assert len(seen) == 8


def test_alignment_layer_is_the_last_but_one():
    assert built().alignment_layer == 1
    assert built(decoder_layers=1).alignment_layer == 0
    assert TransformerEncoderDecoder.has_attention


def test_embeddings_can_be_tied_and_shared():
    tied = built()
    assert tied.output_projection is None
    shared = built(sizes=(TARGET, TARGET), share_embeddings=True)
    assert shared.source_embedding is shared.target_embedding
    assert len(list(shared.parameters())) == len(list(tied.parameters())) - 1
    loose = built(tie_embeddings=False)
    assert loose.output_projection.weight.shape == (TARGET, 8)
    with pytest.raises(OptionError, match="source has 13 tokens and the target 17"):
        built(share_embeddings=True)


def test_states_start_at_unit_size():
    torch.manual_seed(0)
    model = TransformerEncoderDecoder(TransformerConfig(), 100, 100).eval()
    source, lengths, target = batch()
    assert 0.8 < float(model.encode(source, lengths).values.std().detach()) < 1.2
    logits = model.output(model(source, lengths, target).states)
    assert 0.5 < float(logits.std().detach()) < 2


@pytest.mark.parametrize("option", ["dropout", "attention_dropout", "activation_dropout"])
def test_dropouts_act_while_training_alone(option):
    arguments = batch()
    model = built(**{option: 0.5})
    assert not torch.equal(model(*arguments).states, model(*arguments).states)
    torch.testing.assert_close(model.eval()(*arguments).states, built()(*arguments).states)


@pytest.mark.parametrize("option", ["width", "feed_forward", "encoder_layers", "decoder_layers"])
def test_sizes_are_heard(option):
    def parameters(model):
        return sum(parameter.numel() for parameter in model.parameters())

    assert parameters(built(**{option: SMALL[option] * 2})) > parameters(built())


def test_max_length_is_that_of_learned_positions():
    model = built(positions="learned", max_length=5)
    source, lengths, target = batch()
    with pytest.raises(ShapeError, match="those learned are 0 to 4"):
        model(source, lengths, target)
    assert built(max_length=5)(source, lengths, target).states.shape == (3, 5, 8)


@pytest.mark.long
def test_compiles_whole():
    model = built(encoder_layers=1, decoder_layers=1).eval()
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    arguments = batch()
    torch.testing.assert_close(
        compiled(*arguments).states, model(*arguments).states, atol=1e-5, rtol=1e-4
    )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_by_autocast_and_by_weights_stays_near(dtype):
    model = built().eval()
    source, lengths, target = batch()
    wanted = model(source, lengths, target).states
    with torch.autocast("cpu", dtype):
        states = model(source, lengths, target).states
        first, _ = model.step(target[:, 0], model.start(source, lengths))
    assert float((first.float() - wanted[:, 0]).abs().mean().detach()) < 0.05
    states.float().square().sum().backward()
    assert all(bool(p.grad.isfinite().all()) for p in model.parameters())
    assert float((states.float() - wanted).abs().mean().detach()) < 0.05
    half = built().eval().to(dtype)(source, lengths, target).states
    assert half.dtype == dtype
    assert float((half.float() - wanted).abs().mean().detach()) < 0.1


# The configuration


@pytest.mark.parametrize(
    ("field", "table"),
    [
        ("score", SCORE_MODULES),
        ("normalizer", NORMALIZER_BUILDERS),
        ("activation", ACTIVATIONS),
        ("positions", POSITIONS),
        ("norm", NORMS),
    ],
)
def test_choices_are_those_of_the_tables(field, table):
    assert choices_of(TransformerConfig.model_fields[field]) == tuple(table)


def test_every_field_is_described():
    for name, field in TransformerConfig.model_fields.items():
        assert field.description, name


def test_configuration_is_strict_and_frozen():
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        TransformerConfig(widht=8)
    with pytest.raises(ValidationError, match="unknown score 'aditive'; did you mean 'additive'"):
        TransformerConfig(score="aditive")
    with pytest.raises(ValidationError, match="frozen"):
        TransformerConfig().width = 3


def test_options_that_do_not_go_together_are_named():
    with pytest.raises(ValidationError, match="heads = 3 does not divide width = 8"):
        built(heads=3)
    with pytest.raises(ValidationError, match="key_heads = 3 does not divide heads = 2"):
        built(key_heads=3)
    with pytest.raises(OptionError, match="inner product"):
        built(positions="rotary", score="additive")
    with pytest.raises(ShapeError, match="make it even"):
        built(positions="rotary", width=6, heads=2)
