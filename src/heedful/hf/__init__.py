"""`attend` in Hugging Face models: the attention implementation "heedful" of transformers."""

from __future__ import annotations

from typing import Final

from heedful.errors import OptionError

__all__ = ["NAME", "register"]

NAME: Final = "heedful"
"""The name of the implementation."""


def register() -> str:
    r"""Register `attend` with the attention interface of transformers, and return its name there, "heedful".

    Afterwards every model that takes its attention from the interface runs with `attn_implementation="heedful"`, or
    `model.set_attn_implementation("heedful")`:

    .. math:: o_i = \sum_j w_{ij} v_j, \quad w_{ij} = \mathrm{softmax}_j(c \tanh(s\, q_i \cdot k_j / c) + b_{ij})

    with the model's scale s, its soft cap c if it has one, its bias b of positions or additive mask, its sinks, and its
    window: causal and padding masks and windows reach `attend` as such, not as a matrix of queries × keys. Grouped
    key heads, key–value caches, dropout in training and gradients are those of `attend`. Calling it again changes
    nothing.

    The outputs are those of `attn_implementation="eager"` within rounding, except at a query that may attend to
    nothing, such as padding on the left: its attention is 0, not the mean of all values. With `output_attentions=True`
    in a call the weights are returned, as normalized, before dropout; in a configuration transformers refuses it for
    every implementation but "eager".

    Raises: OptionError if transformers is not installed, or has no attention interface.

    >>> import torch, transformers
    >>> from heedful import hf
    >>> config = transformers.ViTConfig(
    ...     hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=8, patch_size=4
    ... )
    >>> model = transformers.ViTModel(config).eval()
    >>> image = torch.randn(1, 3, 8, 8)
    >>> wanted = model(image).last_hidden_state
    >>> model.set_attn_implementation(hf.register())
    >>> torch.allclose(model(image).last_hidden_state, wanted, atol=1e-5)
    True
    """
    try:
        from transformers import AttentionInterface, AttentionMaskInterface
    except ImportError as error:
        raise OptionError(
            "heedful.hf needs the package transformers, version 5 or later; install it with "
            f"pip install 'heedful[hf]' ({error})."
        ) from None
    from heedful.hf.attention import attention_forward
    from heedful.hf.masks import attention_mask

    AttentionInterface.register(NAME, attention_forward)
    AttentionMaskInterface.register(NAME, attention_mask)
    return NAME
