"""Weights on disk: tied and shared embeddings, metadata, damage."""

from __future__ import annotations

import re

import pytest
import torch

from heedful import run_folder
from heedful.config import build, read_configuration
from heedful.data.files import Pairs
from heedful.errors import OptionError, RunError
from heedful.tasks.translate import TASK, TranslationConfig

PAIRS = Pairs(["ein hund rennt", "ein mann"], ["a dog runs", "a man"])
MODELS = {
    "transformer": {"width": 8, "feed_forward": 8, "heads": 2, "encoder_layers": 1},
    "gru": {"embedding": 8, "hidden": 8},
}
SPLIT = {"vocabulary": {"shared": False}, "model": {"kind": "gru", "share_embeddings": True}}


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("tied", [True, False])
def test_shared_embeddings_are_saved_and_stay_one(kind, tied, tmp_path):
    config = build(
        TranslationConfig,
        {"model": {"kind": kind, **MODELS[kind], "share_embeddings": True, "tie_embeddings": tied}},
    )
    translator = TASK.learn(config, PAIRS)
    translator.model.eval()
    run = run_folder.create(tmp_path / "run", TASK.name)
    translator.save(run)
    translator.save_weights(run / run_folder.WEIGHTS)
    found = TASK.load(run)
    assert found.model.source_embedding.weight is found.model.target_embedding.weight
    assert found.model.state_dict().keys() == translator.model.state_dict().keys()
    for name, tensor in translator.model.state_dict().items():
        assert torch.equal(found.model.state_dict()[name], tensor)
    assert list(found.predict(PAIRS.source)) == list(translator.predict(PAIRS.source))


def test_one_embedding_wants_one_vocabulary(tmp_path):
    # the sizes would not tell: two vocabularies may happen to have the same
    message = "share_embeddings needs one vocabulary .* vocabulary.shared is false"
    with pytest.raises(OptionError, match=message):
        build(TranslationConfig, SPLIT)
    path = tmp_path / "config.toml"
    path.write_text("# comment\n[vocabulary]\nshared = false\n[model]\nshare_embeddings = true\n")
    with pytest.raises(OptionError, match=re.escape(str(path)) + ": model." + message):
        read_configuration(TranslationConfig, path)
    whole = read_configuration(TranslationConfig, path, ["vocabulary.shared=true"])
    assert whole.model.share_embeddings


def test_tensors_come_back_with_their_metadata(tmp_path):
    path = tmp_path / "x.safetensors"
    tensor = torch.arange(6.0).reshape(2, 3)
    run_folder.write_tensors(path, {"a": tensor, "same": tensor, "turned": tensor.T}, {"k": "v"})
    tensors, metadata = run_folder.read_tensors(path)
    assert metadata == run_folder.read_metadata(path) == {"k": "v"}
    assert torch.equal(tensors["same"], tensor)
    assert torch.equal(tensors["turned"], tensor.T)
    assert not list(tmp_path.glob("*.partial"))


def test_metadata_of_damaged_files(tmp_path):
    path = tmp_path / "x.safetensors"
    with pytest.raises(RunError, match="is missing"):
        run_folder.read_metadata(path)
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(RunError, match="truncated or corrupt"):
        run_folder.read_metadata(path)
