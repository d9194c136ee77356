"""The schema: what it refuses, what it keeps, and that JSON gives it back."""

from __future__ import annotations

import json

import numpy
import pytest

from heedful.errors import DataError, HeedfulError, OptionError, ShapeError
from heedful.explore import (
    AttentionRecord,
    overall_mean,
    records_from_json,
    records_to_json,
    select,
)


def record(weights: object, mask: object = None, **changes: object) -> AttentionRecord:
    fields: dict[str, object] = {
        "module_path": "a.layers.1.b",
        "kind": "self",
        "layer": 1,
        "query_tokens": ("x", "y"),
        "key_tokens": ("u", "v", "w"),
    }
    return AttentionRecord(**(fields | {"weights": weights, "mask": mask} | changes))  # type: ignore[arg-type]


GENERATOR = numpy.random.default_rng(0)


def test_json_gives_back_everything(cross: AttentionRecord, causal: AttentionRecord) -> None:
    for one in (cross, causal):
        assert AttentionRecord.from_json(one.to_json()) == one
    assert records_from_json(records_to_json([cross, causal])) == [cross, causal]


def test_json_keeps_four_significant_digits_and_then_is_stable() -> None:
    precise = record(GENERATOR.random((2, 2, 3)) ** 8)
    again = AttentionRecord.from_json(precise.to_json())
    assert again == precise.rounded() != precise
    numpy.testing.assert_allclose(again.weights, precise.weights, rtol=5e-4)
    assert again.to_json() == precise.to_json()


def test_json_keeps_a_mask_of_each_head() -> None:
    mask = GENERATOR.random((2, 2, 3)) > 0.5
    masked = record(numpy.ones((2, 2, 3)), mask)
    again = AttentionRecord.from_json(masked.to_json())
    numpy.testing.assert_array_equal(again.allowed, mask)


def test_masked_cells_may_hold_anything_and_are_kept_as_zero() -> None:
    mask = [[[True, False, True], [True, True, True]]]
    one = record([[[0.5, numpy.nan, 0.5], [1.0, 0.0, 0.0]]], mask)
    assert one.weights[0, 0].tolist() == [0.5, 0.0, 0.5]
    assert "NaN" not in one.to_json()


@pytest.mark.parametrize("bad", [numpy.nan, numpy.inf])
def test_a_weight_that_is_no_number_is_refused(bad: float) -> None:
    with pytest.raises(HeedfulError, match=r"weights of 'a.layers.1.b' contain NaN or infinity"):
        record([[[bad, 0, 0], [0, 0, 0]]])


@pytest.mark.parametrize("shape", [(2, 3), (1, 3, 2), (0, 2, 3), (1, 1, 2, 3)])
def test_weights_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match=r"expected \(heads, 2, 3\) for 2 query and 3 key"):
        record(numpy.zeros(shape))


@pytest.mark.parametrize("shape", [(2, 3), (3, 2, 3), (1, 3, 2)])
def test_a_mask_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match=r"mask of .* expected \(1, 2, 3\) or \(2, 2, 3\)"):
        record(numpy.zeros((2, 2, 3)), numpy.ones(shape, dtype=bool))


def test_masks_that_mean_the_same_are_the_same() -> None:
    weights, one = numpy.ones((2, 2, 3)), GENERATOR.random((1, 2, 3)) > 0.5
    assert record(weights, numpy.ones((2, 2, 3), dtype=bool)).mask is None
    assert record(weights, numpy.concatenate([one, one])).mask.shape == (1, 2, 3)
    assert record(weights, numpy.concatenate([one, one])) == record(weights, one)


def test_a_record_is_a_value() -> None:
    weights = numpy.ones((1, 2, 3))
    one, other = record(weights), record(weights)
    weights[:] = 7
    assert one == other
    assert hash(one) == hash(other)
    assert one != record(weights)
    assert one != record(numpy.ones((1, 2, 3)), backend="sdpa")
    assert one != "a record"
    with pytest.raises(ValueError, match="read-only"):
        one.weights[0] = 1


def test_heads_and_their_mean(cross: AttentionRecord, causal: AttentionRecord) -> None:
    assert (cross.heads, causal.heads) == (2, 1)
    numpy.testing.assert_array_equal(cross.head(1).weights[0], cross.weights[1])
    numpy.testing.assert_allclose(cross.mean().weights[0, 0], [0.4, 0.1, 0.1, 0.4])
    assert cross.mean().heads == 1
    with pytest.raises(OptionError, match="no head 3; its heads are 1 to 2"):
        cross.head(2)


def test_a_cell_of_the_mean_is_masked_only_where_all_heads_mask_it() -> None:
    mask = numpy.array([[[True, False, False]] * 2, [[True, True, False]] * 2])
    assert record(numpy.ones((2, 2, 3)), mask).mean().mask[0, 0].tolist() == [True, True, False]


def test_from_json_refuses_what_is_no_record(cross: AttentionRecord) -> None:
    values = cross.to_dict()
    with pytest.raises(DataError, match="not the JSON of attention records"):
        AttentionRecord.from_json("{")
    with pytest.raises(DataError, match="has the fields"):
        AttentionRecord.from_json(json.dumps({**values, "color": "red"}))
    with pytest.raises(DataError, match="has the fields .* got list"):
        AttentionRecord.from_json("[]")
    with pytest.raises(DataError, match="wrong type"):
        AttentionRecord.from_json(json.dumps({**values, "mask": [["10x1"]]}))
    with pytest.raises(DataError, match="wrong type"):
        AttentionRecord.from_json(json.dumps({**values, "weights": "many"}))
    with pytest.raises(DataError, match="says heads=3; its weights have 2"):
        AttentionRecord.from_json(json.dumps({**values, "heads": 3}))
    with pytest.raises(ShapeError, match="expected"):
        AttentionRecord.from_json(json.dumps({**values, "query_tokens": ["one"]}))


def test_records_from_json_names_the_schema() -> None:
    with pytest.raises(DataError, match="expected the schema 'heedful.attention/1', got 'other'"):
        records_from_json('{"schema": "other"}')
    with pytest.raises(DataError, match="got None"):
        records_from_json("[]")


def test_select_and_what_it_refuses(cross: AttentionRecord, causal: AttentionRecord) -> None:
    both = [cross, causal]
    assert select(both) == both
    assert select(both, kind="decoder") == [causal]
    assert select(both, layer=0, kind="cross", head=1) == [cross.head(1)]
    with pytest.raises(OptionError, match="did you mean 'cross'"):
        select(both, kind="crosss")
    with pytest.raises(OptionError, match="no layer 3 here; the layers are: 1"):
        select(both, layer=2)
    with pytest.raises(OptionError, match="no head 2"):
        select(both, head=1)


def test_overall_mean_weighs_every_head_alike(cross: AttentionRecord) -> None:
    three_heads = overall_mean([cross, cross.head(0)])
    expected = (2 * cross.weights[0] + cross.weights[1]) / 3
    numpy.testing.assert_allclose(three_heads.weights[0], expected, rtol=1e-6)


def test_overall_mean_refuses_other_tokens(cross: AttentionRecord, causal: AttentionRecord) -> None:
    with pytest.raises(OptionError, match="different tokens cannot be averaged"):
        overall_mean([cross, causal])
    with pytest.raises(OptionError, match="no attention records to average"):
        overall_mean([])
