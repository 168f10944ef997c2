"""From an architecture file to a machine in which nothing is left open.

Pure functions: each takes a machine and returns another one with some of what the file leaves open
filled in. What the file says stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from accelsim.base.errors import InputError, KeyedError
from accelsim.base.yaml_source import dotted
from accelsim.config.checks import check_file, rows_of_port
from accelsim.config.file import METHOD_UNITS, UNIT_KEYS, ArchitectureFile, key_of
from accelsim.hardware import LaneUnit, Unit, Unpacker
from accelsim.hardware.crossbars.banked import BankedCrossbar
from accelsim.hardware.crossbars.none import NoCrossbar
from accelsim.mapping import Datapath, ceil_div
from accelsim.precision import PRECISIONS
from accelsim.sparsity import FORMATS, Pattern
from accelsim.sparsity.patterns.two_rank import TwoRank
from accelsim.sparsity.policy import Method
from accelsim.tech.load import load_source
from accelsim.tech.source import CostSource

Machine = TypeVar("Machine", bound=ArchitectureFile)


def resolve(file: ArchitectureFile) -> ArchitectureFile:
    """Return a file with everything filled in that it leaves open.

    Raises:
        KeyedError: its parts do not fit together, or not with its clock.
    """
    check_file(file)
    try:
        tech = technology_of(file)
        machine = with_banks(with_unpacker(with_node(file, tech.node_nm)))
        machine = with_method_units(machine, [file.method])
        fitted = _fitted(machine, tech)
    except InputError as error:
        raise KeyedError(("technology", "table"), f"technology.table: {error}") from error
    _check_fitted(fitted)
    return with_lanes(with_units(machine, fitted))


def technology_of(file: ArchitectureFile) -> CostSource:
    """Load the prices of the technology that a file names, at its node."""
    return load_source(file.technology.table, node_nm=file.technology.node_nm)


def path_of(file: ArchitectureFile) -> Datapath:
    """Return the facts that tiling, units and cost share."""
    formats = file.operands
    # Products of int8 keep all their bits, those of floats are rounded to 16.
    score_bits = 16 if file.pre_scaler is not None else 0
    pattern, n, m = file.pattern, 1, 1
    if pattern.is_grouped:
        n, m = pattern.kept_per_group, pattern.group_size
    metadata = 0 if pattern.is_dense else FORMATS[file.format].bits_per_group(n, m)
    if not file.weight_pattern.is_dense:
        kept, block = file.weight_pattern.kept_per_group, file.weight_pattern.group_size
        formats = formats.with_weights(
            kept, block, FORMATS[file.format].bits_per_group(kept, block)
        )
    return Datapath(
        rows=file.mac_array.rows,
        columns=file.mac_array.columns,
        lanes=file.mac_array.lanes,
        accumulator_bits=PRECISIONS[formats.x.precision].accumulator_bits,
        formats=formats,
        clock_mhz=file.clock_mhz,
        kept_per_group=n,
        group_size=m,
        metadata_bits_per_group=metadata,
        metadata_format=file.format,
        score_bits=score_bits,
        demands=file.method.demands,
        kept_share=None if pattern.is_grouped else pattern.kept_share,
        is_gathered=file.diagram.gathers_rows and not pattern.is_dense,
        queue_groups=getattr(file.crossbar, "queue_groups", 0),
        lower_rank=lower_rank(file.pattern) or lower_rank(file.weight_pattern),
        is_unrolled=file.diagram.unrolls_blocks,
        modes=tuple((mode.kept_per_group, mode.group_size) for mode in file.modes),
    )


def lower_rank(pattern: Pattern) -> tuple[int, int] | None:
    """Return the N and M of blocks of a pattern of two ranks."""
    if isinstance(pattern, TwoRank):
        return pattern.kept_per_block, pattern.block_size
    return None


def with_node(file: Machine, node_nm: float) -> Machine:
    """Return the machine with its process node spelled out."""
    technology = file.technology.model_copy(update={"node_nm": node_nm})
    return file.model_copy(update={"technology": technology})


def with_method_units(machine: Machine, methods: Iterable[Method]) -> Machine:
    """Return the machine with the units of pruning methods that these methods ask for besides."""
    demands = [method.demands for method in methods]
    units = machine.method_units
    for shipped in METHOD_UNITS:
        key, unit = shipped.key, machine.diagram.classes.get(shipped.key, shipped)
        assert issubclass(unit, LaneUnit)
        if key not in units and any(map(unit.asked, demands)):
            units[key] = unit()
        if key in units:
            units[key] = units[key].serving(demands)
    return machine.model_copy(update=units) if units else machine


def with_unpacker(machine: Machine) -> Machine:
    """Return the machine with an unpacker that keeps up, if its weights need one."""
    if not machine.operands.unpacks:
        return machine
    unit = machine.unpacker or machine.diagram.classes.get("unpacker", Unpacker)()
    assert isinstance(unit, Unpacker)
    return machine.model_copy(update={"unpacker": unit.keeping_up(path_of(machine))})


def with_banks(machine: Machine) -> Machine:
    """Return the machine with as many banks as its weight buffer has memories side by side."""
    if not isinstance(machine.crossbar, BankedCrossbar):
        return machine
    banks = min(machine.buffers.weights.macros, rows_of_port(machine))
    return machine.model_copy(update={"crossbar": machine.crossbar.with_banks(banks)})


def with_units(machine: Machine, units: Mapping[str, Unit | None]) -> Machine:
    """Return the machine with other units, by their names in diagrams; None takes one out."""
    shipped = {UNIT_KEYS[name]: unit for name, unit in units.items() if name in UNIT_KEYS}
    keys: dict[str, Any] = {key[0]: unit for key, unit in shipped.items() if len(key) == 1}
    buffers = {key[1]: unit for key, unit in shipped.items() if len(key) > 1}
    if keys.get("crossbar", machine.crossbar) is None:
        keys["crossbar"] = NoCrossbar(kind="none")
    if buffers:
        keys["buffers"] = machine.buffers.model_copy(update=buffers)
    opened = {name: unit for name, unit in units.items() if name not in UNIT_KEYS}
    if opened:
        opened = {**machine.extra_units, **opened}
        keys["extra_units"] = {name: unit for name, unit in opened.items() if unit is not None}
    return machine.model_copy(update=keys)


def with_lanes(machine: Machine) -> Machine:
    """Return the machine with as many lanes as keep up in units of methods, where that is open.

    Raises:
        KeyedError: the table of one is smaller than one access of its lanes.
    """
    if not machine.method_units:
        return machine
    path = path_of(machine)
    units: dict[str, LaneUnit] = {
        key: unit.with_default("lanes", rate(machine, key))
        for key, unit in machine.method_units.items()
    }
    for key, unit in units.items():
        try:
            unit.check(path)
        except InputError as error:
            raise KeyedError((key, "table_kib"), f"{key}.table_kib: {error}") from error
    return machine.model_copy(update=units)


def rate(machine: ArchitectureFile, key: str) -> int:
    """Return the values a cycle that reach a unit of a pruning method."""
    path = path_of(machine)
    if key == "epilogue":
        return machine.mac_array.columns
    if key == "statistics":
        return max(1, 8 * machine.buffers.activations.port_bytes // path.x.bits)
    assert machine.selector is not None
    positions = machine.selector.instances * path.group_size
    return ceil_div(positions, machine.selector.cycles_per_group(path))


def _fitted(machine: ArchitectureFile, tech: CostSource) -> dict[str, Unit]:
    """Return the units that the clock changes, pipelined as it asks where the file is silent."""
    path = path_of(machine)
    pairs = [(name, unit, unit.fit_clock(tech, path)) for name, unit in machine.given_units.items()]
    return {name: fitted for name, unit, fitted in pairs if fitted is not unit}


def _check_fitted(units: Mapping[str, Unit]) -> None:
    """Raise KeyedError if the clock asks for more of a unit than its keys may say."""
    for name, unit in units.items():
        try:
            type(unit).model_validate(unit.model_dump())
        except ValidationError as error:
            problem = error.errors()[0]
            key = dotted((*key_of(name), str(problem["loc"][-1])))
            raise KeyedError(
                ("clock_mhz",),
                f"clock_mhz: it asks for {key} {problem['input']}; {problem['msg']}",
            ) from error
