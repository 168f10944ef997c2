"""A technology whose digits tell cells apart, and layers of one or several tiles."""

import pytest

from accelsim.sparsity import FORMATS, parse_pattern
from accelsim.tech.technology import Table, Technology
from accelsim.workload import Datapath, Gemm, Store, Stores, Tiling, Work, tile_jobs
from accelsim.workload.sparsify import dense_weight_bytes

# One decimal place pair for each cell: an area of 6_00_20_14_56 is read off without a calculator.
CELLS = {
    "comparator": ("comparator_um2_per_bit", "comparator_pj_per_bit", 1),
    "adder": ("full_adder_um2", "adder_pj_per_bit", 10**4),
    "mux": ("mux2_um2", "mux2_pj_per_bit", 10**8),
    "register": ("register_um2_per_bit", "register_pj_per_bit", 10**12),
}


@pytest.fixture(scope="session")
def toy():
    """Comparator bits cost 1, adders 1e4, multiplexers 1e8, flip-flops 1e12, gates nothing."""
    numbers = {name: {"value": 0, "source": "toy"} for name in ("nand2_um2", "gate_pj")}
    for area, energy, value in CELLS.values():
        numbers |= {name: {"value": value, "source": "toy"} for name in (area, energy)}
    numbers["leakage_nw_per_um2"] = {"value": 2, "source": "toy"}
    for precision in ("int8", "bf16"):
        for name, value in (("mac_pj", 5), ("mac_idle_pj", 3), ("mac_um2", 7)):
            numbers[f"{precision}_{name}"] = {"value": value, "source": "toy"}
    table = {"schema": 1, "name": "toy", "numbers": numbers}
    table["dram_pj_per_bit"] = {"lpddr4": {"value": 8, "source": "toy"}}
    return Technology(Table.model_validate(table), 45)


@pytest.fixture(scope="session")
def cells():
    """Return what a toy area or energy is made of, as {cell: count}."""

    def _cells(cost):
        digits = {name: int(cost) // unit % 10**4 for name, (_, _, unit) in CELLS.items()}
        return {name: count for name, count in digits.items() if count}

    return _cells


@pytest.fixture(scope="session")
def path():
    """Make a datapath: 4 rows × 2 columns × 16 lanes, int8, unless told otherwise."""

    def _path(pattern, *, format_="bitmask", **changes):
        kept = parse_pattern(pattern)
        n, m = kept.kept_per_group, kept.group_size
        fields = {"rows": 4, "columns": 2, "lanes": 16, "value_bits": 8, "accumulator_bits": 32}
        metadata = 0 if kept.is_dense else FORMATS[format_].bits_per_group(n, m)
        groups = {"kept_per_group": n, "group_size": m, "metadata_bits_per_group": metadata}
        return Datapath(**(fields | groups | changes))

    return _path


@pytest.fixture(scope="session")
def layer():
    """Make a layer of T × K × O cut into `tile` = (tokens, reduction, columns), whole if not given.

    The buffers hold nothing between jobs unless `keep`, so each job loads and selects its tiles.
    """

    def _layer(pattern, path, shape, tile=None, *, keep=False, nonzero=None):
        gemm = Gemm(shape[0], shape[1], shape[2])
        tokens, reduction, columns = tile or shape
        tiling = Tiling(tokens, columns, reduction, "tokens_outer")
        store = Store(1 << 30) if keep else Store(1, double_buffered=False)
        stores = Stores(store, store, store, store if path.is_sparse else None)
        jobs = tile_jobs(gemm, tiling, path, stores)
        kept = gemm.tokens * parse_pattern(pattern).kept(gemm.in_features)
        return Work(
            gemm=gemm,
            path=path,
            tiling=tiling,
            jobs=jobs,
            weight_bytes=dense_weight_bytes(jobs, path),
            kept=kept,
            nonzero=kept if nonzero is None else nonzero,
        )

    return _layer
