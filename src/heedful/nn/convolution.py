"""A convolution as multi-head attention, one head for each element of its kernel."""

from __future__ import annotations

from math import prod
from typing import cast

import torch
from torch import Tensor, nn

from heedful.errors import OptionError, ShapeError
from heedful.nn.convolution_grid import ConvolutionShape, cell_index, grid_positions
from heedful.ops.attend import attend
from heedful.ops.call import Attended
from heedful.ops.masks import Edges
from heedful.ops.positions import Quadratic
from heedful.ops.scores import Dot

EXACT, QUADRATIC = "exact", "quadratic"
FORMS = (EXACT, QUADRATIC)


class ConvolutionAttention(nn.Module):
    r"""Multi-head attention that computes a convolution (Cordonnier et al. 2020, https://arxiv.org/abs/1911.03584).

    .. math:: y_q = b + \sum_h W_h \sum_k a^h_{qk} x_k, \quad
        a^h_{qk} = \mathrm{softmax}_k(-\alpha \|p_k - p_q - \Delta_h\|^2)

    There is one head h for each element of the kernel. Its queries attend to the pixel at the element's offset Δ_h,
    whatever the pixels hold, and the output projection holds the kernel's weights W_h. Zero padding is tokens of zeros
    that are attended to; the other paddings attend to the pixel that they repeat.

    With form "exact" a weight is 1 at the offset and 0 elsewhere, the limit α → ∞, and only that pair is computed.
    With form "quadratic" the softmax above is computed, with learned `sharpness` α (heads,) and `centers` Δ
    (heads, axes); from α ≈ 20 on, the result differs from the convolution by rounding alone in float32.

    `weight` and `bias` have the names and shapes of the convolution's, so that each loads the state of the other.

    Args:
        weight: (out_channels, in_channels / groups, *kernel).
        bias: (out_channels,), or None.
        shape: kernel, stride, dilation and padding.
        groups: groups of channels that are not mixed.
        form: "exact" or "quadratic".
        sharpness: initial α of the form "quadratic".
        radius: with the form "quadratic", compute only keys at most this far from the center along each axis; None:
            all keys, as the softmax has it, with a dense map of weights. What is left out has weights of about
            exp(−α radius²).

    Shapes: (batch, in_channels, *size) or (in_channels, *size) -> the same with out_channels and the output size.

    Raises:
        OptionError: an unknown form, or an option of the other form.
        ShapeError: an input of other channels or axes, or smaller than the kernel.

    >>> convolution = nn.Conv2d(2, 3, kernel_size=3, stride=2, padding=1)
    >>> image = torch.randn(1, 2, 7, 6)
    >>> torch.allclose(attention_from_convolution(convolution)(image), convolution(image), atol=1e-5)
    True
    """

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor | None,
        shape: ConvolutionShape,
        *,
        groups: int = 1,
        form: str = EXACT,
        sharpness: float = 30.0,
        radius: int | None = None,
    ):
        super().__init__()
        if form not in FORMS:
            raise OptionError(f"form is {form!r}; it is one of {', '.join(FORMS)}.")
        if form == EXACT and radius is not None:
            raise OptionError(
                "radius belongs to the form quadratic; the form exact has one key a query."
            )
        if radius is not None and radius < 0:
            raise OptionError(f"radius is {radius}; it must be at least 0.")
        self.shape, self.groups, self.form, self.radius = shape, groups, form, radius
        self.weight = nn.Parameter(weight.detach().clone())
        self.bias = None if bias is None else nn.Parameter(bias.detach().clone())
        self.in_channels = weight.shape[1] * groups
        self.sharpness: nn.Parameter | None = None
        self.centers: nn.Parameter | None = None
        if form == QUADRATIC:
            if not sharpness > 0:
                raise OptionError(f"sharpness is {sharpness}; it must be above 0.")
            offsets = shape.offsets().to(weight)
            self.sharpness = nn.Parameter(weight.new_full((len(offsets),), sharpness))
            self.centers = nn.Parameter(offsets)

    @property
    def num_heads(self) -> int:
        """One head for each element of the kernel."""
        return prod(self.shape.kernel)

    def forward(self, image: Tensor) -> Tensor:
        """Return the convolution of an image or a batch of images."""
        axes = len(self.shape.kernel)
        if image.ndim not in (axes + 1, axes + 2) or image.shape[-axes - 1] != self.in_channels:
            sizes = ("length", "height, width", "depth, height, width")[axes - 1]
            raise ShapeError(
                f"the input has shape {tuple(image.shape)}; give (batch, {self.in_channels}, {sizes}), or no batch."
            )
        batch = image if image.ndim == axes + 2 else image[None]
        size = tuple(batch.shape[2:])
        attended = self._attend(batch.flatten(2).transpose(1, 2), size, return_weights=False)
        heads = attended.output.unflatten(1, (self.num_heads, -1))
        output: Tensor = self._project(heads).unflatten(2, self.shape.output_size(size))
        return output if image.ndim == axes + 2 else output[0]

    def weights(self, size: tuple[int, ...]) -> Tensor:
        """Return the attention weights for inputs of a size: (heads, outputs, keys), which depend on positions alone.

        The keys are the pixels; under zero padding the positions of the padded input, and with the form "quadratic"
        always so. A dense tensor: for small images.
        """
        tokens = self.weight.new_zeros(1, prod(size), self.in_channels)
        found = self._attend(tokens, size, return_weights=True).weights
        assert found is not None
        heads: Tensor = found[0].unflatten(0, (self.num_heads, -1))
        return heads

    def extra_repr(self) -> str:
        return f"heads={self.num_heads}, form={self.form}, groups={self.groups}, {self.shape}"

    def _attend(self, tokens: Tensor, size: tuple[int, ...], *, return_weights: bool) -> Attended:
        """Attend to pixels (batch, pixels, channels): output (batch, heads · outputs, channels).

        The keys are the same for all heads, so that the heads are an axis of the queries.
        """
        sources = self.shape.sources(size).to(tokens.device)
        padded, keys = self.shape.padded_size(size), tokens
        is_padded = self.shape.padding_mode == "zeros" or self.form == QUADRATIC
        if is_padded and len(sources) != tokens.shape[1]:
            keys = torch.where((sources >= 0)[:, None], tokens[:, sources], 0)
        origins = self.shape.origins(size).to(tokens.device)
        bias, mask = None, None
        if self.form == EXACT:
            targets = origins + self.shape.offsets().to(tokens.device)[:, None]
            key = cell_index(targets.flatten(0, 1), padded)
            mask = self._one_key(key if is_padded else sources[key], keys.shape[1])
        else:
            bias, mask = self._quadratic(origins, padded)
        queries = self.num_heads * len(origins)
        nothing = tokens.new_zeros(1, 1, 1)
        return attend(
            nothing.expand(len(tokens), queries, 1),
            nothing.expand(len(tokens), keys.shape[1], 1),
            keys,
            score=Dot(),
            mask=mask,
            bias=bias,
            return_weights=return_weights,
        )

    @staticmethod
    def _one_key(key: Tensor, keys: int) -> Edges:
        """Return the mask by which query i attends to `key[i]` alone."""
        queries = torch.arange(len(key), device=key.device)
        return Edges(torch.stack([key, queries]), num_queries=len(key), num_keys=keys)

    def _quadratic(
        self, origins: Tensor, padded: tuple[int, ...]
    ) -> tuple[Quadratic, Edges | None]:
        """Return the bias of all heads and, with a radius, the keys around the centers."""
        centers, sharpness = cast(Tensor, self.centers), cast(Tensor, self.sharpness)
        targets = (origins.to(centers) + centers[:, None]).flatten(0, 1)
        places = grid_positions(padded).to(origins.device)
        bias = Quadratic(targets, places.to(centers), sharpness.repeat_interleave(len(origins)))
        if self.radius is None:
            return bias, None
        around = grid_positions((2 * self.radius + 1,) * len(padded)).to(origins.device)
        near = targets.detach().round().long()[:, None] + around - self.radius
        inside = ((near >= 0) & (near < torch.tensor(padded, device=near.device))).all(-1)
        queries, element = inside.nonzero(as_tuple=True)
        key = cell_index(near[queries, element], padded)
        return bias, Edges(torch.stack([key, queries]), len(targets), len(places))

    def _project(self, heads: Tensor) -> Tensor:
        """The output projection: (batch, heads, outputs, in_channels) -> (batch, out_channels, outputs)."""
        weight = self.weight.unflatten(0, (self.groups, -1)).flatten(3)
        grouped = heads.unflatten(-1, (self.groups, -1))
        output = torch.einsum("goch,bhqgc->bgoq", weight, grouped).flatten(1, 2)
        return output if self.bias is None else output + self.bias[:, None]


def attention_from_convolution(
    convolution: nn.Module,
    *,
    form: str = EXACT,
    sharpness: float = 30.0,
    radius: int | None = None,
) -> ConvolutionAttention:
    """Return multi-head attention that computes a given convolution; see `ConvolutionAttention`.

    The weights are copied. Any kernel size, stride, dilation, padding, padding mode and number of groups.

    Args:
        convolution: a `torch.nn.Conv1d`, `Conv2d` or `Conv3d`.
        form, sharpness, radius: see `ConvolutionAttention`.

    Raises:
        OptionError: a transposed convolution, one without weights yet (lazy), or another module.

    >>> attention = attention_from_convolution(nn.Conv2d(1, 1, kernel_size=(2, 3)))
    >>> attention.num_heads, attention.weights((2, 3))[3].tolist()
    (6, [[0.0, 0.0, 0.0, 1.0, 0.0, 0.0]])
    """
    name = type(convolution).__name__
    if isinstance(convolution, nn.modules.lazy.LazyModuleMixin):
        raise OptionError(
            f"{name} has no weights before its first call; call it, or build it with in_channels."
        )
    if not isinstance(convolution, nn.Conv1d | nn.Conv2d | nn.Conv3d):
        raise OptionError(
            f"got {name}; attention computes Conv1d, Conv2d and Conv3d. A transposed convolution spreads an input over "
            "several outputs, which attention to a fixed number of keys does not."
        )
    return ConvolutionAttention(
        convolution.weight,
        convolution.bias,
        ConvolutionShape(
            kernel=tuple(convolution.kernel_size),
            stride=tuple(convolution.stride),
            dilation=tuple(convolution.dilation),
            padding=_padding(convolution),
            padding_mode=convolution.padding_mode,
        ),
        groups=convolution.groups,
        form=form,
        sharpness=sharpness,
        radius=radius,
    )


def _padding(convolution: nn.Conv1d | nn.Conv2d | nn.Conv3d) -> tuple[tuple[int, int], ...]:
    """Return the padding before and after each axis; an even kernel that keeps the size has one more after it."""
    if convolution.padding == "valid":
        return ((0, 0),) * len(convolution.kernel_size)
    if convolution.padding == "same":
        spans = [
            dilation * (kernel - 1)
            for kernel, dilation in zip(convolution.kernel_size, convolution.dilation, strict=True)
        ]
        return tuple((span // 2, span - span // 2) for span in spans)
    return tuple((int(pad), int(pad)) for pad in convolution.padding)
