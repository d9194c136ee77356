"""Which encoder to measure: a kind of the table of encoders, with any option of its configuration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from heedful.config import apply_overrides, build
from heedful.errors import OptionError, unknown_choice
from heedful.models.encoders import ENCODER_CONFIGS, ENCODERS, Encoder, EncoderConfig


@dataclass(frozen=True)
class Spec:
    """An encoder as a person names it: `lstm`, or `transformer:positions=rotary:heads=8`.

    What is not said is the same for all: states of one width, no dropout, and recurrence in one direction,
    the one in which what is asked lies behind.

    >>> Spec.parse("transformer:positions=rotary:heads=8").config(32, 64).positions
    'rotary'
    """

    name: str
    kind: str
    options: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Spec:
        """Read a name with its options.

        Raises:
            OptionError: an encoder or option that does not exist, or a value that it may not have.
        """
        kind, *options = (part.strip() for part in text.strip().split(":"))
        if kind not in ENCODERS:
            raise unknown_choice("encoder", kind, ENCODERS)
        for option in options:
            name, equals, _ = option.partition("=")
            if not equals:
                raise OptionError(f"encoder {text!r}: {option!r} has not the form option=value")
            if name.strip() == "kind":
                raise OptionError(f"encoder {text!r}: the kind is what stands first, {kind!r}")
        spec = cls(":".join([kind, *options]), kind, tuple(options))
        spec.config(32, 64)
        return spec

    def config(self, width: int, longest: int) -> EncoderConfig:
        """Return the configuration for states of `width` features and sequences up to `longest`."""
        kind = ENCODER_CONFIGS[self.kind]
        values = apply_overrides(kind, _usual(self.kind, width, longest), self.options)
        return build(kind, values)

    def build(self, width: int, longest: int) -> Encoder:
        """Build the encoder, of inputs as wide as its states."""
        return ENCODERS[self.kind](self.config(width, longest), width)

    @property
    def has_positions(self) -> bool:
        """Whether its configuration says where positions come from."""
        return "positions" in ENCODER_CONFIGS[self.kind].model_fields

    def without_positions(self) -> Spec:
        """Return the same encoder with positions taken away."""
        kept = [one for one in self.options if one.partition("=")[0].strip() != "positions"]
        return Spec(self.name, self.kind, (*kept, "positions=none"))


def _usual(kind: str, width: int, longest: int) -> dict[str, Any]:
    """Return what a configuration says unless a person says otherwise."""
    fields = ENCODER_CONFIGS[kind].model_fields
    usual: dict[str, Any] = {"kind": kind, "dropout": 0.0}
    usual["hidden" if "hidden" in fields else "width"] = width
    wanted = {"bidirectional": False, "feed_forward": 2 * width, "max_length": longest}
    return usual | {name: value for name, value in wanted.items() if name in fields}
