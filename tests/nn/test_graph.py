"""Layers for graphs against PyTorch Geometric: its weights, its outputs, its gradients."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import Tensor, nn

from heedful import DtypeError, OptionError, ShapeError, masks
from heedful.nn import GAT, GCN, GATv2, GraphTransformer
from heedful.ops.observe import ObservedEdges, observing

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it compiles parts of itself in a way that PyTorch gives up
    from torch_geometric.nn import GATConv, GATv2Conv, GCNConv, TransformerConv

PAIRS = {
    "gat": (GAT, GATConv),
    "gatv2": (GATv2, GATv2Conv),
    "transformer": (GraphTransformer, TransformerConv),
}
NODES, EDGES = 9, 30


def edge_index(sources: int = NODES, targets: int = NODES) -> Tensor:
    """Some edges twice, some from a node to itself, and one node without any."""
    index = torch.stack([torch.randint(sources, (EDGES,)), torch.randint(targets - 1, (EDGES,))])
    index[:, 0] = index[:, 1]
    index[:, 2] = 1
    return index


def same_weights(name: str, **options: object) -> tuple[nn.Module, nn.Module]:
    ours, theirs = (kind(**options).double() for kind in PAIRS[name])
    for parameter in theirs.parameters():
        nn.init.normal_(parameter, std=0.5)
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def assert_agree(
    ours: nn.Module, theirs: nn.Module, x: object, edges: Tensor, features: Tensor | None = None
) -> None:
    """Outputs, and gradients of nodes, edge features and parameters."""
    results = []
    for layer in (ours, theirs):
        leaves = [
            t.detach().clone().requires_grad_() for t in (x if isinstance(x, tuple) else (x,))
        ]  # type: ignore[union-attr]
        given = None if features is None else features.clone().requires_grad_()
        output = layer(tuple(leaves) if isinstance(x, tuple) else leaves[0], edges, given)
        wanted = {f"x{i}": leaf for i, leaf in enumerate(leaves)} | dict(layer.named_parameters())
        if given is not None:
            wanted["edge_attr"] = given
        direction = torch.linspace(-1, 1, output.numel()).double().view(output.shape)
        found = torch.autograd.grad(output, list(wanted.values()), direction, allow_unused=True)
        results.append(
            {"output": output}
            | {n: torch.zeros(()) if g is None else g for n, g in zip(wanted, found, strict=True)}
        )
    assert results[0].keys() == results[1].keys()
    for name, wanted_tensor in results[1].items():
        torch.testing.assert_close(results[0][name], wanted_tensor, atol=1e-10, rtol=1e-9, msg=name)


@pytest.mark.parametrize("concat", [True, False])
@pytest.mark.parametrize("edge_dim", [None, 3])
@pytest.mark.parametrize("name", PAIRS)
def test_agrees_with_pytorch_geometric(name: str, edge_dim: int | None, concat: bool) -> None:
    options = {"in_channels": 5, "out_channels": 3, "heads": 2, "concat": concat}
    ours, theirs = same_weights(name, **options, edge_dim=edge_dim)
    features = None if edge_dim is None else torch.randn(EDGES, edge_dim).double()
    assert_agree(ours, theirs, torch.randn(NODES, 5).double(), edge_index(), features)


OPTIONS = [
    ("gat", {"negative_slope": 1.5}),
    ("gat", {"add_self_loops": False, "bias": False}),
    ("gat", {"residual": True}),
    ("gat", {"heads": 1, "edge_dim": 1, "fill_value": 0.5}),
    ("gatv2", {"share_weights": True}),
    ("gatv2", {"residual": True, "concat": False, "negative_slope": 0.0}),
    ("gatv2", {"add_self_loops": False, "bias": False, "edge_dim": 2}),
    ("transformer", {"beta": True}),
    ("transformer", {"beta": True, "concat": False, "edge_dim": 2}),
    ("transformer", {"root_weight": False, "bias": False}),
]


@pytest.mark.parametrize(("name", "options"), OPTIONS)
def test_every_option_means_the_same(name: str, options: dict[str, object]) -> None:
    ours, theirs = same_weights(
        name, **{"in_channels": 5, "out_channels": 3, "heads": 2, **options}
    )  # type: ignore[arg-type]
    edge_dim = options.get("edge_dim")
    features = None if edge_dim is None else torch.randn(EDGES, edge_dim).double()  # type: ignore[call-overload]
    assert_agree(ours, theirs, torch.randn(NODES, 5).double(), edge_index(), features)


@pytest.mark.parametrize("fill", ["add", "mean", "min", "max", "mul", torch.tensor([1.0, 2.0])])
def test_features_of_self_loops(fill: object) -> None:
    ours, theirs = same_weights("gatv2", in_channels=5, out_channels=3, edge_dim=2, fill_value=fill)
    features = torch.randn(EDGES, 2).double()
    assert_agree(ours, theirs, torch.randn(NODES, 5).double(), edge_index(), features)


@pytest.mark.parametrize("name", PAIRS)
def test_nodes_of_two_kinds(name: str) -> None:
    ours, theirs = same_weights(name, in_channels=(5, 4), out_channels=3, heads=2)
    x = (torch.randn(7, 5).double(), torch.randn(NODES, 4).double())
    assert_agree(ours, theirs, x, edge_index(7, NODES))


@pytest.mark.parametrize("name", PAIRS)
def test_edges_made_once_stand_for_edge_index(name: str) -> None:
    layer, _ = same_weights(name, in_channels=5, out_channels=3, heads=2)
    x, index = torch.randn(NODES, 5).double(), edge_index()
    edges = masks.Edges(index, NODES, NODES)
    wanted = layer(x, index)
    assert torch.equal(layer(x, edges), wanted)
    assert torch.equal(layer(x, edges), wanted)
    assert torch.equal(layer(x, index.int()), wanted)


@pytest.mark.parametrize("edge_dim", [None, 2])
@pytest.mark.parametrize("name", PAIRS)
def test_weights_and_their_gradients(name: str, edge_dim: int | None) -> None:
    ours, theirs = same_weights(name, in_channels=5, out_channels=3, heads=2, edge_dim=edge_dim)
    x, index = torch.randn(NODES, 5).double().requires_grad_(), edge_index()
    features = None if edge_dim is None else torch.randn(EDGES, edge_dim).double()
    _, (wanted_index, wanted) = theirs(x, index, features, return_attention_weights=True)
    output, (got_index, got) = ours(x, index, features, return_attention_weights=True)
    assert torch.equal(output, ours(x, index, features))
    assert torch.equal(got_index, wanted_index)
    torch.testing.assert_close(got, wanted)
    assert torch.equal(ours.weights(x, index, features).weights, got)
    slopes = (torch.autograd.grad(one.square().sum(), x)[0] for one in (got, wanted))
    torch.testing.assert_close(*slopes)


@pytest.mark.parametrize("name", PAIRS)
def test_weights_are_those_before_dropout(name: str) -> None:
    layer = PAIRS[name][0](5, 3, heads=2, dropout=0.5)
    x, index = torch.randn(NODES, 5), edge_index()
    trained = layer.weights(x, index).weights
    assert torch.equal(trained, layer.eval().weights(x, index).weights)


@pytest.mark.parametrize("name", PAIRS)
def test_an_observer_sees_the_layer(name: str) -> None:
    layer, _ = same_weights(name, in_channels=(5, 4), out_channels=3, heads=2)
    x = (torch.randn(7, 5).double(), torch.randn(NODES, 4).double())
    index = edge_index(7, NODES)
    seen: list[ObservedEdges] = []
    with observing(seen.append):  # type: ignore[arg-type]
        observed = layer(x, index)
    assert torch.equal(observed, layer(x, index))
    (one,) = seen
    wanted = layer.weights(x, index)
    assert torch.equal(one.edge_index, wanted.edge_index)
    assert torch.equal(one.weights[0], wanted.weights)
    assert (one.num_queries, one.num_keys, one.backend) == (NODES, 7, "compiled")
    sums = one.dense().weights.sum(-1)
    torch.testing.assert_close(sums, (sums > 0).double())


@pytest.mark.parametrize("name", ["gat", "gatv2"])
def test_edge_features_may_be_left_out(name: str) -> None:
    ours, theirs = same_weights(name, in_channels=5, out_channels=3, heads=2, edge_dim=2)
    assert_agree(ours, theirs, torch.randn(NODES, 5).double(), edge_index())


@pytest.mark.parametrize("name", PAIRS)
def test_dropout_while_training_alone(name: str) -> None:
    layer = PAIRS[name][0](5, 3, heads=2, dropout=0.5)
    x, index = torch.randn(NODES, 5), edge_index()
    torch.manual_seed(1)
    first = layer(x, index)
    torch.manual_seed(1)
    assert torch.equal(layer(x, index), first)
    assert not torch.equal(layer(x, index), first)
    layer.eval()
    assert torch.equal(layer(x, index), layer(x, index))


@pytest.mark.parametrize("name", PAIRS)
def test_no_edges(name: str) -> None:
    ours, theirs = same_weights(name, in_channels=5, out_channels=3, heads=2)
    assert_agree(ours, theirs, torch.randn(4, 5).double(), torch.zeros(2, 0, dtype=torch.int64))


def test_what_does_not_fit() -> None:
    x, index = torch.randn(NODES, 5), edge_index()
    with pytest.raises(OptionError, match="made without edge_dim"):
        GAT(5, 3)(x, index, torch.randn(EDGES, 2))
    with pytest.raises(OptionError, match="made without edge_dim"):
        GraphTransformer(5, 3)(x, index, torch.randn(EDGES, 2))
    with pytest.raises(OptionError, match=r"edge_attr is missing.*give \(edges, 2\)"):
        GraphTransformer(5, 3, edge_dim=2)(x, index)
    with pytest.raises(ShapeError, match=r"there are 30 edges"):
        GATv2(5, 3, edge_dim=2)(x, index, torch.randn(7, 2))
    with pytest.raises(ShapeError, match="made for 3 target"):
        GAT(5, 3)(x, masks.Edges(torch.zeros(2, 1, dtype=torch.int64), 3, 3))
    with pytest.raises(ShapeError, match="nodes have shape"):
        GAT(5, 3)(x[None], index)
    wide = [GAT(5, 3, edge_dim=3), GATv2(5, 3, edge_dim=3), GraphTransformer(5, 3, edge_dim=3)]
    for layer in wide:
        for features in (2, 4):
            with pytest.raises(ShapeError, match=rf"\(30, {features}\).*edge_dim=3"):
                layer(x, index, torch.randn(EDGES, features))
        with pytest.raises(ShapeError, match=r"source nodes have 6 channels.*made for 5"):
            layer(torch.randn(NODES, 6), index, torch.randn(EDGES, 3))
        with pytest.raises(DtypeError, match=r"source nodes: torch\.float64.*holds torch\.float32"):
            layer(x.double(), index, torch.randn(EDGES, 3))
        with pytest.raises(DtypeError, match=r"edge_attr: torch\.int64"):
            layer(x, index, torch.ones(EDGES, 3).long())
    with pytest.raises(OptionError, match="heads is 0"):
        GAT(5, 3, heads=0)
    with pytest.raises(OptionError, match="edge_dim is 0"):
        GraphTransformer(5, 3, edge_dim=0)
    with pytest.raises(OptionError, match="outside"):
        GraphTransformer(5, 3, dropout=1.0)
    with pytest.raises(OptionError, match="did you mean 'mean'"):
        GATv2(5, 3, fill_value="maen")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("edge_dim", [None, 3])
def test_autocast(name: str, edge_dim: int | None) -> None:
    ours, theirs = same_weights(name, in_channels=4, out_channels=3, heads=2, edge_dim=edge_dim)
    ours, theirs = ours.float(), theirs.float()
    x, index = torch.randn(NODES, 4), edge_index()
    features = None if edge_dim is None else torch.randn(EDGES, edge_dim)
    with torch.autocast("cpu", torch.bfloat16):
        got = ours(x, index, features)
        weights = ours.weights(x, index, features).weights
    assert weights.dtype == torch.float32
    assert got.dtype == torch.float32  # narrow in the linear maps alone
    torch.testing.assert_close(got, theirs(x, index, features), rtol=0.05, atol=0.1)
    assert weights.isfinite().all()
    got.float().square().sum().backward()
    assert all(parameter.grad.dtype == parameter.dtype for parameter in ours.parameters())


@pytest.mark.parametrize(
    "options", [{}, {"add_self_loops": False}, {"residual": True}, {"edge_dim": 2}]
)
@pytest.mark.parametrize("channels", [(5, 4), 5])
def test_target_nodes_without_features(
    channels: tuple[int, int] | int, options: dict[str, object]
) -> None:
    ours, theirs = same_weights("gat", in_channels=channels, out_channels=3, heads=2, **options)
    x = torch.randn(NODES, 5).double().requires_grad_()
    features = torch.randn(EDGES, 2).double() if "edge_dim" in options else None
    index = edge_index()
    results = [
        (
            layer,
            layer((x, None), index, features),
            layer((x, None), index, features, (NODES, NODES)),
        )
        for layer in (ours, theirs)
    ]
    for got, wanted in zip(results[0][1:], results[1][1:], strict=True):
        torch.testing.assert_close(got, wanted)
        slopes = (
            torch.autograd.grad(one.square().sum(), x, retain_graph=True)[0]
            for one in (got, wanted)
        )
        torch.testing.assert_close(*slopes)
    assert torch.equal(ours([x, None], index, features), results[0][1])


def test_there_are_as_many_target_nodes_as_is_said() -> None:
    layer, theirs = same_weights("gat", in_channels=(5, 4), out_channels=3, heads=2)
    x, index = torch.randn(7, 5).double(), edge_index(7, 4)
    wanted = theirs((x, None), index, size=(7, 4))
    torch.testing.assert_close(layer((x, None), index, size=(7, 4)), wanted)
    torch.testing.assert_close(layer((x, None), masks.Edges(index, 4, 7)), wanted)
    assert layer.weights((x, None), index, size=(7, 4)).weights.shape[1] == 2
    with pytest.raises(ShapeError, match=r"size=\(6, 4\) .*but x has 7 and None"):
        layer((x, None), index, size=(6, 4))
    with pytest.raises(ShapeError, match=r"size=\(7, 4\) .*but x has 7 and 9"):
        layer((x, torch.randn(9, 4).double()), index, size=(7, 4))


@pytest.mark.parametrize("name", PAIRS)
def test_a_pair_may_be_a_list(name: str) -> None:
    layer, _ = same_weights(name, in_channels=(5, 4), out_channels=3, heads=2)
    x = (torch.randn(7, 5).double(), torch.randn(NODES, 4).double())
    index = edge_index(7, NODES)
    assert torch.equal(layer(list(x), index), layer(x, index))
    for wrong in ((x[0], x[1], x[1]), (None, x[1]), 3, [x[0]], "ab"):
        with pytest.raises(
            DtypeError, match=r"x holds .*; give one tensor \(nodes, channels\), or a pair"
        ):
            layer(wrong, index)
    if name != "gat":
        with pytest.raises(ShapeError, match=r"x is \(source, None\), but the queries of"):
            layer((x[0], None), index)


def adjacency(layout: torch.layout, values: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """A matrix of targets × sources in a sparse layout, and its edges in the order of its rows."""
    index = edge_index(7, NODES).flip(0).unique(dim=1)
    values = torch.randn(index.shape[1]).double() if values is None else values
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch calls its sparse layouts a beta
        matrix = torch.sparse_coo_tensor(index, values, (NODES, 7), check_invariants=True)
        return matrix.to_sparse(layout=layout), index.flip(0)


@pytest.mark.filterwarnings("ignore:Sparse")
@pytest.mark.parametrize("layout", [torch.sparse_coo, torch.sparse_csr, torch.sparse_csc])
@pytest.mark.parametrize("edge_dim", [None, 1])
@pytest.mark.parametrize("name", PAIRS)
def test_a_sparse_adjacency(name: str, edge_dim: int | None, layout: torch.layout) -> None:
    options = {} if name == "transformer" else {"add_self_loops": False}
    ours, theirs = same_weights(
        name, in_channels=(5, 4), out_channels=3, heads=2, edge_dim=edge_dim, **options
    )  # type: ignore[arg-type]
    x = (torch.randn(7, 5).double(), torch.randn(NODES, 4).double())
    matrix, index = adjacency(layout)
    values = matrix.to_sparse_coo().coalesce().values()
    given = None if edge_dim is None else values
    wanted = ours(x, index, given)
    assert torch.equal(ours(x, matrix), wanted)
    assert torch.equal(masks.Edges.of_adjacency(matrix).edge_index, index)
    got, (listed, _) = ours(x, matrix, return_attention_weights=True)
    assert torch.equal(listed, index)
    theirs_given = None if given is None else given[:, None]
    torch.testing.assert_close(got, theirs(x, index, theirs_given))
    if edge_dim is None and layout == torch.sparse_csr:  # the layout that PyTorch Geometric takes
        torch.testing.assert_close(got, theirs(x, matrix))
    other = torch.randn(len(values), 1).double()
    if edge_dim is not None:
        assert torch.equal(ours(x, matrix, other), ours(x, index, other))


def test_what_is_no_adjacency() -> None:
    layer = GAT(5, 3)
    with pytest.raises(ShapeError, match="Edges was made for 9 target and 7 source nodes"):
        layer(torch.randn(NODES, 5), adjacency(torch.sparse_coo)[0])


@pytest.mark.parametrize("bias", [True, False])
def test_graph_convolution_agrees_with_pytorch_geometric(bias: bool) -> None:
    ours, theirs = GCN(5, 3, bias).double(), GCNConv(5, 3, bias=bias).double()
    for parameter in theirs.parameters():
        nn.init.normal_(parameter, std=0.5)
    ours.load_state_dict(theirs.state_dict())
    index, results = edge_index(), []
    for layer in (ours, theirs):
        x = torch.linspace(-1, 1, NODES * 5).double().view(NODES, 5).requires_grad_()
        output = layer(x, index)
        wanted = {"x": x, **dict(layer.named_parameters())}
        slopes = torch.autograd.grad(output.square().sum(), list(wanted.values()))
        results.append([output, *slopes])
    for got, one in zip(*results, strict=True):
        torch.testing.assert_close(got, one, atol=1e-12, rtol=1e-10)
    assert torch.equal(ours(x, masks.Edges(index, NODES, NODES)), ours(x, index))


def test_graph_convolution_refuses_what_does_not_fit() -> None:
    layer, x = GCN(5, 3), torch.randn(NODES, 5)
    with pytest.raises(OptionError, match="out_channels is 0; it is 1 or more"):
        GCN(5, 0)
    with pytest.raises(ShapeError, match="source nodes have 4 channels"):
        layer(x[:, :4], edge_index())
    with pytest.raises(ShapeError, match="Edges was made for 4 target and 4 source nodes"):
        layer(x, masks.Edges(torch.tensor([[0], [1]]), 4, 4))
    with pytest.raises(DtypeError, match="source nodes: torch.float64, but the layer holds"):
        layer(x.double(), edge_index())
