"""What the shell offers: files of the right kind, and the names that are allowed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import get_type_hints

Completer = Callable[[str], list[str]]


def files(*endings: str) -> Completer:
    """Return a completer of folders, and of files that end so."""

    def complete(incomplete: str) -> list[str]:
        prefix = incomplete[: incomplete.rfind("/") + 1]
        try:
            found = sorted(Path(prefix or ".").expanduser().iterdir())
        except (OSError, RuntimeError):  # RuntimeError: nobody's home
            return []
        names = [
            f"{path.name}/" if path.is_dir() else path.name
            for path in found
            if path.is_dir() or path.name.endswith(endings)
        ]
        begun = incomplete[len(prefix) :]
        fitting = [
            f"{prefix}{name}"
            for name in names
            if name.startswith(begun) and (begun or not name.startswith("."))
        ]
        if len(fitting) == 1 and fitting[0].endswith("/"):
            return complete(fitting[0]) or fitting  # a folder alone would count as complete
        return fitting

    return complete


def names(known: Callable[[], Iterable[str]]) -> Completer:
    """Return a completer of names, which are looked up when they are asked for."""
    return lambda incomplete: [name for name in known() if name.startswith(incomplete)]


def either(*completers: Completer) -> Completer:
    """Return a completer of what several offer."""
    return lambda incomplete: [found for one in completers for found in one(incomplete)]


def _known(*choices: str) -> Completer:
    return names(lambda: choices)


def _engines() -> Iterable[str]:
    from accelsim.engine import ENGINES

    return ENGINES


def _plots() -> Iterable[str]:
    from accelsim.report.plots import PLOTS

    return sorted(PLOTS)


def _models() -> Iterable[str]:
    from accelsim.trace.shapes import model_shapes

    return model_shapes()


def _distributions() -> Iterable[str]:
    from accelsim.trace.record import SHAPES_ONLY
    from accelsim.trace.synthetic import DISTRIBUTIONS

    return (*DISTRIBUTIONS, SHAPES_ONLY)


def _keys() -> Iterable[str]:
    from accelsim.config.schema import dotted_keys

    return [f"{key}=" for key in dotted_keys()]


def _kinds() -> Iterable[str]:
    from accelsim.hardware.crossbars import CROSSBARS
    from accelsim.hardware.selectors import SELECTORS
    from accelsim.precision import PRECISIONS

    return (*sorted(SELECTORS), *sorted(CROSSBARS), *sorted(PRECISIONS))


def _tables() -> Iterable[str]:
    from accelsim.tech.load import built_in

    return built_in()


def _metrics() -> Iterable[str]:
    from accelsim.sweeps.metrics import METRICS

    return METRICS


def _precisions() -> Iterable[str]:
    from accelsim.precision import PRECISIONS

    return ("float", *PRECISIONS)


_YAML = files(".yaml", ".yml")
_TRACE, _FOLDER, _FIGURE = files(".npz"), files("/"), files(".png", ".pdf", ".svg")
_TEXT = either(_known("python-topics", "python-topics-calibration"), files(""))

BY_PARAMETER: dict[str, Completer] = {
    **dict.fromkeys(("arch", "archs", "policy", "sweep"), _YAML),
    **dict.fromkeys(("trace", "quantiles"), _TRACE),
    **dict.fromkeys(("folder", "folders"), _FOLDER),
    **dict.fromkeys(("text", "calibration"), _TEXT),
    **dict.fromkeys(("x", "y"), names(_metrics)),
    "phase": _known("prefill", "decode"),
    "engine": names(_engines),
    "layers": _known("chained", "isolated"),
    "baseline": either(_known("dense", "none"), _YAML),
    "overrides": names(_keys),
    "block": _known("selector", "crossbar", "mac", "dot_product"),
    "technology": either(names(_tables), _YAML),
    "quantity": _known("energy_pj", "area_um2"),
    "cost": _known("energy_ratio", "edp_ratio", "speedup", "tops_per_mm2_ratio"),
    "heatmap": _FIGURE,
    "accuracy": files(".json"),
    "distribution": names(_distributions),
    "dtype": _known("float16", "bfloat16", "int8"),
    "precision": names(_precisions),
    "proxy": _known("output_error", "dropped_squared_magnitude"),
    "budget": _known("cycles=", "energy=", "perplexity="),
    "device": _known("cpu", "cuda"),
    "scheduler": _known("local", "tcp://"),
}
"""What is offered for a parameter, in every command that has it."""
BY_COMMAND: dict[tuple[str, str], Completer] = {
    ("plot", "kind"): names(_plots),
    ("area", "kind"): names(_kinds),
    ("synth", "model"): names(_models),
    ("plot", "out"): _FIGURE,
}
"""The same, where commands differ."""


def with_completion(command: Callable[..., None], name: str) -> Callable[..., None]:
    """Return a command whose parameters say what the shell offers for them."""
    hints = get_type_hints(command, include_extras=True)
    for parameter, hint in hints.items():
        completer = BY_COMMAND.get((name, parameter), BY_PARAMETER.get(parameter))
        for info in getattr(hint, "__metadata__", ()):
            if completer is not None:
                info.autocompletion = completer
    command.__annotations__ = hints  # as typer would evaluate them, with our completers
    return command
