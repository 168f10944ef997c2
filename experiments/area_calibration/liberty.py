"""Read what area and energy need from a Liberty file: cells, functions, capacitances, tables.

Units on the way out, whatever the file uses: µm², fF, ps, fJ, nW.
"""

from __future__ import annotations

import gzip
import hashlib
import itertools
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

# A statement begins as `name : value;`, `name (arguments);` or `name (arguments) {`.
_STATEMENT = re.compile(
    r"(?P<close>\})"
    r"|(?P<key>\w+)\s*:\s*(?P<value>\"[^\"]*\"|[^;{}\n]*)"
    r"|(?P<name>\w+)\s*\((?P<arguments>(?:\"[^\"]*\"|[^)\"])*)\)\s*(?P<open>\{)?"
)
_COMMENT = re.compile(r"/\*.*?\*/", re.S)


@dataclass
class Group:
    """A Liberty group: `kind (argument) { attributes and groups }`, and where its text lies."""

    kind: str
    argument: str
    start: int
    end: int = 0
    attributes: dict[str, str] = field(default_factory=dict)
    groups: list[Group] = field(default_factory=list)

    def all(self, kind: str) -> Iterator[Group]:
        """Yield the direct groups of one kind."""
        return (group for group in self.groups if group.kind == kind)

    def first(self, *kinds: str) -> Group | None:
        """Return the first direct group of one of these kinds."""
        return next((group for group in self.groups if group.kind in kinds), None)


def parse(text: str) -> Group:
    """Parse Liberty text; return its library group."""
    text = _COMMENT.sub(lambda comment: " " * len(comment[0]), text).replace("\\\n", " \n")
    stack = [Group("", "", 0)]
    for found in _STATEMENT.finditer(text):
        if found["close"]:
            stack.pop().end = found.end()
        elif found["key"]:
            stack[-1].attributes[found["key"]] = found["value"].strip().strip('"')
        elif found["open"]:
            group = Group(found["name"], found["arguments"].strip().strip('"'), found.start())
            stack[-1].groups.append(group)
            stack.append(group)
        else:
            stack[-1].attributes[found["name"]] = found["arguments"].replace('"', " ")
    if len(stack) != 1:
        raise ValueError("not a whole Liberty file: a group is not closed")
    return stack[0].groups[0]


# --- boolean functions ----------------------------------------------------------------------------
Function = Callable[[Mapping[str, Any]], Any]


class _Translator:
    """Recursive descent from a Liberty function to a Python expression over `p`, the pins.

    Not binds closest, then exclusive or, then and, then or, as Liberty has it; two operands side by
    side are anded.
    """

    LEVELS = (("+|", "|"), ("*&", "&"), ("^", "^"))

    def __init__(self, text: str) -> None:
        self.tokens = [*re.findall(r"[A-Za-z_]\w*|[01]|[!'*&+|^()]", text), ""]

    def chain(self, level: int = 0) -> str:
        if level == len(self.LEVELS):
            return self.atom()
        symbols, python = self.LEVELS[level]
        parts = [self.chain(level + 1)]
        while self.tokens[0]:
            if self.tokens[0] in symbols:
                self.tokens.pop(0)
            elif not (python == "&" and re.match(r"[\w!(]", self.tokens[0])):
                break
            parts.append(self.chain(level + 1))
        return f"({f' {python} '.join(parts)})"

    def atom(self) -> str:
        token = self.tokens.pop(0)
        if token == "!":
            return f"(~{self.atom()})"
        if token == "(":
            result = self.chain()
            self.tokens.pop(0)
        else:
            result = {"0": "0", "1": "-1"}.get(token, f"p[{token!r}]")
        while self.tokens[0] == "'":
            self.tokens.pop(0)
            result = f"(~{result})"
        return result


def compile_function(text: str) -> Function:
    """Compile a Liberty function to one of a mapping from pins to ints or integer arrays.

    >>> compile_function("!(A*B) + C'")({"A": 0b11, "B": 0b10, "C": 0b11}) & 0b11
    1
    """
    code = compile(_Translator(text).chain(), text, "eval")
    # What is evaluated was put together above, from names in quotes and operators.
    return lambda pins: eval(code, {"__builtins__": {}}, {"p": pins})


# --- tables ---------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Table:
    """A lookup table over none, one or two axes: input slew (ps), then load (fF)."""

    axes: tuple[tuple[float, ...], ...]
    values: tuple[float, ...]

    def at(self, slew_ps: float, load_ff: float) -> float:
        """Interpolate linearly; outside of the table its edge holds."""
        corners = [
            _neighbours(axis, x) for axis, x in zip(self.axes, (slew_ps, load_ff), strict=False)
        ]
        result = 0.0
        for corner in itertools.product(*corners):
            index, weight = 0, 1.0
            for axis, (position, share) in zip(self.axes, corner, strict=True):
                index, weight = index * len(axis) + position, weight * share
            result += weight * self.values[index]
        return result


def _neighbours(axis: tuple[float, ...], x: float) -> tuple[tuple[int, float], ...]:
    """Return the points of an axis around x, and their weights."""
    if len(axis) == 1:
        return ((0, 1.0),)
    low = min(max(bisect_right(axis, x) - 1, 0), len(axis) - 2)
    share = min(max((x - axis[low]) / (axis[low + 1] - axis[low]), 0.0), 1.0)
    return ((low, 1 - share), (low + 1, share))


@dataclass(frozen=True)
class Power:
    """Internal energy of a pin's edges in fJ: of an output caused by `related`, or on a state."""

    related: str | None
    when: Function | None
    rise: Table
    fall: Table


@dataclass(frozen=True)
class Pin:
    """A signal pin of a cell."""

    name: str
    is_output: bool
    capacitance_ff: float
    function: str
    power: tuple[Power, ...]
    delays: tuple[Table, ...]  # in ps, of an output's edges


@dataclass(frozen=True)
class FlipFlop:
    """What a flip-flop stores: next value of the state variable `state`; `inverse` is its dual."""

    state: str
    inverse: str
    next_state: str
    clock: str


@dataclass(frozen=True)
class Cell:
    """A cell of the library."""

    name: str
    area_um2: float
    leakage_nw: float
    pins: Mapping[str, Pin]
    flip_flop: FlipFlop | None

    @property
    def inputs(self) -> list[str]:
        """Return the names of the input pins."""
        return [pin.name for pin in self.pins.values() if not pin.is_output]

    @property
    def outputs(self) -> list[str]:
        """Return the names of the output pins."""
        return [pin.name for pin in self.pins.values() if pin.is_output]

    def is_nand2(self) -> bool:
        """Tell whether this is a two-input NAND."""
        if self.flip_flop or len(self.inputs) != 2 or len(self.outputs) != 1:
            return False
        text = self.pins[self.outputs[0]].function
        if set(re.findall(r"\w+", text)) != set(self.inputs):  # a latch shows its state
            return False
        values = dict(zip(self.inputs, (0b0101, 0b0011), strict=True))
        return compile_function(text)(values) & 0b1111 == 0b1110


_SI = {"": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9, "p": 1e-12, "f": 1e-15}


def _unit(text: str) -> float:
    """Return the SI value of a unit such as `1ns` or `100pW`."""
    found = re.fullmatch(r"([\d.]+)\s*([munpf]?)[a-zA-Z]+", text.strip())
    if found is None:
        raise ValueError(f"unknown unit '{text}'")
    return float(found[1]) * _SI[found[2]]


class Library:
    """A Liberty file, plain or gzipped."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.root = parse(text)
        number, prefix = self.root.attributes["capacitive_load_unit"].split(",")
        self._ff = float(number) * _SI[prefix.strip().lower()[0]] * 1e15
        self._ps = _unit(self.root.attributes["time_unit"]) * 1e12
        self._volt = _unit(self.root.attributes["voltage_unit"])
        self._fj = self._ff * self._volt**2  # the unit of internal power
        self._templates = {group.argument: group for group in self.root.groups}

    @classmethod
    def read(cls, path: Path) -> Library:
        """Read a file."""
        data = path.read_bytes()
        data = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
        return cls(data.decode("utf-8", errors="replace"))

    @property
    def sha256(self) -> str:
        """Return the first 12 digits of the hash of the uncompressed text."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:12]

    @property
    def version(self) -> str:
        """Return what the file says of its revision."""
        return self.root.attributes.get("revision", "").strip("$ ").removeprefix("Revision: ")

    @property
    def supply_v(self) -> float:
        """Return the nominal voltage."""
        return float(self.root.attributes["nom_voltage"]) * self._volt

    @property
    def nand2_um2(self) -> float:
        """Return the area of the smallest NAND2, one gate equivalent."""
        return min(cell.area_um2 for cell in self.cells.values() if cell.is_nand2())

    @property
    def has_power(self) -> bool:
        """Tell whether cells have internal power."""
        return any(pin.power for cell in self.cells.values() for pin in cell.pins.values())

    @cached_property
    def cells(self) -> dict[str, Cell]:
        """Return all cells by name."""
        return {group.argument: self._cell(group) for group in self.root.all("cell")}

    def without(self, unwanted: str) -> str:
        """Return the text without the cells whose name matches a pattern."""
        pieces, at = [], 0
        for group in self.root.all("cell"):
            if re.search(unwanted, group.argument):
                pieces.append(self.text[at : group.start])
                at = group.end
        return "".join((*pieces, self.text[at:]))

    def _cell(self, group: Group) -> Cell:
        pins = {pin.argument: self._pin(pin) for pin in group.all("pin")}
        return Cell(
            name=group.argument,
            area_um2=float(group.attributes["area"]),
            leakage_nw=float(group.attributes.get("cell_leakage_power", 0)) * self._leakage_nw,
            pins=pins,
            flip_flop=_flip_flop(group.first("ff")),
        )

    @cached_property
    def _leakage_nw(self) -> float:
        return _unit(self.root.attributes.get("leakage_power_unit", "1nW")) * 1e9

    def _pin(self, group: Group) -> Pin:
        return Pin(
            name=group.argument,
            is_output=group.attributes.get("direction") == "output",
            capacitance_ff=float(group.attributes.get("capacitance", 0)) * self._ff,
            function=group.attributes.get("function", ""),
            power=tuple(self._power(power) for power in group.all("internal_power")),
            delays=tuple(
                self._table(table, self._ps)
                for timing in group.all("timing")
                for table in timing.groups
                if table.kind in ("cell_rise", "cell_fall")
            ),
        )

    def _power(self, group: Group) -> Power:
        when = group.attributes.get("when")
        return Power(
            related=group.attributes.get("related_pin"),
            when=compile_function(when) if when else None,
            rise=self._table(group.first("rise_power", "power"), self._fj),
            fall=self._table(group.first("fall_power", "power"), self._fj),
        )

    def _table(self, group: Group | None, value_unit: float) -> Table:
        """Read a table of values in a unit."""
        if group is None:
            return Table((), (0.0,))
        template = self._templates.get(group.argument)
        axes = []
        for number, unit in ((1, self._ps), (2, self._ff)):
            index = f"index_{number}"
            text = group.attributes.get(index) or (template and template.attributes.get(index))
            if text:
                axes.append(tuple(x * unit for x in _floats(text)))
        values = tuple(x * value_unit for x in _floats(group.attributes["values"]))
        return Table(tuple(axes) if len(values) > 1 else (), values)


def _floats(text: str) -> list[float]:
    return [float(number) for number in re.split(r"[\s,]+", text.strip()) if number]


def _flip_flop(group: Group | None) -> FlipFlop | None:
    if group is None:
        return None
    state, inverse = (name.strip(' "') for name in group.argument.split(","))
    attributes = group.attributes
    return FlipFlop(state, inverse, attributes["next_state"], attributes["clocked_on"])
