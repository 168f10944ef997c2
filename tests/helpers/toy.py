"""A technology whose digits tell parts apart, and whose delays are what a test says they are."""

from accelsim.hardware import BLOCKS
from accelsim.tech.blocks import Shape
from accelsim.tech.technology import Table, Technology

# Four decimal places for each sort of part: an area of 48_0000_0092_0037 is read off.
UNITS = {"register": 1, "core": 10**4, "leg": 10**8, "place": 10**12}
SORTS = {
    **dict.fromkeys(("leg_bits", "near_leg_bits", "far_leg_bits", "mux_bits", "lane_bits"), "leg"),
    **dict.fromkeys(("places", "positions"), "place"),
}
FAST = 3  # the fast netlist is three times as large
ENERGIES = {
    **dict.fromkeys(("group", "route", "decode"), 1),
    **{"int_mac": 5, "int_mac_idle": 3, "int_accumulate": 1},
    **{"float_mac": 50, "float_mac_idle": 30, "float_accumulate": 10},
}
SHAPES = (
    Shape(n=2, m=4, lanes=1),
    Shape(n=2, m=4, bits=16, is_float=True, lanes=4),
    Shape(lanes=4),
)


def names(rule):
    """Return the names of the parts that a rule can count."""
    return {name for shape in SHAPES for name in rule(shape)} - {"register_bits"}


def toy_table(small_ps=None, fast_ps=None):
    """Return the contents of a technology file: every block at once, unless its delay is given.

    Args:
        small_ps: delay of blocks as synthesised for area, whatever their shape (of a dot product:
            in int8).
        fast_ps: the same as synthesised for delay; default: no faster.
    """
    small_ps = small_ps or {}
    fast_ps = small_ps | (fast_ps or {})

    def fit(name, times, delays):
        block, delay = BLOCKS[name], delays.get(name, 0)
        # log2 of the 8 bits of an int8 is 3; other paths have a constant.
        parts = {"constant": delay, "log_bits": delay / 3, "float": delay}
        known = names(block.path)
        if "constant" in known:
            parts["log_bits"] = 0
        return {
            "area_um2": {p: times * UNITS[SORTS.get(p, "core")] for p in names(block.parts)},
            "delay_ps": {part: parts.get(part, 0) for part in known},
        }

    number = {
        "nand2_um2": 4,
        "register_um2": 1,
        "register_pj": 1,
        "leakage_nw_per_um2": 2,
    }
    return {
        "schema": 2,
        "name": "toy",
        "node_nm": 45,
        **{name: {"value": value, "source": "toy"} for name, value in number.items()},
        "blocks": {
            name: {
                "area": fit(name, 1, small_ps),
                "delay": fit(name, FAST, fast_ps),
                "energy_pj_per_um2": ENERGIES,
                "source": "toy",
            }
            for name in BLOCKS
        },
    }


def toy(small_ps=None, fast_ps=None):
    """Return the technology of `toy_table` at its own node."""
    return Technology(Table.model_validate(toy_table(small_ps, fast_ps)), 45)


def cells(cost):
    """Return what a toy area or energy is made of, as {sort: count}."""
    digits = {name: int(cost) // unit % 10**4 for name, unit in UNITS.items()}
    return {name: count for name, count in digits.items() if count}
