"""Records of attention that is not Heedful's: PyTorch's own, and PyTorch Geometric's."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from heedful.explore import record, recording

pyg = pytest.importorskip("torch_geometric.nn", reason="PyTorch Geometric is not installed")


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("need_weights", [True, False])
def test_multi_head_attention_is_recorded_and_its_caller_notices_nothing(
    batch_first: bool, need_weights: bool
) -> None:
    torch.manual_seed(0)
    layer = nn.MultiheadAttention(8, 2, batch_first=batch_first, dtype=torch.float64).eval()
    x = torch.randn(1, 5, 8, dtype=torch.float64)
    memory = torch.randn(1, 7, 8, dtype=torch.float64)
    if not batch_first:
        x, memory = x.transpose(0, 1), memory.transpose(0, 1)
    padding = torch.zeros(1, 7, dtype=torch.bool)
    padding[0, 5:] = True
    options: dict[str, Any] = {"key_padding_mask": padding, "need_weights": need_weights}
    plain = layer(x, memory, memory, **options)
    _, wanted = layer(x, memory, memory, key_padding_mask=padding, average_attn_weights=False)
    with torch.no_grad(), recording(layer) as recorder:
        seen = layer(x, memory, memory, **options)
    torch.testing.assert_close(seen[0], plain[0])
    if need_weights:
        torch.testing.assert_close(seen[1], plain[1])
    else:
        assert seen[1] is None
    [found] = recorder.records()
    assert (found.kind, found.backend) == ("cross", "torch")
    torch.testing.assert_close(
        torch.tensor(found.weights).double(), wanted[0].detach(), atol=1e-6, rtol=0
    )
    assert (found.allowed == ~padding.numpy()[:, None]).all()


@pytest.mark.parametrize("causal", ["boolean", "float", "per head"])
def test_a_whole_transformer_has_its_layers_and_masks(causal: str) -> None:
    torch.manual_seed(0)
    model = nn.Transformer(8, 2, 2, 2, 16, batch_first=True).eval()
    source, target = torch.randn(1, 6, 8), torch.randn(1, 4, 8)
    mask: Tensor = torch.triu(torch.ones(4, 4, dtype=torch.bool), 1)
    if causal == "float":
        mask = nn.Transformer.generate_square_subsequent_mask(4)
    if causal == "per head":
        mask = mask.expand(2, 4, 4)
    with torch.no_grad():
        plain = model(source, target, tgt_mask=mask)
        with recording(model) as recorder:
            seen = model(source, target, tgt_mask=mask)
    torch.testing.assert_close(seen, plain)
    found = recorder.records()
    assert [(one.kind, one.layer) for one in found] == [
        ("self", 0), ("self", 1), ("self", 0), ("cross", 0), ("self", 1), ("cross", 1)
    ]  # fmt: skip
    for one in found:
        torch.testing.assert_close(
            torch.tensor(one.weights.sum(-1)), torch.ones(one.weights.shape[:-1])
        )
        decoder = one.kind == "self" and len(one.query_tokens) == 4
        assert (one.mask is not None) == decoder
        if decoder:
            assert one.mask.tolist() == torch.ones(1, 4, 4).tril().bool().tolist()
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


@pytest.mark.parametrize("name", ["GATConv", "GATv2Conv", "TransformerConv"])
def test_graph_layers_are_recorded(name: str) -> None:
    torch.manual_seed(0)
    layer = getattr(pyg, name)(4, 3, heads=2).eval()
    x, edges = torch.randn(5, 4), torch.tensor([[0, 1, 2, 3], [1, 2, 3, 4]])
    model = _Graph(layer)
    with torch.no_grad():
        plain = model(x, edges)
        with recording(model) as recorder:
            torch.testing.assert_close(model(x, edges), plain)
        _, (index, wanted) = layer(x, edges, return_attention_weights=True)
    [found] = recorder.edge_records()
    assert found.backend == "torch_geometric"
    assert found.edge_index.tolist() == index.tolist()
    torch.testing.assert_close(torch.tensor(found.weights), wanted)
    [drawn] = recorder.records()
    assert drawn.weights[0, 1, 0] == pytest.approx(float(wanted[0, 0]))


class _Graph(nn.Module):
    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor, edges: Tensor) -> Tensor:
        return self.layer(x, edges)  # type: ignore[no-any-return]


def test_an_exception_leaves_no_hooks_and_no_lost_calls() -> None:
    layer = nn.MultiheadAttention(8, 2, batch_first=True).eval()
    with recording(layer), pytest.raises(AssertionError):
        layer(torch.randn(1, 5, 9), torch.randn(1, 5, 9), torch.randn(1, 5, 9))
    assert not layer._forward_hooks
    assert len(record(layer, *[torch.randn(1, 5, 8)] * 3)) == 1
