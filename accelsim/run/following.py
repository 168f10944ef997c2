"""Whether the layers of a trace follow each other, or run one by one."""

from typing import Literal

from accelsim.base.arguments import wrong_type
from accelsim.base.errors import InputError
from accelsim.base.registry import did_you_mean

Layers = Literal["chained", "isolated"]
LAYERS: tuple[Layers, ...] = ("chained", "isolated")
DEFAULT_LAYERS: Layers = "chained"


def check_layers(layers: str) -> None:
    """Raise InputError if that is no way in which layers run.

    Raises:
        ArgumentError: it is no string.
    """
    if not isinstance(layers, str):
        raise wrong_type(layers, "layers", f"one of {', '.join(LAYERS)}")
    if layers not in LAYERS:
        near = did_you_mean(layers, LAYERS)
        raise InputError(f"unknown layers '{layers}'{near}; allowed: {', '.join(LAYERS)}")
