"""Records of Hugging Face models (transformers): what one pass, or each step of generating, attends to."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from heedful.errors import DataError, HeedfulError, OptionError
from heedful.explore.call_sites import concatenate_calls
from heedful.explore.first_shown import first_shown, shown_first
from heedful.explore.schema import AttentionRecord
from heedful.explore.transformer_calls import EagerCalls, watching
from heedful.tasks.alignment import END

MAX_DIFFERENCE: Final = {torch.float32: 1e-3, torch.float64: 1e-6}
"""Largest difference of the logits, as a share of their largest, with which a rerun counts as the same."""
_MAX_HALF: Final = 0.05

Inputs = Mapping[str, Tensor]


def load_transformer(folder: str | Path, *, model_class: str | None = None) -> tuple[Any, Any]:
    """Return the model and the tokenizer in a folder on disk; nothing is downloaded and no code of the folder is run.

    Args:
        folder: what `save_pretrained` wrote.
        model_class: a class of transformers; default: the one that the folder names, else `AutoModel`.

    Raises:
        OptionError: transformers is not installed, the folder has no model or no tokenizer, or there is no such class.
    """
    try:
        import transformers
    except ImportError as error:
        raise OptionError(
            "Hugging Face models need the package transformers, which is not installed; install it with "
            "pip install 'heedful[hf]'."
        ) from error
    path = Path(folder)
    if not (path / "config.json").is_file():
        raise OptionError(
            f"{path} is no folder of a Hugging Face model: it has no config.json; give one that save_pretrained wrote."
        )
    options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    with _without_progress(transformers.utils.logging):
        return _load(transformers, path, model_class, options)


@contextmanager
def _without_progress(logging: Any) -> Iterator[None]:
    """Hide the bars of transformers for small models, which nobody waits for."""
    enabled = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if enabled:
            logging.enable_progress_bar()


def _load(
    transformers: Any, path: Path, model_class: str | None, options: dict[str, Any]
) -> tuple[Any, Any]:
    try:
        config = transformers.AutoConfig.from_pretrained(path, **options)
        name = model_class or next(iter(config.architectures or []), "AutoModel")
        if not hasattr(transformers, name):
            raise OptionError(f"transformers has no class {name!r}; give its name as model_class=.")
        model = getattr(transformers, name).from_pretrained(path, local_files_only=True)
        tokenizer = transformers.AutoTokenizer.from_pretrained(path, **options)
    except (OSError, ValueError) as error:
        raise OptionError(f"{path} cannot be loaded by transformers: {error}") from error
    return model.eval(), tokenizer


def record_transformer(
    model: Any,
    inputs: Inputs,
    *,
    tokens: Sequence[str] | None = None,
    target_tokens: Sequence[str] | None = None,
    layers: Collection[int] | None = None,
) -> list[AttentionRecord]:
    """Run a Hugging Face model on one example and return its attention weights, a record for each layer.

    The model runs twice: as it is, and with eager attention, which has weights. The largest difference of the logits of
    both is in the `note` of each record; if it is more than rounding, nothing is returned. The model is as before
    afterwards. Causal and padding masks are kept; heads that share keys have a map each. The weights of one layer at a
    time are copied to the CPU.

    Args:
        model: a `transformers.PreTrainedModel`.
        inputs: what it is called with, such as a tokenizer returns: `input_ids` (1, length) and so on.
        tokens: the tokens of `input_ids`; default: their numbers.
        target_tokens: those of `decoder_input_ids`, of encoder–decoders. A row of cross-attention has the name of the
            token that it predicts, the next one.
        layers: numbers of the layers to record, from 0; default: all.

    Raises:
        DataError: a batch of several examples.
        OptionError: there is no such layer, or the model has no attention that can be watched.
        HeedfulError: the rerun gives other logits.

    >>> import transformers
    >>> config = transformers.GPT2Config(n_embd=8, n_layer=2, n_head=2, vocab_size=9)
    >>> model = transformers.GPT2LMHeadModel(config).eval()
    >>> first, second = record_transformer(model, {"input_ids": torch.tensor([[1, 2, 3]])}, tokens="abc")
    >>> second.label, second.weights.shape, second.mask[0, 0].tolist()
    ('decoder, layer 2', (2, 3, 3), [True, False, False])
    """
    _check_one(inputs)
    with torch.no_grad():
        was_training = model.training
        model.eval()
        plain = _logits(model(**inputs))
        model.train(was_training)
        with watching(model, layers) as calls:
            eager = _logits(model(**inputs))
    note = _difference_note(model, plain, eager)
    return _records(calls, layers, tokens, target_tokens, note)


def record_generation(
    model: Any, inputs: Inputs, *, tokenizer: Any = None, max_new_tokens: int = 20
) -> tuple[list[AttentionRecord], list[int]]:
    """Generate greedily and return the attention weights of all steps, stitched to one record a layer, and the ids.

    Generation runs twice, as the model is and with eager attention; both must choose the same tokens.

    Args:
        model: a `transformers.PreTrainedModel` that can generate.
        inputs: as of `record_transformer`.
        tokenizer: names the tokens; without it they are numbers.
        max_new_tokens: where to stop.

    Raises: as `record_transformer`.
    """
    _check_one(inputs)
    options = {"max_new_tokens": max_new_tokens, "do_sample": False, "num_beams": 1}
    with torch.no_grad():
        plain = model.generate(**inputs, **options)[0].tolist()
        with watching(model) as calls:
            found = model.generate(**inputs, **options)[0].tolist()
    if plain != found:
        raise HeedfulError(
            f"with eager attention the model generates other tokens ({found}) than as it is ({plain}), so the weights "
            "are not those of its own generation; load it with float32 weights."
        )
    name = _names(tokenizer)
    note = "generated twice, as the model is and with eager attention: the same tokens"
    source = name(inputs["input_ids"][0].tolist())
    if model.config.is_encoder_decoder:
        return _records(calls, None, source, name(found[:-1]), note), found
    return _records(calls, None, name(found[:-1]), None, note), found


def _names(tokenizer: Any) -> Any:
    """Return a function from ids to tokens."""
    if tokenizer is None:
        return lambda ids: [str(each) for each in ids]
    return lambda ids: [token_text(token) for token in tokenizer.convert_ids_to_tokens(ids)]


def token_text(token: str) -> str:
    r"""Return a token as text: without the marks of spaces that byte-level BPE and SentencePiece use.

    >>> token_text("Ġcat"), token_text("▁cat"), token_text("Ċ")
    (' cat', ' cat', '\n')
    """
    if any(mark in token for mark in "ĠĊ"):
        token = token.replace("Ġ", " ").replace("Ċ", "\n")
    return token.replace("▁", " ")


def _check_one(inputs: Inputs) -> None:
    for name, value in inputs.items():
        if isinstance(value, Tensor) and value.ndim > 1 and value.shape[0] != 1:
            raise DataError(
                f"a record holds one example; {name} has a batch of {value.shape[0]}. Give one, such as {name}[:1]."
            )


def _logits(output: Any) -> Tensor:
    for name in ("logits", "last_hidden_state"):
        found = getattr(output, name, None)
        if isinstance(found, Tensor):
            return found
    found = output[0]
    assert isinstance(found, Tensor)
    return found


def _difference_note(model: Any, plain: Tensor, eager: Tensor) -> str:
    """Return a sentence on how far a rerun differs, or raise HeedfulError if that is more than rounding."""
    difference = float((plain.double() - eager.double()).abs().max())
    scale = max(float(plain.double().abs().max()), 1e-12)
    most = MAX_DIFFERENCE.get(plain.dtype, _MAX_HALF)
    if not difference <= most * scale:
        raise HeedfulError(
            f"with eager attention the logits of {type(model).__name__} differ by up to {difference:.3g}, more than "
            f"rounding ({most * scale:.3g}): its weights cannot be recomputed exactly, so none are shown."
        )
    return f"recomputed with eager attention; the logits differ by up to {difference:.2g} from those of the model"


def _records(
    calls: EagerCalls,
    layers: Collection[int] | None,
    tokens: Sequence[str] | None,
    target_tokens: Sequence[str] | None,
    note: str,
) -> list[AttentionRecord]:
    if not calls.was_called:
        raise OptionError(
            "no attention was seen: the model computes none, or in a way of its own whose weights cannot be read; "
            "models whose file in transformers has an eager_attention_forward can be recorded."
        )
    if not calls.sites:
        wanted = ", ".join(str(layer) for layer in sorted(layers or ()))
        raise OptionError(
            f"there is no layer {wanted}; layers count from 0, and there are "
            f"{max(calls.count(kind) for kind in ('encoder', 'decoder', 'cross'))}."
        )
    target = target_tokens if target_tokens is not None else tokens
    predicted = None if target is None else (*target[1:], END)
    axes = {"encoder": (tokens, tokens), "decoder": (target, target), "cross": (predicted, tokens)}
    found = []
    for site in calls.sites.values():
        names = axes[site.kind]
        record = concatenate_calls(site, site.calls, calls.layer(site), _fitting(site, names))
        found.append(AttentionRecord(**{**record.__dict__, "note": note}))
    return shown_first(found, first_shown(found))


def _fitting(site: Any, names: tuple[Any, Any]) -> tuple[Sequence[str], Sequence[str]] | None:
    queries = sum(call.weights.shape[1] for call in site.calls)
    keys = max(call.weights.shape[2] for call in site.calls)
    if names[0] is None or names[1] is None or (len(names[0]), len(names[1])) != (queries, keys):
        return None
    return names[0], names[1]
