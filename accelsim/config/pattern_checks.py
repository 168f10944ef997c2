"""Checks of the patterns of an architecture file: which of X and W its dataflow and units run."""

from __future__ import annotations

from itertools import pairwise

from accelsim.base.errors import KeyedError
from accelsim.config.file import ArchitectureFile
from accelsim.dataflows import DATAFLOWS
from accelsim.dataflows.matches import MASK_BITS
from accelsim.hardware import CROSSBARS, SELECTORS
from accelsim.precision import PRECISIONS
from accelsim.sparsity.patterns.nm import NM


def check_patterns(file: ArchitectureFile) -> None:
    """Check that the dataflow runs the pattern: any positions with row gather, else groups."""
    pattern, w, dataflow = file.pattern, file.weight_pattern, file.dataflow
    taking = [name for name in DATAFLOWS if DATAFLOWS[name].takes_any_positions]
    if not w.is_grouped:
        raise KeyedError(
            ("weight_pattern",), f"weight_pattern '{w}' has no groups; allowed: dense, or N:M"
        )
    _check_own_patterns(file)
    if not pattern.is_grouped and not file.diagram.takes_any_positions:
        raise KeyedError(
            ("pattern",),
            f"no machine runs pattern '{pattern}' in dataflow '{dataflow}', as it has no groups; "
            f"allowed: dense, or N:M; dataflows that run it: {', '.join(taking)}",
        )
    if file.diagram.gathers_rows:
        _check_gathered(file)
    check_selector(file)


def _check_own_patterns(file: ArchitectureFile) -> None:
    """Check that a dataflow that names the patterns that it runs has one of them."""
    own, pattern = file.diagram.patterns, file.pattern
    if own and not (pattern.is_dense or isinstance(pattern, own)):
        names = ", ".join(cls.__name__.lower() for cls in own)
        raise KeyedError(
            ("pattern",),
            f"dataflow '{file.dataflow}' does not run pattern '{pattern}'; allowed: dense, {names}",
        )


def _check_gathered(file: ArchitectureFile) -> None:
    """Check that a dataflow that gathers rows of W finds single ones, by a bit for each."""
    pattern, w, dataflow = file.pattern, file.weight_pattern, file.dataflow
    if not w.is_dense:
        raise KeyedError(
            ("weight_pattern",), f"dataflow '{dataflow}' gathers rows of a dense W; allowed: dense"
        )
    if pattern.is_grouped and not pattern.is_dense:
        raise KeyedError(
            ("pattern",),
            f"dataflow '{dataflow}' gathers single rows and knows no groups; "
            f"allowed: dense, threshold:P or topk:D, as its selector has it",
        )
    if file.format != "bitmask":
        raise KeyedError(
            ("format",),
            f"dataflow '{dataflow}' keeps a bit for each position of a tile; allowed: bitmask",
        )


def check_selector(file: ArchitectureFile) -> None:
    """Check that the selector can rank what the pattern selects by, in the format of X."""
    selector, pattern, x = file.selector, file.pattern, file.operands.x
    if selector is None:
        return
    if not pattern.is_dense and not selector.takes(pattern):
        kinds = ", ".join(kind for kind in SELECTORS if SELECTORS[kind].takes(pattern))
        raise KeyedError(
            ("pattern",),
            f"selector '{selector.kind}' of dataflow '{file.dataflow}' does not select by "
            f"'{pattern}'" + (f"; allowed: selector.kind {kinds}" if kinds else ""),
        )
    if not pattern.is_dense and not selector.takes_format(PRECISIONS[x.precision]):
        raise KeyedError(
            ("selector", "kind"),
            f"selector '{selector.kind}' adds magnitudes and has no adders for '{x}'",
        )


def check_modes(file: ArchitectureFile) -> None:
    """Check that modes are N:M, fit into each other, and have their hardware."""
    if not file.modes:
        return
    texts, largest = [str(mode) for mode in file.modes], file.modes[-1]
    for mode in file.modes:
        if mode.is_dense or not isinstance(mode, NM):
            raise KeyedError(("modes",), f"modes: '{mode}' is no N:M; dense layers need no mode")
        if not mode.runs_on(file.pattern):
            raise KeyedError(
                ("modes",), f"modes: '{mode}' does not fit into pattern '{file.pattern}'"
            )
    if largest != file.pattern:
        raise KeyedError(
            ("modes",),
            f"modes: the last one is the pattern that the hardware is made for, "
            f"'{file.pattern}', not '{largest}'",
        )
    for (a, mode), (b, after) in pairwise(zip(texts, file.modes, strict=True)):
        if a in texts[texts.index(a) + 1 :] or after.group_size % mode.group_size:
            raise KeyedError(
                ("modes",),
                f"modes: '{b}' behind '{a}': smallest first, each once, each M divides the next",
            )
    _check_hardware_of_modes(file)


def _check_hardware_of_modes(file: ArchitectureFile) -> None:
    """Check that selector, crossbar and metadata are of kinds that can have modes."""
    for key, registry, unit in (
        ("selector", SELECTORS, file.selector),
        ("crossbar", CROSSBARS, file.crossbar),
    ):
        kinds = [kind for kind in registry if registry[kind].has_modes]
        if unit is not None and unit.kind not in kinds:
            raise KeyedError(
                (key, "kind"),
                f"{key}.kind '{unit.kind}' has no modes; with modes: {', '.join(kinds)}",
            )
    if file.format != "bitmask":
        raise KeyedError(("format",), f"format '{file.format}' has no modes; with modes: bitmask")


def check_both(file: ArchitectureFile) -> None:
    """Check that one operand is sparse at most, or both where the dataflow serves both."""
    x, w = file.pattern, file.weight_pattern
    if file.diagram.joins_masks:
        _check_joined(file)
    elif file.diagram.unrolls_blocks:
        _check_unrolled(file)
    elif not (x.is_dense or w.is_dense):
        serving = [n for n in DATAFLOWS if DATAFLOWS[n].joins_masks or DATAFLOWS[n].unrolls_blocks]
        raise KeyedError(
            ("weight_pattern",),
            f"weight_pattern '{w}' does not go with pattern '{x}': one operand may be sparse; "
            f"allowed: weight_pattern dense, or pattern dense; dataflows with both: "
            f"{', '.join(serving)}",
        )


def _check_unrolled(file: ArchitectureFile) -> None:
    """Check that both operands have blocks alike, and masks."""
    x, w, dataflow = file.pattern, file.weight_pattern, file.dataflow
    if not x.is_dense and w.group_size != x.group_size:
        raise KeyedError(
            ("weight_pattern",),
            f"dataflow '{dataflow}' has a lane for a block of both operands, but weight_pattern "
            f"'{w}' has blocks of {w.group_size} and pattern '{x}' of {x.group_size}; allowed: "
            f"the same size",
        )
    if not w.is_dense and file.format != "bitmask":
        raise KeyedError(
            ("format",),
            f"dataflow '{dataflow}' matches the masks of both operands; allowed: bitmask",
        )


def _check_joined(file: ArchitectureFile) -> None:
    """Check that both operands have masks that a lane can join."""
    x, w, dataflow = file.pattern, file.weight_pattern, file.dataflow
    if x.is_dense != w.is_dense:
        raise KeyedError(
            ("weight_pattern",),
            f"dataflow '{dataflow}' joins the masks of two sparse operands, but pattern is '{x}' "
            f"and weight_pattern '{w}'; allowed: N:M for both",
        )
    if x.is_dense:
        return
    if PRECISIONS[file.operands.x.precision].block:
        raise KeyedError(
            ("precision",),
            f"'{file.operands.x}' has scales of blocks, by which lanes of dataflow '{dataflow}' "
            f"do not add: they take one product of a group a cycle",
        )
    if x.group_size > MASK_BITS or x.group_size % w.group_size:
        raise KeyedError(
            ("weight_pattern",),
            f"dataflow '{dataflow}' joins masks of up to {MASK_BITS} positions, whole blocks of W, "
            f"but pattern '{x}' has groups of {x.group_size} and weight_pattern '{w}' blocks of "
            f"{w.group_size}",
        )
    if file.format != "bitmask":
        raise KeyedError(
            ("format",), f"dataflow '{dataflow}' joins the masks of both; allowed: bitmask"
        )


def check_scales_of_blocks(file: ArchitectureFile) -> None:
    """Check that all values of a group have the same scale: they are ranked and added by codes."""
    block = PRECISIONS[file.operands.x.precision].block
    if block and not file.pattern.is_grouped:
        raise KeyedError(
            ("precision",),
            f"'{file.operands.x}' has a scale for {block} values; rows that are gathered one by "
            f"one have none in common",
        )
    for key, pattern in (("pattern", file.pattern), ("weight_pattern", file.weight_pattern)):
        if pattern.is_grouped and block % pattern.group_size:
            raise KeyedError(
                (key,),
                f"{key} '{pattern}' has groups of {pattern.group_size} values, but "
                f"'{file.operands.x}' has a scale for {block}; allowed: a size of groups that "
                f"divides {block}",
            )
