"""Features of self loops in an exported program: a node with several edges, one and none."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from heedful.export.quiet import quiet
from heedful.nn.graph_edges import FILLS, Fill, loop_features
from heedful.ops.masks import Edges

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")


class Loops(nn.Module):
    def __init__(self, fill: Fill):
        super().__init__()
        self.fill = fill

    def forward(self, features: Tensor, edge_index: Tensor) -> Tensor:
        return loop_features(Edges(edge_index, 4, 4), features, self.fill)


@pytest.mark.parametrize("fill", FILLS)
def test_an_onnx_program_reduces_all_edges_of_a_node(fill: Fill, tmp_path: Path) -> None:
    features = torch.randn(5, 2)
    edge_index = torch.tensor([[0, 1, 2, 3, 0], [1, 2, 1, 3, 2]])
    loops = Loops(fill).eval()
    with quiet():
        program = torch.onnx.export(loops, (features, edge_index), dynamo=True, verbose=False)
    assert program is not None
    program.save(str(tmp_path / "loops.onnx"))
    session = onnxruntime.InferenceSession(str(tmp_path / "loops.onnx"))
    names = [each.name for each in session.get_inputs()]
    [found] = session.run(
        None, dict(zip(names, [features.numpy(), edge_index.numpy()], strict=True))
    )
    torch.testing.assert_close(torch.from_numpy(found), loops(features, edge_index))
