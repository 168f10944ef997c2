"""What a pruning method asks of a machine beyond selecting by magnitude."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Literal

_EPILOGUES = {"": (), "scale": ("scale",), "add": ("add",), "axpy": ("scale", "add")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Demands:
    """The hardware of a criterion and a mitigation; each entry is charged by one unit.

    Attributes:
        factors: a multiplier a channel in front of the ranking (`pre_scaler`): `fixed` ones come
            with the layer's weights, `chunk` ones from the statistics pass.
        shift: a subtraction before selection (`pre_shifter`), of one number a `token` or a
            `channel`.
        moments: running sums of x and x², before and after selection, of each token (`moments`).
        statistics: a pass over the layer's whole input before the first value can be selected
            (`statistics`): `columns` for norms over tokens, `median` or `level` for one number a
            token.
        epilogue: what each finished output goes through (`epilogue`): `scale` by a number of its
            token, `add` a number of its column, `axpy` both.
        rank: inner size of a low-rank product by which what was dropped comes back; 0: none.
        residual: whether what is left of X, once what is kept is taken out, goes through W as well,
            rounded again (`splitter`).
    """

    factors: Literal["", "fixed", "chunk"] = ""
    shift: Literal["", "token", "channel"] = ""
    moments: bool = False
    statistics: Literal["", "columns", "median", "level"] = ""
    epilogue: Literal["", "scale", "add", "axpy"] = ""
    rank: int = 0
    residual: bool = False

    def __or__(self, other: Demands) -> Demands:
        """Return both; a criterion and a mitigation must not ask for two kinds of the same.

        >>> both = Demands(factors="fixed") | Demands(epilogue="scale", moments=True)
        >>> both.factors, both.moments, both.epilogue, both.rank
        ('fixed', True, 'scale', 0)
        """
        return Demands(
            **{f.name: getattr(self, f.name) or getattr(other, f.name) for f in fields(self)}
        )

    @property
    def kinds(self) -> Mapping[str, tuple[str, ...]]:
        """The units that a machine must have for it, in the order of the data flow, and their use.

        >>> dict(Demands(shift="token", epilogue="axpy").kinds)
        {'pre_shifter': ('token',), 'epilogue': ('scale', 'add')}
        """
        uses: dict[str, tuple[str, ...]] = {
            "statistics": (self.statistics,),
            "pre_shifter": (self.shift,),
            "pre_scaler": (self.factors,),
            "splitter": ("residual" if self.residual else "",),
            "moments": ("moments" if self.moments else "",),
            "epilogue": _EPILOGUES[self.epilogue],
        }
        return {unit: kinds for unit, kinds in uses.items() if any(kinds)}

    @property
    def units(self) -> tuple[str, ...]:
        """Names of those units."""
        return tuple(self.kinds)
