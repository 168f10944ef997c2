"""Checks across the parts of an architecture file; a key by itself is checked where it is read."""

from __future__ import annotations

from accelsim.base.errors import InputError, KeyedError, shown
from accelsim.base.registry import did_you_mean
from accelsim.base.yaml_source import dotted
from accelsim.config.file import METHOD_UNITS, UNIT_KEYS, ArchitectureFile, key_of
from accelsim.config.pattern_checks import (
    check_both,
    check_modes,
    check_patterns,
    check_scales_of_blocks,
    check_selector,
)
from accelsim.config.values import check_criterion
from accelsim.dataflows.diagram import Role
from accelsim.hardware import (
    CROSSBARS,
    UNITS,
    Buffer,
    Dram,
    PreScaler,
    Resource,
)
from accelsim.hardware.crossbars.banked import BankedCrossbar
from accelsim.hardware.unit import only_kind
from accelsim.mapping import ceil_div
from accelsim.precision import PRECISIONS
from accelsim.sparsity import Pattern
from accelsim.sparsity.criteria import CRITERIA
from accelsim.sparsity.mitigations import parse_mitigation
from accelsim.sparsity.patterns.nm import NM
from accelsim.sparsity.policy import Method
from accelsim.tech.load import load_source


def check_file(file: ArchitectureFile) -> None:
    """Raise KeyedError if the parts of a file do not fit together."""
    check_patterns(file)
    check_modes(file)
    _check_costs(file)
    _check_diagram(file)
    _check_parts(file)
    check_selector(file)
    _check_unpacker(file)
    _check_banks(file)
    check_scales_of_blocks(file)
    _check_own_method(file)


def check_method(method: Method) -> None:
    """Raise InputError if no machine runs layers by this method, whatever its pattern."""
    check_criterion(method.criterion)
    parts = CRITERIA[method.criterion], parse_mitigation(method.mitigation)
    if len({part.demands.statistics for part in parts} - {""}) > 1:
        raise InputError(
            f"criterion '{method.criterion}' and mitigation '{method.mitigation}' each need a pass "
            f"of their own over X, and a machine makes one"
        )


def check_runs(file: ArchitectureFile, method: Method) -> None:
    """Raise InputError if the machine cannot run layers by this method."""
    pattern = _widest(file)
    if not method.pattern.runs_on(pattern):
        within = f", {pattern}, and N:M whose groups fit into those of {pattern}"
        if not pattern.is_grouped:
            within = f", {pattern}, and the like with another share"
        raise InputError(
            f"pattern '{method.pattern}' does not run on a machine of pattern '{pattern}'; "
            f"allowed: dense{'' if pattern.is_dense else within}"
        )
    check_method(method)
    demands, drawn = method.demands, file.diagram.units
    if demands.residual and not PRECISIONS[file.operands.x.precision].block:
        with_scales = ", ".join(name for name in sorted(PRECISIONS) if PRECISIONS[name].block)
        raise InputError(
            f"mitigation '{method.mitigation}' rounds X twice, with scales of blocks, which "
            f"precision '{file.operands}' does not have; allowed: {with_scales}"
        )
    if not pattern.keeps_any and PreScaler.asked(demands):
        raise InputError(
            f"criterion '{method.criterion}' ranks by scores, of which pattern '{pattern}' has no "
            f"sums"
        )
    if demands.rank:
        _check_low_rank(file, method.mitigation)
    for unit in METHOD_UNITS:
        if unit.key not in drawn and unit.asked(demands):
            raise InputError(
                f"criterion '{method.criterion}' with mitigation '{method.mitigation}' needs "
                f"'{unit.key}', for which dataflow '{file.dataflow}' has no place"
            )


def _check_low_rank(file: ArchitectureFile, mitigation: str) -> None:
    """Raise InputError if the machine cannot add the products of a low-rank mitigation."""
    reason = ""
    if not file.weight_pattern.is_dense:
        reason = (
            f"a product with whole weights, which a machine with weight_pattern "
            f"'{file.weight_pattern}' does not store"
        )
    elif file.modes:
        reason = "products in other modes than the layer's own; leave 'modes' out for it"
    elif file.diagram.gathers_rows:
        reason = f"a product of what was dropped, which dataflow '{file.dataflow}' does not keep"
    if reason:
        raise InputError(f"mitigation '{mitigation}' adds {reason}")


def _widest(file: ArchitectureFile) -> Pattern:
    """Return the pattern that keeps most: the machine's, or what its selector can beyond that.

    Only where blocks are unrolled, which take as many steps as values are kept.
    """
    pattern, selector = file.pattern, file.selector
    if pattern.is_dense or selector is None or not file.diagram.unrolls_blocks:
        return pattern
    most = min(selector.most_kept(pattern.kept_per_group), pattern.group_size)
    return pattern if most == pattern.kept_per_group else NM(most, pattern.group_size)


def _check_diagram(file: ArchitectureFile) -> None:
    """Check that the block diagram has a place for each unit, and each place that needs one has."""
    dataflow, drawn, there = f"dataflow '{file.dataflow}'", file.diagram.units, file.given_units
    needs_selector = not (file.pattern.is_dense or file.diagram.patterns)
    if needs_selector and "selector" not in drawn:
        raise KeyedError(
            ("pattern",),
            f"pattern '{file.pattern}' needs 'selector', for which {dataflow} has no place; "
            f"allowed: dense",
        )
    for name, key in UNIT_KEYS.items():
        if name in there and name not in drawn:
            raise KeyedError(key, f"{dataflow} has no place for '{dotted(key)}'")
    _check_extra_units(file)
    _check_kinds(file)
    for name in _required(file):
        if name not in there and name not in UNIT_KEYS:
            raise KeyedError(
                ("dataflow",),
                f"{dataflow} needs unit '{name}', which is missing: write "
                f"'units: {{{name}: {{}}}}', or its keys in there; "
                f"kinds: {', '.join(sorted(UNITS))}",
            )


def _check_extra_units(file: ArchitectureFile) -> None:
    """Check that each unit of the section `units` has a place, and no key of its own."""
    places = [name for name in file.diagram.units if name not in UNIT_KEYS]
    there = file.given_units
    for name in file.extra_units:
        if name in UNIT_KEYS:
            its_own = dotted(UNIT_KEYS[name])
            raise KeyedError(
                ("units", name), f"unit '{name}' has a key of its own: write '{its_own}'"
            )
        if name not in places:
            raise KeyedError(
                ("units", name),
                f"dataflow '{file.dataflow}' has no place for unit '{shown(name)}'"
                f"{did_you_mean(name, places)}; allowed: {', '.join(places) or 'none'}",
            )
        for stage in file.diagram.stages:
            if name in {part.name for part in stage.parts} and not stage.has_place(there):
                raise KeyedError(
                    ("units", name),
                    f"unit '{name}' works in stage '{stage.name}', which is not there without "
                    f"'{stage.needs}'",
                )


def _check_kinds(file: ArchitectureFile) -> None:
    """Check that what streams share can move tiles, and that what stages fill is a buffer."""
    dataflow, stages = f"dataflow '{file.dataflow}'", file.diagram.stages
    buffers = {stage.fills for stage in stages}
    parts = {part.name for part in file.diagram.parts if part.role is not Role.STREAM}
    for name, unit in file.given_units.items():
        if name in file.diagram.resources and not isinstance(unit, Resource):
            raise KeyedError(
                key_of(name),
                f"{dataflow} has streams on '{name}': it must move tiles, as dram does",
            )
        if name in buffers and not isinstance(unit, Buffer):
            raise KeyedError(key_of(name), f"{dataflow} fills '{name}': it must be a buffer")
        if name in parts and isinstance(unit, Buffer | Resource):
            raise KeyedError(
                key_of(name),
                f"{dataflow} has words pass '{name}': it must be neither channel nor buffer",
            )


def _required(file: ArchitectureFile) -> list[str]:
    """Return the units without which the block diagram is none; the others are left out of it.

    A unit that only this diagram has was drawn to be there: leaving it out would change results in
    silence. A dense machine goes without what only selection needs.
    """
    there = file.given_units
    stages = [stage for stage in file.diagram.stages if stage.has_place(there)]
    array = [part.name for part in file.diagram.parts if part.role is Role.COMPUTE]
    own = [
        part.name
        for stage in stages
        for part in stage.parts
        if part.role is not Role.STREAM
        and part.name not in UNIT_KEYS
        and not (part.is_sparse and file.pattern.is_dense)
    ]
    filled = [stage.fills for stage in stages if stage.fills]
    return [*file.diagram.resources, *array, *filled, *own]


def _check_costs(file: ArchitectureFile) -> None:
    """Check what the technology table must know, and say which key asks for it."""
    try:
        source = load_source(file.technology.table)
    except InputError as error:
        raise KeyedError(("technology", "table"), f"technology.table: {error}") from error
    try:
        tech = source.at_node(file.technology.node_nm or source.node_nm)
        tech.check_node()
    except InputError as error:
        raise KeyedError(("technology", "node_nm"), f"technology.node_nm: {error}") from error
    for name, unit in file.given_units.items():
        key = (*key_of(name), "standard")
        try:
            if isinstance(unit, Dram):
                tech.dram(unit.standard)
        except InputError as error:
            raise KeyedError(key, f"{dotted(key)}: {error}") from error


def _check_parts(file: ArchitectureFile) -> None:
    """Check that a sparse machine has what selection needs, and a dense one nothing of it.

    A sparse machine needs what its block diagram has a place for.
    """
    pattern, drawn, there = file.pattern, file.diagram.units, file.given_units
    for unit in ("selector", "compressed_buffer"):
        key = UNIT_KEYS[unit]
        if pattern.is_dense and unit in there:
            name = dotted(key)
            raise KeyedError(key, f"pattern '{pattern}' drops nothing and has no use for '{name}'")
        if not pattern.is_dense and unit in drawn and unit not in there:
            raise KeyedError(key, f"pattern '{pattern}' needs '{dotted(key)}', which is missing")
    _check_crossbar(file)


def _check_crossbar(file: ArchitectureFile) -> None:
    """Check that a machine with a sparse operand routes the other one, and no other does."""
    x, w, there = file.pattern, file.weight_pattern, file.given_units
    if file.diagram.packs is not None and "crossbar" not in file.diagram.units:
        return
    check_both(file)
    if x.is_dense and w.is_dense and "crossbar" in there:
        raise KeyedError(
            ("crossbar",), f"pattern '{x}' drops nothing and has no use for 'crossbar'"
        )
    if not w.is_dense and "crossbar" not in file.diagram.units:
        raise KeyedError(
            ("weight_pattern",),
            f"weight_pattern '{w}' needs 'crossbar', for which dataflow '{file.dataflow}' has no "
            f"place; allowed: dense",
        )
    if "crossbar" in file.diagram.units and "crossbar" not in there:
        own = file.diagram.classes.get("crossbar")
        kinds = ", ".join(k for k in CROSSBARS if CROSSBARS[k].is_routing)
        kinds = only_kind(own) if own is not None else kinds
        of_x, of_w = ("pattern", x, "weights"), ("weight_pattern", w, "activations")
        for key, sparse, routed in (of_x, of_w):
            if not sparse.is_dense:
                needed = f"needs a crossbar that routes {routed}: crossbar.kind {kinds}"
                raise KeyedError(("crossbar",), f"{key} '{sparse}' {needed}")


def _check_unpacker(file: ArchitectureFile) -> None:
    """Check that an unpacker has weights to unpack, and such weights a place for one."""
    if file.unpacker is not None and not file.operands.unpacks:
        raise KeyedError(
            ("unpacker",),
            f"precision '{file.operands}' has W as the multipliers take it, and no use for "
            f"'unpacker'",
        )
    if file.operands.unpacks and "unpacker" not in file.diagram.units:
        raise KeyedError(
            ("precision",),
            f"precision '{file.operands}' needs 'unpacker', for which dataflow '{file.dataflow}' "
            f"has no place",
        )


def _check_banks(file: ArchitectureFile) -> None:
    """Check that a weight buffer can give a row of W from each bank that a crossbar reaches."""
    crossbar, weights = file.crossbar, file.buffers.weights
    if not isinstance(crossbar, BankedCrossbar):
        return
    banks = crossbar.banks or max(1, min(weights.macros, rows_of_port(file)))
    if banks > rows_of_port(file):
        needed = ceil_div(banks * file.mac_array.columns * file.operands.w.bits, 8)
        raise KeyedError(
            ("crossbar", "banks"),
            f"crossbar.banks {banks}: each gives a row of {file.mac_array.columns} columns in a "
            f"cycle, for which buffers.weights.port_bytes must be at least {needed}, not "
            f"{weights.port_bytes}",
        )
    if weights.macros % banks:
        raise KeyedError(
            ("buffers", "weights", "macros"),
            f"buffers.weights.macros {weights.macros} must be whole banks, of which the crossbar "
            f"reaches {banks}; write {ceil_div(weights.macros, banks) * banks}",
        )


def rows_of_port(file: ArchitectureFile) -> int:
    """Return the rows of W, of C columns, that the weight buffer gives in a cycle."""
    row_bits = file.mac_array.columns * file.operands.w.bits
    return 8 * file.buffers.weights.port_bytes // row_bits


def _check_own_method(file: ArchitectureFile) -> None:
    """Check the method of the machine itself, and that a dense machine has none."""
    used = {
        "criterion": file.criterion != "act",
        "mitigation": file.mitigation != "none",
        **dict.fromkeys(file.method_units, True),
    }
    for key, is_used in used.items():
        if file.pattern.is_dense and is_used:
            raise KeyedError((key,), f"pattern 'dense' drops nothing and needs no '{key}'")
    try:
        check_runs(file, file.method)
    except InputError as error:
        raise KeyedError(("mitigation",), str(error)) from error
