"""A comparison of patterns at equal area as a file: which work, areas, bandwidths and trials."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from accelsim.base.errors import InputError
from accelsim.base.yaml_source import dotted, read_yaml
from accelsim.trace import Trace, load_trace
from accelsim.trace.shapes import synthesise
from accelsim.tuning.bench import Duty

_STRICT = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class PlannedWork(BaseModel):
    """Work that machines are searched for: a trace, or shapes of a public model, and a phase.

    Attributes:
        trace: a trace file; its path is from the plan.
        model: a name of `accelsim.trace.shapes`, of which `blocks` blocks run.
        tokens: of the model, in sequences of `seq_len`, in values of a normal distribution.
        batch: sequences of a decode step; none: prefill.
        shares: areas for this work, if not those of the plan.
    """

    model_config = _STRICT

    trace: str | None = None
    model: str | None = None
    tokens: Annotated[int, Field(strict=True, gt=0)] = 2048
    seq_len: Annotated[int, Field(strict=True, gt=0)] | None = None
    blocks: Annotated[int, Field(strict=True, gt=0)] = 1
    batch: Annotated[int, Field(strict=True, gt=0)] | None = None
    shares: tuple[Annotated[float, Field(gt=0)], ...] = ()

    @model_validator(mode="after")
    def _has_one_source(self) -> Self:
        if (self.trace is None) == (self.model is None):
            raise ValueError("needs 'trace' or 'model', and not both")
        return self

    @property
    def duty(self) -> Duty:
        """The phase that machines have to do."""
        return Duty(self.batch)

    def identity(self, trace: Trace) -> str:
        """Return what the work consists of: of shapes, the recipe, which is the same everywhere."""
        return f"{trace.sha256 if self.model is None else self.model_dump_json()} {self.duty}"

    def load(self, beside: Path, folder: Path) -> Trace:
        """Return the trace; one of shapes is written into a folder.

        Args:
            beside: the folder of the plan.
            folder: where a trace may be written.
        """
        if self.trace is not None:
            return load_trace(beside / self.trace)
        name = f"{self.model}-{self.tokens}-{self.seq_len or self.tokens}-{self.blocks}.npz"
        return synthesise(
            str(self.model),
            folder / name,
            tokens=self.tokens,
            seq_len=self.seq_len,
            layers=self.blocks,
        )


class AreaPlan(BaseModel):
    """What is compared.

    Attributes:
        reference: the architecture file whose area is 1.
        bases: by pattern, the architecture file that its machines are made from.
        shares: areas, as shares of the reference's.
        bandwidths_gb_per_s: of DRAM, ascending.
        tuned_at_gb_per_s: at which the machines of the files are tuned, to begin with.
        trials: machines simulated for each area, bandwidth, work, pattern and seed.
        seeds: searches of everything.
        works: by name.
    """

    model_config = _STRICT

    schema_: Literal[1] = Field(alias="schema")
    reference: str
    bases: Annotated[Mapping[str, str], Field(min_length=1)]
    shares: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1)]
    bandwidths_gb_per_s: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1)]
    tuned_at_gb_per_s: Annotated[float, Field(gt=0)] = 64.0
    trials: Annotated[int, Field(strict=True, gt=0)]
    seeds: Annotated[int, Field(strict=True, gt=0)]
    works: Annotated[Mapping[str, PlannedWork], Field(min_length=1)]

    def shares_of(self, work: str) -> tuple[float, ...]:
        """Return the areas for some work, ascending."""
        return tuple(sorted(self.works[work].shares or self.shares))

    def climbs(self) -> Iterator[tuple[str, float, int]]:
        """Yield work, bandwidth and seed of each climb through the areas, in the plan's order."""
        yield from product(self.works, self.bandwidths_gb_per_s, range(self.seeds))


def load_area_plan(path: Path) -> AreaPlan:
    """Load a plan; raise InputError with file and key if it is none."""
    source = read_yaml(path)
    try:
        plan = AreaPlan.model_validate(source.data)
    except ValidationError as error:
        problem = error.errors()[0]
        key = tuple(str(part) for part in problem["loc"])
        raise InputError(f"{source.where(key)}: key '{dotted(key)}': {problem['msg']}") from error
    return plan
