"""The masks of transformers as values of `heedful.masks`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Final

import torch
from torch import Tensor
from transformers import masking_utils

from heedful.hf.mask_tensor import MaskTensor
from heedful.ops import masks
from heedful.ops.masks import Mask
from heedful.ops.masks.positional import Align

Function = Callable[..., Any]
"""A mask of transformers: (batch, head, query, key) -> whether the key may be attended to."""


def attention_mask(**call: Any) -> Tensor | None:
    """Return the mask of a model's layers, which transformers asks for once a forward pass.

    Takes the keywords of `transformers.masking_utils.sdpa_mask`. Returns a `MaskTensor` for causal and full attention,
    windows and packed sequences, with or without padding; any other pattern, or a call that is traced, as the boolean
    tensor (batch, 1, query, key) of `sdpa_mask`; None if nothing is masked.
    """
    known = _known_mask(call)
    if known is None:
        dense: Tensor = masking_utils.sdpa_mask(**{**call, "allow_is_causal_skip": False})
        return dense
    if not known and call.get("allow_is_bidirectional_skip", False):
        return None
    shape = (call["batch_size"], 1, call["q_length"], call["kv_length"])
    whole: Mask = masks.Window(None, None) if not known else known[0]
    for each in known[1:]:
        whole = whole & each
    return MaskTensor(whole, shape, call["device"])


def _known_mask(call: Mapping[str, Any]) -> list[Mask] | None:
    """Return the parts of the mask; none if everything is kept, None for a pattern that is not known."""
    if not {"q_length", "q_offset", "kv_offset", "device"} <= call.keys() or _is_traced():
        return None
    padding, align = call.get("attention_mask"), _alignment(call)
    if align is None or (padding is not None and padding.ndim != 2):
        return None
    found = _of_function(call["mask_function"], align)
    if found is None:
        return None
    if call["q_length"] == 1 and align == "bottom_right":
        # The last query may look at every key before it.
        found = [each for each in found if not isinstance(each, masks.Causal)]
    keys = call["kv_length"]
    if align == "bottom_right" or call["q_length"] == keys:
        found = [each for each in found if not _is_whole(each, keys)]
    if padding is not None:
        found += _of_padding(padding, keys, call["kv_offset"])
    return found


def _is_traced() -> bool:
    return torch.compiler.is_compiling() or torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]


def _alignment(call: Mapping[str, Any]) -> Align | None:
    """Return where the queries stand among the keys; None for anywhere else than at their begin or end."""
    query, key = call["q_offset"], call["kv_offset"]
    if isinstance(query, Tensor) or isinstance(key, Tensor):
        return None  # of a cache of fixed size
    if query + call["q_length"] == key + call["kv_length"]:
        return "bottom_right"
    return "top_left" if query == key else None


def _is_whole(mask: Mask, keys: int) -> bool:
    """Whether a window is wider than all keys."""
    return isinstance(mask, masks.Window) and all(
        side is None or side >= keys - 1 for side in (mask.left, mask.right)
    )


def _of_function(function: Function, align: Align) -> list[Mask] | None:
    """Return the masks of a function of transformers: compared by its code, since most are made anew for each call."""
    read = _FUNCTIONS.get(getattr(function, "__code__", None))
    return None if read is None else read(inspect.getclosurevars(function).nonlocals, align)


def _of_all(inner: Mapping[str, Any], align: Align) -> list[Mask] | None:
    """Of `and_masks`."""
    functions = list(inner["mask_functions"])
    if any(_is_made_by(each, "packed_sequence_mask_function") for each in functions):
        # Inside one of the packed sequences positions count from its begin, and so distances are the same.
        functions = [_unmapped(each) for each in functions]
    parts = [_of_function(each, align) for each in functions]
    known = [part for part in parts if part is not None]
    return None if len(known) < len(parts) else [mask for part in known for mask in part]


def _unmapped(function: Function) -> Function:
    """Return what `remap_positions_for_packed_sequence` was given."""
    if not _is_made_by(function, "remap_positions_for_packed_sequence"):
        return function
    inner: Function = inspect.getclosurevars(function).nonlocals["mask_function"]
    return inner


def _of_padding(padding: Tensor, keys: int, offset: int) -> list[Mask]:
    """Return the mask of a boolean tensor (batch, keys seen); what it does not reach is padding."""
    kept = padding[:, offset : offset + keys].bool()
    if kept.shape[1] < keys:
        kept = torch.nn.functional.pad(kept, (0, keys - kept.shape[1]))
    counts = kept.sum(1)
    if int(counts.sum()) == kept.numel():
        return []
    places = torch.arange(keys, device=kept.device)
    if torch.equal(kept, places < counts[:, None]):
        return [masks.Padding(counts)]
    starts = keys - counts
    if torch.equal(kept, places >= starts[:, None]):
        return [masks.LeftPadding(starts)]
    return [masks.Dense(kept[:, None, None, :])]


def _code(maker: Any) -> Any:
    """Return the code of the function that a function returns: of one without arguments, its own."""
    constants = maker.__code__.co_consts
    inner = [each for each in constants if inspect.iscode(each) and each.co_name.isidentifier()]
    return inner[0] if inner else maker.__code__


def _is_made_by(function: Function, name: str) -> bool:
    maker = getattr(masking_utils, name, None)
    return maker is not None and getattr(function, "__code__", None) is _code(maker)


_READERS: Final[Mapping[str, Callable[[Mapping[str, Any], Align], list[Mask] | None]]] = {
    "causal_mask_function": lambda _, align: [masks.Causal(align)],
    "bidirectional_mask_function": lambda _, align: [],
    "and_masks": _of_all,
    "sliding_window_overlay": lambda inner, align: [
        masks.Window(inner["sliding_window"] - 1, None, align)
    ],
    "sliding_window_bidirectional_overlay": lambda inner, align: [
        masks.Window(inner["sliding_window"], inner["sliding_window"], align)
    ],
    "packed_sequence_mask_function": lambda inner, align: [
        masks.Segments(inner["packed_sequence_mask"], inner["packed_sequence_mask"])
    ],
}
"""Function of `transformers.masking_utils` -> (what it closes over, alignment) -> masks."""
_FUNCTIONS: Final = {
    _code(getattr(masking_utils, name)): read
    for name, read in _READERS.items()
    if hasattr(masking_utils, name)  # older versions have fewer
}
