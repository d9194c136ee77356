"""Every error at the door says what was got, what was wanted and how to mend it."""

# ruff: noqa: E501 - a table reads best with a case a line

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor

from heedful import (
    BackendError,
    DeviceError,
    DtypeError,
    HeedfulError,
    MaskError,
    OptionError,
    ShapeError,
    attend,
    band_weights,
    masks,
    normalizers,
    ops,
    plan,
    positions,
    scores,
)
from heedful.ops.cells import Cells
from heedful.ops.rows import Rows

ones = torch.ones
LONG = torch.int64


def call(query=(2, 4, 5, 8), key=(2, 4, 7, 8), value=(2, 4, 7, 6), **options: object) -> object:  # type: ignore[no-untyped-def]
    tensors = [ones(*side) if isinstance(side, tuple) else side for side in (query, key, value)]
    return attend(*tensors, **options)  # type: ignore[arg-type]


def meta(*shape: int) -> torch.Tensor:
    return torch.empty(*shape, device="meta")


@dataclass(frozen=True, eq=False)
class Own(masks.Mask):
    """A mask that says what it is told to."""

    answer: Callable[[Cells], object]

    def at(self, cells: Cells) -> Tensor:
        return self.answer(cells)  # type: ignore[return-value]


# fmt: off
CASES: dict[str, tuple[Callable[[], object], type[HeedfulError], str]] = {
    "query no tensor": (lambda: attend([1.0], ones(1, 1), ones(1, 1)), DtypeError, r"query is a list; it must be a tensor"),  # type: ignore[arg-type]
    "value no tensor": (lambda: attend(ones(1, 1), ones(1, 1), None), DtypeError, r"value is a NoneType; it must be a tensor"),  # type: ignore[arg-type]
    "key no tensor": (lambda: attend(ones(1, 1), 3, ones(1, 1)), DtypeError, r"key is a int; .*score\.prepare_key"),  # type: ignore[arg-type]
    "score a name": (lambda: call(score="dot"), OptionError, r"score is 'dot'; give a value of heedful\.scores"),
    "score a class": (lambda: call(score=scores.Dot), OptionError, r"such as scores\.ScaledDot\(\)"),
    "normalizer a name": (lambda: call(normalizer="softmax"), OptionError, r"normalizer is 'softmax'; give a value"),
    "prepared by another": (lambda: call(key=scores.Cosine(1.0).prepare_key(ones(2, 4, 7, 8))), OptionError, r"prepared by the score cosine, but this call uses scaled_dot; prepare it"),
    "integer query": (lambda: call(query=ones(2, 4, 5, 8).long()), DtypeError, r"query is torch\.int64; .*query\.float\(\)"),
    "mixed dtypes": (lambda: call(key=ones(2, 4, 7, 8).double()), DtypeError, r"query is torch\.float32, key torch\.float64 and value torch\.float32; make them equal"),
    "value dtype": (lambda: call(value=ones(2, 4, 7, 8).half()), DtypeError, r"value torch\.float16; make them equal"),
    "score dtype": (lambda: call(score=scores.Bilinear(ones(8, 8).double())), DtypeError, r"bilinear score holds torch\.float64 and the query is torch\.float32"),
    "one axis": (lambda: call(query=(8,)), ShapeError, r"got query \(8,\), key \(2, 4, 7, 8\).*same number of axes.*unsqueeze"),
    "other rank": (lambda: call(query=(2, 5, 8)), ShapeError, r"got query \(2, 5, 8\).*same number of axes"),
    "values unequal": (lambda: call(value=(2, 4, 6, 8)), ShapeError, r"7 keys but 6 values; each key wants one value"),
    "features unequal": (lambda: call(key=(2, 4, 7, 3)), ShapeError, r"query has 8 features and key 3 .*scores\.Bilinear"),
    "gqa without heads": (lambda: call((5, 8), (7, 8), (7, 8), enable_gqa=True), ShapeError, r"enable_gqa wants a heads axis.*\(5, 8\)"),
    "gqa undivided": (lambda: call(key=(2, 3, 7, 8), value=(2, 3, 7, 8), enable_gqa=True), ShapeError, r"4 query heads, 3 key heads and 3 value heads; .*must divide"),
    "gqa key and value": (lambda: call(key=(2, 2, 7, 8), value=(2, 4, 7, 8), enable_gqa=True), ShapeError, r"2 key heads and 4 value heads"),
    "gqa not asked for": (lambda: call(key=(2, 2, 7, 8), value=(2, 2, 7, 8)), ShapeError, r"do not broadcast; fewer key heads than query heads want enable_gqa=True"),
    "batch": (lambda: call(query=(3, 4, 5, 8)), ShapeError, r"leading axes of query \(3, 4\), key \(2, 4\) and value \(2, 4\).*do not broadcast"),
    "score's heads": (lambda: call(score=scores.Bilinear(ones(3, 8, 8))), ShapeError, r"bilinear score's parameters for queries \(3,\)"),
    "score's axes": (lambda: call(score=scores.Bilinear(ones(9, 2, 4, 8, 8))), ShapeError, r"queries \(9, 2, 4\) and keys \(\)"),
    "dropout": (lambda: call(dropout_p=1.5), OptionError, r"dropout_p is 1\.5; it is a probability, from 0 to 1"),
    "dropout negative": (lambda: call(dropout_p=-0.1), OptionError, r"dropout_p is -0\.1"),
    "backend": (lambda: call(backend="spda"), OptionError, r"unknown backend 'spda'; did you mean 'sdpa'\?.*auto, sdpa, .*band, .*chunked, reference"),
    "bias type": (lambda: call(bias=0.5), DtypeError, r"bias is a float; give a tensor .*heedful\.positions"),
    "bias integer": (lambda: call(bias=ones(5, 7).long()), DtypeError, r"bias is torch\.int64; .*goes into `mask`"),
    "bias boolean": (lambda: call(bias=ones(5, 7).bool()), DtypeError, r"bias is torch\.bool.*`mask`"),
    "bias rank": (lambda: call(bias=ones(2, 5, 7)), ShapeError, r"bias has shape \(2, 5, 7\), of rank 3; .*in doubt.*bias\[:, None\]"),
    "bias shape": (lambda: call(bias=ones(7, 5)), ShapeError, r"bias has shape \(7, 5\), which does not broadcast to \(2, 4, 5, 7\)"),
    "bias heads": (lambda: call(bias=positions.ALiBi.for_heads(3)), ShapeError, r"ALiBi holds 3 heads, but the call's leading axes are \(2, 4\); give inputs"),
    "alpha learned": (lambda: call(normalizer=normalizers.Entmax(torch.tensor([1.5, 1.2, 1.0, 1.3]))), OptionError, r"a tensor that holds 1, but a learned alpha is above 1; .*clamp\(min=1\.01\)"),
    "alpha learned NaN": (lambda: call(normalizer=normalizers.Entmax(torch.tensor(float("nan")))), OptionError, r"holds nan"),
    "alpha heads": (lambda: call(normalizer=normalizers.Entmax(ones(3) * 1.5)), ShapeError, r"entmax normalizer holds a tensor of shape \(3,\).*\(2, 4\); give it one number for all, or one a head"),
    "mask a list": (lambda: call(mask=[[True]]), MaskError, r"boolean tensor \(True = may attend\), not list"),
    "mask integer": (lambda: call(mask=ones(5, 7).long()), DtypeError, r"a mask is boolean .*torch\.int64; write `mask\.bool\(\)` if 1 keeps, `mask == 0` if 1 drops"),
    "mask float": (lambda: call(mask=ones(5, 7)), DtypeError, r"torch\.float32; .*pass numbers to be added to the scores as `bias`"),
    "mask rank 3": (lambda: call(mask=ones(2, 5, 7).bool()), MaskError, r"mask has shape \(2, 5, 7\), of rank 3; .*in doubt.*mask\[:, None\]"),
    "mask rank 1": (lambda: call(mask=ones(7).bool()), MaskError, r"of rank 1.*Give it \(query, key\) = \(5, 7\)"),
    "mask shape": (lambda: call(mask=ones(2, 7).bool()), ShapeError, r"mask has shape \(2, 7\), which does not broadcast to \(2, 4, 5, 7\).*mask\[:, None, None, :\]"),
    "mask inside others": (lambda: call(mask=~(masks.Window(1, 1) | ones(7, 5).bool())), ShapeError, r"\(7, 5\), which does not broadcast"),
    "mask and'ed with a number": (lambda: masks.Window(1, 1) & 3, MaskError, r"not int"),  # type: ignore[operator]
    "causal unequal": (lambda: call(mask=masks.Causal()), MaskError, r'5 queries and 7 keys is ambiguous; write Causal\(align="top_left"\).*bottom_right'),
    "causal unequal inside": (lambda: call(mask=masks.Window(1, 1) & ~masks.Causal()), MaskError, r"is ambiguous"),
    "causal align": (lambda: masks.Causal(align="topleft"), OptionError, r"unknown align 'topleft'; did you mean 'top_left'"),  # type: ignore[arg-type]
    "window align": (lambda: masks.Window(1, 1, align=None), OptionError, r"unknown align None"),  # type: ignore[arg-type]
    "window left": (lambda: masks.Window(-1, 0), OptionError, r"Window\(left=-1\): a side is a whole number, 0 or more, or None for unbounded"),
    "window right": (lambda: masks.Window(None, -2), OptionError, r"Window\(right=-2\)"),
    "global": (lambda: masks.Global(-1), OptionError, r"Global\(left=-1\): a side is a whole number"),
    "lengths float": (lambda: masks.Padding(ones(2)), DtypeError, r"key_lengths counts keys.*torch\.float32"),
    "lengths boolean": (lambda: masks.Padding(ones(2, 7).bool()), DtypeError, r"torch\.bool; .*masks\.Dense\(keep\)"),
    "starts float": (lambda: masks.LeftPadding(ones(2)), DtypeError, r"key_starts counts tokens.*torch\.float32"),
    "starts batch": (lambda: call(mask=masks.LeftPadding(ones(3).long())), ShapeError, r"key_starts has leading shape \(3,\)"),
    "ragged float": (lambda: masks.Ragged(ones(2).long(), ones(2)), DtypeError, r"key_lengths counts tokens.*torch\.float32"),
    "ragged batch": (lambda: call(mask=masks.Ragged(ones(3).long(), ones(2).long())), ShapeError, r"query_lengths has leading shape \(3,\)"),
    "ragged side": (lambda: masks.Ragged(ones(2).long(), ones(2).long(), right=-1), OptionError, r"Ragged\(right=-1\): a side is a whole number"),
    "lengths rank": (lambda: call(mask=masks.Padding(ones(2, 4, 5).long())), ShapeError, r"key_lengths has leading shape \(2, 4, 5\), .*give one value a sequence: \(2,\) or \(2, 4\)"),
    "lengths batch": (lambda: call(mask=masks.Padding(ones(3).long())), ShapeError, r"leading shape \(3,\), which does not broadcast to \(2, 4\); give one value a sequence: \(2,\) or \(2, 4\)"),
    "segments length": (lambda: call(mask=masks.Segments(ones(2, 7).long(), ones(2, 7).long())), ShapeError, r"query_ids has shape \(2, 7\); its last axis must be the length, 5"),
    "segments keys": (lambda: call(mask=masks.Segments(ones(2, 5).long(), ones(2, 5).long())), ShapeError, r"key_ids has shape \(2, 5\); .*7"),
    "segments batch": (lambda: call(mask=masks.Segments(ones(3, 5).long(), ones(3, 7).long())), ShapeError, r"query_ids has leading shape \(3,\)"),
    "segments rank 0": (lambda: call(mask=masks.Segments(torch.tensor(1), ones(7).long())), ShapeError, r"query_ids has shape \(\)"),
    "lengths a list": (lambda: masks.Padding([2, 3]), DtypeError, r"key_lengths is a list; it must be a tensor \(\*batch,\)"),  # type: ignore[arg-type]
    "dense a list": (lambda: masks.Dense([[True]]), DtypeError, r"mask is a list; it must be a tensor \(query, key\)"),  # type: ignore[arg-type]
    "segments a list": (lambda: masks.Segments(ones(3).long(), [0, 1]), DtypeError, r"key_ids is a list; it must be a tensor"),  # type: ignore[arg-type]
    "segments float": (lambda: masks.Segments(ones(3).long(), ones(3)), DtypeError, r"key_ids is torch\.float32; it names segments, so make it an integer tensor"),
    "window of a fraction": (lambda: masks.Window(1.5, 0), OptionError, r"Window\(left=1\.5\): a side is a whole number"),  # type: ignore[arg-type]
    "edges a list": (lambda: masks.Edges([[0], [1]], 5, 7), DtypeError, r"edge_index is a list; it must be a tensor \(2, edges\)"),  # type: ignore[arg-type]
    "bilinear a list": (lambda: scores.Bilinear([[1.0]]), DtypeError, r"weight is a list; it must be a tensor \(\*, query_dim, key_dim\)"),  # type: ignore[arg-type]
    "additive a list": (lambda: scores.Additive(ones(2, 2), ones(2, 2), [1.0, 1.0]), DtypeError, r"vector is a list; it must be a tensor \(\*, hidden\)"),  # type: ignore[arg-type]
    "cosine a name": (lambda: scores.Cosine("high"), DtypeError, r"temperature is a str; give a number, or a tensor"),  # type: ignore[arg-type]
    "gaussian a list": (lambda: scores.Gaussian([1.0]), DtypeError, r"bandwidth is a list; give a number, or a tensor"),  # type: ignore[arg-type]
    "edges dtype": (lambda: masks.Edges(ones(2, 3), 5, 7), DtypeError, r"edge_index is torch\.float32; .*make it int64"),
    "edges shape": (lambda: masks.Edges(ones(3, 2).long(), 5, 7), ShapeError, r"edge_index has shape \(3, 2\); it wants \(2, edges\)"),
    "edges key": (lambda: masks.Edges(torch.tensor([[7], [0]]), 5, 7), ShapeError, r"names source \(key\) 7, but num_keys is 7: indices run from 0 to 6"),
    "edges query": (lambda: masks.Edges(torch.tensor([[0], [-1]]), 5, 7), ShapeError, r"names target \(query\) -1, but num_queries is 5"),
    "edges size": (lambda: call(mask=masks.Edges(ones(2, 1).long(), 7, 5)), ShapeError, r"made for 7 queries and 5 keys, but the call has 5 and 7"),
    "adjacency dense": (lambda: masks.Edges.of_adjacency(ones(2, 2)), DtypeError, r"the adjacency is torch\.strided; give a sparse matrix \(targets, sources\)"),
    "adjacency a list": (lambda: masks.Edges.of_adjacency([[1]]), DtypeError, r"the adjacency is list"),  # type: ignore[arg-type]
    "bilinear rank": (lambda: scores.Bilinear(ones(3)), ShapeError, r"weight has shape \(3,\); give it \(\*, query_dim, key_dim\)"),
    "bilinear query": (lambda: call(score=scores.Bilinear(ones(3, 8))), ShapeError, r"query has 8 features .*Bilinear with weight \(3, 8\) wants 3"),
    "bilinear key": (lambda: call(score=scores.Bilinear(ones(8, 3))), ShapeError, r"key has 8 features .*wants 3"),
    "low rank factor": (lambda: scores.LowRank(ones(3), ones(3, 2)), ShapeError, r"query_factor has shape \(3,\); give it \(\*, query_dim, rank\)"),
    "low rank key factor": (lambda: scores.LowRank(ones(3, 2), ones(2)), ShapeError, r"key_factor has shape \(2,\); give it \(\*, key_dim, rank\)"),
    "low rank ranks": (lambda: scores.LowRank(ones(3, 2), ones(3, 4)), ShapeError, r"query_factor has rank 2 and key_factor 4; give both the same"),
    "low rank key": (lambda: call(score=scores.LowRank(ones(8, 2), ones(3, 2))), ShapeError, r"key has 8 features .*wants 3"),
    "low rank prepared": (lambda: call(key=scores.PreparedKey(ones(2, 4, 7, 5), "low_rank"), score=scores.LowRank(ones(8, 2), ones(3, 2))), ShapeError, r"prepared key has 5 features .*rank wants 2"),
    "gaussian bandwidth": (lambda: scores.Gaussian(0.0), OptionError, r"bandwidth is 0\.0; it must be above 0"),
    "gaussian prepared": (lambda: call(key=scores.PreparedKey(ones(2, 4, 7, 8), "gaussian"), score=scores.Gaussian(1.0)), ShapeError, r"prepared key has 8 features .*wants 10"),
    "additive activation": (lambda: scores.Additive(ones(2, 2), ones(2, 2), ones(2), "tan"), OptionError, r"unknown activation 'tan'; did you mean 'tanh'"),  # type: ignore[arg-type]
    "additive rank": (lambda: scores.Additive(ones(2), ones(2, 2), ones(2)), ShapeError, r"query_weight \(2,\).*it wants \(\*, query_dim, hidden\)"),
    "additive hidden": (lambda: scores.Additive(ones(8, 2), ones(8, 3), ones(2)), ShapeError, r"last axes, the hidden size, must be equal"),
    "additive heads": (lambda: call(score=scores.Additive(ones(3, 8, 2), ones(8, 2), ones(4, 2))), ShapeError, r"leading axes \(3,\) and vector \(4,\); make them broadcast"),
    "additive query": (lambda: call(score=scores.Additive(ones(3, 2), ones(8, 2), ones(2))), ShapeError, r"query has 8 features .*query_weight \(3, 2\) wants 3"),
    "additive prepared": (lambda: call(key=scores.PreparedKey(ones(2, 4, 7, 8), "additive"), score=scores.Additive(ones(8, 2), ones(8, 2), ones(2))), ShapeError, r"prepared key has 8 features .*wants 2"),
    "rotated additive": (lambda: scores.Rotated(scores.Additive(ones(2, 2), ones(2, 2), ones(2)), positions.Rotary(2)), OptionError, r"want a score whose pair is an inner product, but additive is not; give it positions by addition"),
    "rotated and capped": (lambda: scores.Rotated(scores.SoftCapped(), positions.Rotary(2)), OptionError, r"go inside a soft cap: SoftCapped\(cap, Rotated"),
    "cap of nothing": (lambda: scores.SoftCapped(0.0), OptionError, r"SoftCapped\(cap=0\.0\): the cap is a finite number above 0"),
    "cap a word": (lambda: scores.SoftCapped("50"), OptionError, r"SoftCapped\(cap='50'\)"),  # type: ignore[arg-type]
    "cap of additive": (lambda: scores.SoftCapped(5.0, scores.Additive(ones(2, 2), ones(2, 2), ones(2))), OptionError, r"whose pair is an inner product.*inner is additive"),
    "sink a list": (lambda: normalizers.SinkSoftmax([0.0]), DtypeError, r"sink is list; give a number, or a tensor"),  # type: ignore[arg-type]
    "sink integer": (lambda: normalizers.SinkSoftmax(ones(4).long()), DtypeError, r"sink is torch\.int64"),
    "rotary features": (lambda: call(score=scores.Rotated(scores.Dot(), positions.Rotary(16))), ShapeError, r"Rotary rotates 16 features, but these have 8"),
    "rotary odd": (lambda: positions.Rotary(3), ShapeError, r"features is 3; make it even"),
    "rotary positions": (lambda: positions.Rotary(2).rotate(ones(3, 2), torch.arange(2)), ShapeError, r"positions have shape \(2,\); give \(3,\), one a token"),
    "rotary positions of sequences": (lambda: positions.Rotary(2).rotate(ones(2, 4, 3, 2), torch.zeros(3, 3)), ShapeError, r"positions have shape \(3, 3\); give \(3,\), one a token or \(2, 3\), one a token of each sequence"),
    "rotary layout": (lambda: positions.Rotary(2, layout="neox"), OptionError, r"unknown layout 'neox'.*interleaved, half"),  # type: ignore[arg-type]
    "sinusoidal odd": (lambda: positions.sinusoidal(3, 5), ShapeError, r"features is 5; make it even"),
    "sinusoidal none": (lambda: positions.sinusoidal(3, 0), ShapeError, r"features is 0; make it even"),
    "entmax": (lambda: normalizers.Entmax(0.5), OptionError, r"Entmax\(alpha=0\.5\): alpha is 1 \(softmax\) or more"),
    "entmax without end": (lambda: normalizers.Entmax(float("inf")), OptionError, r"Entmax\(alpha=inf\): alpha is 1 \(softmax\) or more"),
    "entmax a word": (lambda: normalizers.Entmax("2"), OptionError, r"Entmax\(alpha='2'\): alpha is 1 \(softmax\) or more"),  # type: ignore[arg-type]
    "alibi slopes": (lambda: positions.ALiBi(ones(2, 2)), ShapeError, r"slopes has shape \(2, 2\); give \(heads,\)"),
    "alibi heads": (lambda: positions.ALiBi.for_heads(0), OptionError, r"at least one head, not 0"),
    "buckets shape": (lambda: positions.RelativeBuckets(ones(8)), ShapeError, r"table has shape \(8,\); give \(heads, buckets\)"),
    "buckets few": (lambda: positions.RelativeBuckets(ones(2, 3)), ShapeError, r"at least 4 buckets when bidirectional and 2 otherwise"),
    "buckets distance": (lambda: positions.RelativeBuckets(ones(2, 32), max_distance=8), OptionError, r"max_distance is 8; with 32 buckets it must be above 8"),
    "device of value": (lambda: call(value=meta(2, 4, 7, 6)), DeviceError, r"query is on cpu but value on meta; move it with \.to\(query\.device\)"),
    "device of key": (lambda: call(key=meta(2, 4, 7, 8)), DeviceError, r"but key on meta"),
    "device of score": (lambda: call(score=scores.Bilinear(meta(8, 8))), DeviceError, r"but score on meta"),
    "device of mask": (lambda: call(mask=masks.Window(1, 1) & meta(5, 7).bool()), DeviceError, r"but mask on meta"),
    "device of bias": (lambda: call(bias=meta(5, 7)), DeviceError, r"but bias on meta"),
    "device of slopes": (lambda: call(bias=positions.ALiBi(meta(4))), DeviceError, r"but bias on meta"),
    "device of alpha": (lambda: call(normalizer=normalizers.Entmax(meta(4))), DeviceError, r"but normalizer on meta"),
    "scale no number": (lambda: scores.ScaledDot("a"), OptionError, r"ScaledDot\(scale='a'\): the scale is a finite number"),
    "scale beyond floats": (lambda: scores.ScaledDot(10**400), OptionError, r"the scale is a finite number"),
    "scale infinite": (lambda: scores.ScaledDot(float("inf")), OptionError, r"the scale is a finite number"),
    "scale learned": (lambda: scores.ScaledDot(torch.ones((), requires_grad=True)), OptionError, r"multiply the query by a parameter"),
    "band weights of no band": (lambda: band_weights(ones(3, 2), ones(3, 2), mask=masks.Causal()), BackendError, r"band_weights cannot serve this call: .*return_weights=True\) gives the weights of every call"),
    "mask of wrong dtype": (lambda: call(mask=Own(lambda cells: cells.key_index())), MaskError, r"Own\.at\(cells\) returned torch\.int64; it must return a boolean tensor"),
    "mask of no tensor": (lambda: call(mask=Own(lambda cells: True)), MaskError, r"Own\.at\(cells\) returned a bool; it must"),
    "mask of wrong shape": (lambda: call(mask=Own(lambda cells: ones(5, 6).bool())), MaskError, r"Own\.at\(cells\) returned shape \(5, 6\), which does not broadcast to \(2, 4, 5, 7\)"),
    "mask of too many axes": (lambda: call(mask=Own(lambda cells: ones(1, 1, 1, 5, 7).bool())), MaskError, r"returned shape \(1, 1, 1, 5, 7\)"),
    "joined mask of wrong shape": (lambda: call(mask=masks.Causal("top_left") & Own(lambda cells: ones(5, 6).bool())), MaskError, r"Own\.at\(cells\) returned shape"),
    "pair kind unknown": (lambda: type("Odd", (scores.Score,), {"pair_kind": "other"}), OptionError, r"unknown pair_kind of Odd 'other'.*dot, capped_dot, additive, custom"),
    "pair kind of another pair": (lambda: type("Odd", (scores.Dot,), {"pair_kind": "dot", "pair": lambda self, q, k: q @ k.mT}), OptionError, r"Odd declares pair_kind='dot', but its pair is custom.*leave pair_kind out"),
    "additive without the pair": (lambda: type("Odd", (scores.Score,), {"pair_kind": "additive"}), OptionError, r"Odd declares pair_kind='additive', but its pair is dot"),
    "empty grid": (lambda: positions.Grid(0, 2), OptionError, "is empty; give 1 row, column and frame or more"),
    "radius of a window of cells": (lambda: masks.GridWindow(positions.Grid(2, 2), -1), OptionError, r"GridWindow\(radius\) is -1; give a whole number, 0 or more"),
    "cells beyond the grid of a mask": (lambda: call(mask=masks.GridWindow(positions.Grid(2, 2), 1)), MaskError, "5 queries and 7 keys meet a GridWindow of 4 positions"),
    "shift of tiles": (lambda: masks.GridTiles(positions.Grid(2, 2), 2, 2), OptionError, "tiles of 2 cells are shifted by 0 to 1"),
    "cells beyond the grid of a bias": (lambda: call(bias=positions.GridALiBi(positions.Grid(2, 2), ones(4))), ShapeError, "5 queries and 7 keys meet a bias of 4 positions"),
    "table of another grid": (lambda: positions.GridRelative(positions.Grid(2, 2), ones(1, 11)), ShapeError, r"table has shape \(1, 11\); for Grid.* give \(heads, 12\)"),
    "axes of a quadratic bias": (lambda: positions.Quadratic(ones(4, 1), ones(4, 2), ones(1)), ShapeError, "the same number of axes"),
    "sharpness of a quadratic bias": (lambda: positions.Quadratic(ones(4, 1), ones(4, 1), ones(3)), ShapeError, r"sharpness has shape \(3,\)"),
    "quadratic bias of another call": (lambda: call(bias=positions.Quadratic(ones(4, 1), ones(4, 1), ones(1))), ShapeError, "made for 4 queries and 4 keys, but the call has 5 and 7"),
    "backend cannot": (lambda: call(normalizer=normalizers.ReLU(), backend="sdpa"), BackendError, r'backend="sdpa" cannot serve this call: it normalizes by softmax, not by relu\. Use backend="auto"'),
}
# fmt: on


@pytest.mark.parametrize("case", CASES)
def test_error(case: str) -> None:
    wrong, kind, message = CASES[case]
    with pytest.raises(kind, match="(?s)" + message) as error:
        wrong()
    assert type(error.value) is kind


def raised_at(wrong: Callable[[], object]) -> tuple[str, int]:
    """File and line at which `wrong` raises."""
    try:
        wrong()
    except HeedfulError as error:
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        assert trace is not None
        return Path(trace.tb_frame.f_code.co_filename).name, trace.tb_lineno
    raise AssertionError("nothing was raised")


def test_every_raise_has_a_case() -> None:
    seen = {raised_at(wrong) for wrong, _, _ in CASES.values()}
    folder = Path(ops.__file__).parent
    missing = [
        f"{path.relative_to(folder)}:{node.lineno}"
        for path in folder.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Raise)
        and node.exc is not None
        and "jit"
        not in path.parts  # what those refuse no caller can write; it is tested beside them
        and ast.unparse(node.exc) != "_Unsigned"  # caught where it is raised
        and not any((path.name, line) in seen for line in range(node.lineno, node.end_lineno + 1))  # type: ignore[operator]
    ]
    assert missing == []


def test_plan_refuses_what_attend_refuses() -> None:
    with pytest.raises(ShapeError, match="same number of axes"):
        plan(ones(2), ones(2, 2), ones(2, 2))


def test_a_mask_checks_what_it_is_asked_to_be() -> None:
    with pytest.raises(MaskError, match="ambiguous"):
        masks.Causal().dense(2, 3)
    with pytest.raises(ShapeError, match="does not broadcast"):
        masks.Dense(ones(2, 2).bool()).dense(3, 3)
    rows = Rows.all(2, 2, (3,), torch.device("cpu"))
    with pytest.raises(ShapeError, match="2 heads"):
        positions.ALiBi(ones(2)).check(rows)
