"""Searches against those of Hugging Face's `generate` at equal weights.

A Transformer with pre-norm layers is a Pegasus model and one with post-norm layers a Marian model, but for the order of
the features: they have all sines of the positions before all cosines.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from heedful.decode import Guidance, Hypothesis, SearchOptions, beam_search
from heedful.decode.restrictions import NeverTokens
from heedful.models import TransformerConfig, TransformerEncoderDecoder
from heedful.models.transformer_compiled import CompiledState
from heedful.models.transformer_step import FusedState
from heedful.ops.jit.kernel import unavailable

os.environ.setdefault("HF_HUB_OFFLINE", "1")
transformers = pytest.importorskip(
    "transformers", reason="transformers, the oracle of searches, is not installed"
)

PAD, BEGIN, END = 0, 2, 3
VOCABULARY, LIMIT = 9, 4
NARROW, COMPILED = 8, 32
"""Widths of two heads: the first decodes in operators, the second, of 16 features a head, in one kernel a step."""
WIDE = 1200
"""A beam in which both searches lose nothing that matters, as they treat hypotheses that have ended differently."""
LENGTHS = torch.tensor([6, 3, 5, 1])


def ours(norm: str, width: int) -> TransformerEncoderDecoder:
    torch.manual_seed(0)
    config = TransformerConfig(
        width=width, feed_forward=12, heads=2, encoder_layers=2, decoder_layers=2, norm=norm,
        share_embeddings=True, tie_embeddings=True,
    )  # fmt: skip
    model = TransformerEncoderDecoder(config, VOCABULARY, VOCABULARY).eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.6 * (NARROW / width) ** 0.5)
    return model


def theirs(model: TransformerEncoderDecoder, norm: str) -> Any:
    """Return the model of `transformers` with the weights of ours."""
    width = model.config.width
    options = {
        "vocab_size": VOCABULARY, "d_model": width, "encoder_layers": 2, "decoder_layers": 2,
        "encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 12, "decoder_ffn_dim": 12,
        "activation_function": "relu", "scale_embedding": True, "max_position_embeddings": 20, "pad_token_id": PAD,
        "eos_token_id": END, "bos_token_id": BEGIN, "decoder_start_token_id": BEGIN, "forced_eos_token_id": None,
        "dropout": 0.0, "attention_dropout": 0.0, "tie_word_embeddings": True,
    }  # fmt: skip
    if norm == "pre":
        built = transformers.PegasusForConditionalGeneration(transformers.PegasusConfig(**options))
    else:
        built = transformers.MarianMTModel(transformers.MarianConfig(**options))
    order = torch.tensor([*range(0, width, 2), *range(1, width, 2)])
    state = dict(built.state_dict())
    copied = converted(model.state_dict(), order, norm)
    for name, value in copied.items():
        assert state[name].shape == value.shape, name
        state[name] = value
    for name in ("encoder.embed_tokens", "decoder.embed_tokens"):
        state[f"model.{name}.weight"] = copied["model.shared.weight"]
    state["lm_head.weight"] = copied["model.shared.weight"]
    built.load_state_dict(state)
    untouched = {name for name in state if "layers" in name} - set(copied)
    assert not untouched
    return built.eval()


PARTS = {
    "self_attention.query_projection": "self_attn.q_proj",
    "self_attention.key_projection": "self_attn.k_proj",
    "self_attention.value_projection": "self_attn.v_proj",
    "self_attention.output_projection": "self_attn.out_proj",
    "cross_attention.query_projection": "encoder_attn.q_proj",
    "cross_attention.key_projection": "encoder_attn.k_proj",
    "cross_attention.value_projection": "encoder_attn.v_proj",
    "cross_attention.output_projection": "encoder_attn.out_proj",
    "attention_norm": "self_attn_layer_norm",
    "cross_norm": "encoder_attn_layer_norm",
    "feed_forward_norm": "final_layer_norm",
    "feed_forward.widen": "fc1",
    "feed_forward.narrow": "fc2",
}


def converted(state: Mapping[str, Tensor], order: Tensor, norm: str) -> dict[str, Tensor]:
    found = {"model.shared.weight": state["target_embedding.weight"][:, order]}
    for name, value in state.items():
        stack, *path, kind = name.split(".")
        if stack not in ("encoder", "decoder"):
            continue
        if path == ["norm"]:
            found[f"model.{stack}.layer_norm.{kind}"] = value[order]
            continue
        part = PARTS[".".join(path[2:])]
        reads_width = part.endswith(("q_proj", "k_proj", "v_proj", "fc1"))
        if not reads_width:
            value = value[order]
        elif kind == "weight":
            value = value[:, order]
        found[f"model.{stack}.layers.{path[1]}.{part}.{kind}"] = value
    return found


@pytest.fixture(
    scope="module", params=[(norm, width) for norm in ("pre", "post") for width in (NARROW, COMPILED)],
    ids=lambda param: "-".join(map(str, param)),
)  # fmt: skip
def models(request: pytest.FixtureRequest) -> tuple[TransformerEncoderDecoder, Any]:
    norm, width = request.param
    model = ours(norm, width)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model, theirs(model, norm)


def sources() -> Tensor:
    source = torch.randint(4, VOCABULARY, (4, 6), generator=torch.Generator().manual_seed(2))
    return source.masked_fill(torch.arange(6) >= LENGTHS[:, None], PAD)


def search(model: Any, guidance: Guidance | None = None, **options: Any) -> list[list[Hypothesis]]:
    guidance = guidance or Guidance()
    return beam_search(
        model, sources(), LENGTHS, begin=BEGIN, end=END, max_length=LIMIT,
        options=SearchOptions(**{"max_repetition": 0} | options), guidance=guidance,
    )  # fmt: skip


def generated(model: Any, **options: Any) -> list[list[tuple[list[int], float]]]:
    """Return tokens without begin, end and padding, and scores, of each source."""
    count = options.get("num_return_sequences", 1)
    given = {"max_new_tokens": LIMIT, "do_sample": False, "early_stopping": "never"} | options
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        output = model.generate(
            input_ids=sources(),
            attention_mask=(torch.arange(6) < LENGTHS[:, None]).long(),
            return_dict_in_generate=True,
            output_scores=True,
            **given,
        )
    scores = getattr(output, "sequences_scores", None)
    values = [0.0] * len(output.sequences) if scores is None else scores.tolist()
    rows = []
    for tokens, score in zip(output.sequences.tolist(), values, strict=True):
        body = tokens[1:]
        rows.append((body[: body.index(END)] if END in body else body[:LIMIT], score))
    return [rows[n : n + count] for n in range(0, len(rows), count)]


def test_models_are_equal(models: tuple[Any, Any]) -> None:
    mine, other = models
    target = torch.randint(4, VOCABULARY, (4, 5))
    target[:, 0] = BEGIN
    mask = (torch.arange(6) < LENGTHS[:, None]).long()
    with torch.no_grad():
        logits = mine.output(mine(sources(), LENGTHS, target).states)
        wanted = other(input_ids=sources(), attention_mask=mask, decoder_input_ids=target).logits
    torch.testing.assert_close(logits, wanted, atol=2e-5, rtol=1e-5)


@torch.inference_mode()
def test_each_width_decodes_in_its_own_way(models: tuple[Any, Any]) -> None:
    state = models[0].start(sources(), LENGTHS)
    is_compiled = models[0].config.width == COMPILED and unavailable() is None
    assert isinstance(state, CompiledState if is_compiled else FusedState)


@pytest.mark.parametrize("ngram", [0, 1, 2])
def test_greedy(models: tuple[Any, Any], ngram: int) -> None:
    mine, other = models
    found = search(mine, beam=1, no_repeat_ngram=ngram)
    wanted = generated(other, num_beams=1, no_repeat_ngram_size=ngram)
    assert [each[0].tokens for each in found] == [each[0][0] for each in wanted]


def finished(each: list[Hypothesis], count: int) -> list[Hypothesis]:
    return [one for one in each if one.finished][:count]


@pytest.mark.parametrize("alpha", [0.0, 0.6, 1.0, 2.0])
@pytest.mark.parametrize("ngram", [0, 2])
def test_beams_and_length_penalties(models: tuple[Any, Any], alpha: float, ngram: int) -> None:
    """Both end at the limit with hypotheses that have not ended, of which only Hugging Face's may win."""
    mine, other = models
    found = search(
        mine,
        beam=WIDE,
        nbest=WIDE,
        length_form="power",
        length_penalty=alpha,
        no_repeat_ngram=ngram,
    )
    wanted = generated(
        other, num_beams=WIDE, num_return_sequences=WIDE, length_penalty=alpha, no_repeat_ngram_size=ngram
    )  # fmt: skip
    for mine_of, others in zip(found, wanted, strict=True):
        ended = [(tokens, score) for tokens, score in others if len(tokens) < LIMIT][:6]
        assert len(ended) >= 3
        best = finished(mine_of, len(ended))
        assert [each.tokens for each in best] == [tokens for tokens, _ in ended]
        assert [each.score for each in best] == pytest.approx([s for _, s in ended], rel=1e-4)


def test_restrictions(models: tuple[Any, Any]) -> None:
    mine, other = models
    guidance = Guidance(
        prefixes=[[5]] * 4,
        min_length=torch.full((4,), 2),
        restrictions=[NeverTokens((6,))],
    )
    found = search(mine, guidance, beam=1)
    begun = torch.tensor([[BEGIN, 5]] * 4)
    wanted = generated(
        other, num_beams=1, decoder_input_ids=begun, min_new_tokens=1, max_new_tokens=LIMIT - 1,
        bad_words_ids=[[6]],
    )  # fmt: skip
    assert [each[0].tokens for each in found] == [each[0][0] for each in wanted]
