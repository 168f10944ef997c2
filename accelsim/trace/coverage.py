"""How much of a model a trace has, and everything that multiplies and is not in it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Count = Annotated[int, Field(ge=0)]


class LeftOut(BaseModel):
    """One part of a model that multiplies activations by weights and is not in the trace.

    `multiplications` is None where nobody could count them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    reason: str
    parameters: Count
    multiplications: Count | None


class Coverage(BaseModel):
    """Multiplications of a captured run; those for padding that the model computed are included.

    Attributes:
        parameters: of the model.
        multiplications: of activations by weights, in all forward passes.
        captured_parameters, captured_multiplications: the part of them that the trace has.
        activation_multiplications: of activations by activations, such as attention scores; apart
            from all the others, since no layer of a trace has them.
        left_out: what the trace has not, the largest part first.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    parameters: Count
    multiplications: Count
    captured_parameters: Count
    captured_multiplications: Count
    activation_multiplications: Count
    left_out: tuple[LeftOut, ...]

    @property
    def multiplications_ratio(self) -> float:
        """Captured share of the multiplications by weights; where some are not known, at most."""
        return _share(self.captured_multiplications, self.multiplications)

    @property
    def parameters_ratio(self) -> float:
        """Captured share of the parameters; embeddings, which do not multiply, count too."""
        return _share(self.captured_parameters, self.parameters)

    def describe(self) -> dict[str, Any]:
        """Return plain data for JSON; parts left out have shares instead of counts."""
        return {
            "multiplications_ratio": self.multiplications_ratio,
            "parameters_ratio": self.parameters_ratio,
            "multiplications": self.multiplications,
            "activation_multiplications": self.activation_multiplications,
            "left_out": [
                {
                    "name": part.name,
                    "reason": part.reason,
                    "parameters_ratio": _share(part.parameters, self.parameters),
                    "multiplications_ratio": None
                    if part.multiplications is None
                    else _share(part.multiplications, self.multiplications),
                }
                for part in self.left_out
            ],
        }


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def coverage_line(coverage: dict[str, Any] | None, shown: int = 3) -> str:
    """Return one sentence on a described coverage; empty if nothing is known of it.

    >>> part = {"name": "lstm", "multiplications_ratio": 0.75}
    >>> coverage_line({"multiplications_ratio": 0.25, "left_out": [part]})
    "covers 25.0% of the model's multiplications; left out: lstm (75.0%)"
    """
    if coverage is None:
        return ""
    parts = coverage["left_out"]
    unknown = any(part["multiplications_ratio"] is None for part in parts)
    line = (
        f"covers {'at most ' if unknown else ''}{coverage['multiplications_ratio']:.1%} "
        f"of the model's multiplications"
    )
    if not parts or not shown:
        return line
    names = [f"{part['name']} ({_percent(part)})" for part in parts[:shown]]
    more = [f"{len(parts) - shown} more"] if len(parts) > shown else []
    return f"{line}; left out: {', '.join([*names, *more])}"


def _percent(part: dict[str, Any]) -> str:
    ratio = part["multiplications_ratio"]
    return "not counted" if ratio is None else f"{ratio:.1%}"
