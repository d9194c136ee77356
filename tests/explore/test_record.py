"""Recording: what is seen, how steps are joined, and that nothing is changed or left behind."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from heedful import attend, masks
from heedful.errors import OptionError, ShapeError
from heedful.explore import draw_html, heat_map, record, recording
from heedful.explore.record import layer_number
from heedful.nn import GATv2


class Look(nn.Module):
    """One attention, of a kind."""

    def __init__(self, kind: str = "self", mask: object = None) -> None:
        super().__init__()
        self.kind = kind
        self.mask = mask

    def forward(self, query: Tensor, key: Tensor) -> Tensor:
        return attend(query, key, key, mask=self.mask).output  # type: ignore[arg-type]


class Twice(nn.Module):
    """Calls attend twice in one forward."""

    kind = "self"

    def forward(self, x: Tensor) -> Tensor:
        return attend(x, x, x, mask=masks.Causal(align="top_left")).output + attend(x, x, x).output


class Stack(nn.Module):
    """Layers of attention, as a Transformer has them."""

    def __init__(self, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.ModuleDict({"attention": Look("encoder")}) for _ in range(layers)
        )

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = x + layer["attention"](x, x)  # type: ignore[index]
        return x


class Steps(nn.Module):
    """Attends one query at a time, over a fixed memory or a growing one."""

    def __init__(self, grows: bool) -> None:
        super().__init__()
        self.attention = Look("cross")
        self.grows = grows

    def forward(self, queries: Tensor, memory: Tensor) -> Tensor:
        outputs = [
            self.attention(queries[:, t : t + 1], memory[:, : t + 1] if self.grows else memory)
            for t in range(queries.shape[1])
        ]
        return torch.cat(outputs, dim=1)


def hooks(model: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


def data(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def test_two_calls_in_one_forward_are_two_records() -> None:
    first, second = record(Twice(), data(1, 3, 4), tokens={"self": ("abc", "abc")})
    assert (first.module_path, second.module_path) == ("", "#2")
    assert first.mask is not None
    assert second.mask is None
    assert first.allowed[0].tolist() == torch.ones(3, 3).tril().bool().tolist()
    assert first.query_tokens == ("a", "b", "c")
    assert first.backend


def test_nested_modules_give_path_kind_and_layer() -> None:
    x = data(1, 3, 4)
    found = record(Stack(3), x)
    assert [one.module_path for one in found] == [f"layers.{i}.attention" for i in range(3)]
    assert [one.layer for one in found] == [0, 1, 2]
    assert {one.kind for one in found} == {"encoder"}
    weights = attend(x, x, x, return_weights=True).weights
    assert weights is not None
    torch.testing.assert_close(torch.tensor(found[0].weights), weights)
    assert found[0].key_tokens == ("1", "2", "3")


def test_the_kind_is_that_of_the_innermost_module_that_has_one() -> None:
    class Plain(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return attend(x, x, x).output

    outer = nn.Sequential(nn.Sequential(Plain()), Twice())
    outer.kind = "memory"  # type: ignore[assignment]
    inner, first, _ = record(outer, data(1, 2, 4))
    assert (inner.kind, inner.module_path) == ("memory", "0.0")
    assert (first.kind, first.module_path) == ("self", "1")


def test_a_call_outside_every_module_is_seen_too() -> None:
    x = data(1, 2, 4)
    with recording(nn.Linear(4, 4)) as recorder:
        attend(x, x, x)
    [outside] = recorder.records()
    assert (outside.module_path, outside.kind) == ("", "self")


def test_steps_are_joined_along_queries() -> None:
    queries, memory = data(1, 5, 4), data(1, 3, 4)
    tokens = {"cross": ("12345", "xyz")}
    [stepwise] = record(Steps(grows=False), queries, memory, tokens=tokens)
    [at_once] = record(Look("cross"), queries, memory, tokens=tokens)
    assert stepwise.weights.shape == (1, 5, 3)
    assert abs(stepwise.weights - at_once.weights).max() < 1e-6
    assert stepwise.module_path == "attention"
    assert stepwise.mask is None


def test_keys_that_a_step_could_not_see_are_masked() -> None:
    x = data(1, 4, 4)
    [stepwise] = record(Steps(grows=True), x, x)
    [at_once] = record(Look("cross", masks.Causal(align="top_left")), x, x)
    assert stepwise.allowed.tolist() == at_once.allowed.tolist()
    assert abs(stepwise.weights - at_once.weights).max() < 1e-6


def test_a_module_that_layers_share_gives_a_record_a_layer() -> None:
    look = Look("encoder")

    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.look = look

        def forward(self, x: Tensor) -> Tensor:
            return self.look(self.look(x, x), x)  # type: ignore[no-any-return]

    found = record(Shared(), data(1, 3, 4), tokens={"encoder": ("abc", "abc")})
    assert [one.layer for one in found] == [0, 1]
    assert [one.weights.shape for one in found] == [(1, 3, 3)] * 2


def test_heads_and_batches() -> None:
    x = data(2, 3, 5, 4)
    with pytest.raises(ShapeError, match="this batch has 2; choose one with row=0 to row=1"):
        record(Look(), x, x)
    with pytest.raises(ShapeError, match="row=2 is out of range for this batch of 2"):
        record(Look(), x, x, row=2)
    [second] = record(Look(), x, x, row=1)
    [alone] = record(Look(), x[1:], x[1:])
    assert second.weights.shape == (3, 5, 5)
    assert abs(second.weights - alone.weights).max() < 1e-6


def test_a_leading_axis_is_heads_only_if_the_module_says_so() -> None:
    x = data(3, 5, 4)
    with pytest.raises(ShapeError, match="this batch has 3"):
        record(Look(), x, x)
    headed = Look()
    headed.heads = 3  # type: ignore[assignment]
    [found] = record(headed, x, x)
    assert found.heads == 3


def attention_of_padding() -> nn.Module:
    return Look("self", masks.Padding(torch.tensor([2])))


@pytest.mark.parametrize(
    ("build", "inputs"),
    [
        (Twice, (data(1, 3, 4),)),
        (lambda: Stack(2), (data(1, 3, 4),)),
        (lambda: Steps(grows=True), (data(1, 3, 4), data(1, 3, 4))),
        (attention_of_padding, (data(1, 3, 4), data(1, 3, 4))),
        (lambda: nn.Sequential(nn.Dropout(0.5), Twice()), (data(1, 3, 4),)),
    ],
)
def test_recording_changes_no_output_and_leaves_no_hook(
    build: Callable[[], nn.Module], inputs: tuple[Tensor, ...]
) -> None:
    model = build()
    torch.manual_seed(0)
    plain = model(*inputs)
    torch.manual_seed(0)
    with recording(model) as recorder:
        recorded = model(*inputs)
    torch.testing.assert_close(recorded, plain, rtol=0, atol=0)
    assert recorder.records()
    assert hooks(model) == 0


def test_recording_keeps_gradients_and_record_makes_none() -> None:
    x = data(1, 3, 4).requires_grad_()
    model = Twice()
    with recording(model):
        model(x).sum().backward()
    assert x.grad is not None
    seen = []
    model.register_forward_hook(lambda module, inputs, output: seen.append(output.requires_grad))
    record(model, x)
    assert seen == [False]


def test_an_error_inside_leaves_no_hook_and_reaches_the_caller() -> None:
    class Fails(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.look = Look()

        def forward(self, x: Tensor, *, fail: bool) -> Tensor:
            y = self.look(x, x)
            if fail:
                raise ZeroDivisionError("on purpose")
            return y  # type: ignore[no-any-return]

    model = Fails()
    with pytest.raises(ZeroDivisionError, match="on purpose"), recording(model):
        model(data(1, 2, 4), fail=True)
    assert hooks(model) == 0
    with recording(model) as recorder:
        with pytest.raises(ZeroDivisionError, match="on purpose"):
            model(data(1, 2, 4), fail=True)
        model.look(data(1, 2, 4), data(1, 2, 4))
    # The failed forward left the stack of module paths: both calls are of the same place.
    [found] = recorder.records()
    assert found.module_path == "look"


def test_what_was_recorded_is_a_copy() -> None:
    class Overwrites(nn.Module):
        kind = "self"

        def forward(self, x: Tensor) -> Tensor:
            attended = attend(x, x, x, return_weights=True)
            assert attended.weights is not None
            attended.weights.zero_()
            return attended.output

    [found] = record(Overwrites(), data(1, 3, 4))
    assert abs(found.weights.sum(axis=2) - 1).max() < 1e-6


def test_tokens_that_do_not_fit() -> None:
    x = data(1, 3, 4)
    with pytest.raises(OptionError, match="unknown kind of attention 'crossing'"):
        record(Look("cross"), x, x, tokens={"crossing": ("abc", "abc")})
    with pytest.raises(ShapeError, match=r"\(heads, 2, 3\) for 2 query and"):
        record(Look("cross"), x, x, tokens={"cross": ("ab", "abc")})


def test_a_model_without_attention_has_nothing_to_show() -> None:
    with pytest.raises(OptionError, match=r"did not call heedful\.attend"):
        record(nn.Linear(2, 2), data(1, 2))


@pytest.mark.parametrize(
    ("path", "layer"),
    [
        ("encoder.layers.3.attention", 3),
        ("blocks.1.layers.2.cross#2", 2),
        ("attention", None),
        ("", None),
    ],
)
def test_layer_number(path: str, layer: int | None) -> None:
    assert layer_number(path) == layer


def test_modules_without_a_number_are_counted_in_order() -> None:
    class Pair(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.near, self.far, self.other = Look("encoder"), Look("encoder"), Look("cross")

        def forward(self, x: Tensor) -> Tensor:
            return self.other(self.near(x, x) + self.far(x, x), x)  # type: ignore[no-any-return]

    found = record(Pair(), data(1, 2, 4))
    assert [(one.kind, one.layer) for one in found] == [
        ("encoder", 0),
        ("encoder", 1),
        ("cross", 0),
    ]


class Convolutions(nn.Module):
    """Two layers over a graph."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList([GATv2(4, 2, heads=2), GATv2(4, 2, heads=2)])

    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        for conv in self.convs:
            x = conv(x, index)
        return x


INDEX = torch.tensor([[0, 1, 1, 2], [1, 2, 2, 0]])
"""The edge from 1 to 2 twice."""


def test_layers_for_graphs_are_recorded_as_matrices_and_as_edges() -> None:
    model, x = Convolutions(), data(3, 4)
    names = ["a", "b", "c"]
    with recording(model) as recorder:
        model(x, INDEX)
    found = recorder.records({"self": (names, names)})
    assert [(one.module_path, one.layer) for one in found] == [("convs.0", 0), ("convs.1", 1)]
    first, edges = found[0], recorder.edge_records()[0]
    assert first.allowed[0].tolist() == [
        [True, False, True],
        [True, True, False],
        [False, True, True],
    ]
    assert (edges.module_path, edges.layer, edges.backend) == ("convs.0", 0, first.backend)
    assert edges.edge_index[:, :4].tolist() == INDEX.tolist()
    wanted = model.convs[0].weights(x, INDEX)  # type: ignore[operator]
    assert edges.weights.tolist() == wanted.weights.tolist()
    assert first.weights[:, 2, 1] == pytest.approx(edges.weights[1] + edges.weights[2])
    assert "a" in heat_map(first, style="ascii").plain
    assert "convs.0" in draw_html(found)


def test_a_graph_too_large_to_draw_keeps_its_edges() -> None:
    model = Convolutions()
    with recording(model) as recorder, torch.no_grad():
        model(data(600, 4), INDEX)
    with pytest.raises(
        OptionError, match=r"604 edges from 600 to 600 nodes is too large.*edge_records"
    ):
        recorder.records()
    with recording(model) as recorder, torch.no_grad():
        model(data(600, 4), INDEX)
        model.convs[1](data(512, 4), INDEX)
    assert [one.edge_index.shape for one in recorder.edge_records()] == [
        (2, 604),
        (2, 604),
        (2, 516),
    ]
    with pytest.warns(UserWarning, match="too large to draw") as heard:
        (small,) = recorder.records()
    assert (small.module_path, small.weights.shape, len(heard)) == ("convs.1", (2, 512, 512), 2)
