"""A datapath, and layers of one or several tiles on it."""

import pytest

from accelsim.mapping import Datapath, Gemm, Store, Stores, Tiling, Work, tile_jobs
from accelsim.selection.decode import dense_weight_bytes
from accelsim.sparsity import FORMATS, parse_pattern
from tests.helpers import toy as toys


@pytest.fixture(scope="session")
def toy():
    """Every part of a block costs a 1 at the place of its sort; everything is in time."""
    return toys.toy()


@pytest.fixture(scope="session")
def path():
    """Make a datapath: 4 rows × 2 columns × 16 lanes, int8, unless told otherwise."""

    def _path(pattern, *, format_="bitmask", **changes):
        kept = parse_pattern(pattern)
        n, m = kept.kept_per_group, kept.group_size
        fields = {"rows": 4, "columns": 2, "lanes": 16, "accumulator_bits": 32}
        metadata = 0 if kept.is_dense else FORMATS[format_].bits_per_group(n, m)
        groups = {"kept_per_group": n, "group_size": m, "metadata_bits_per_group": metadata}
        groups["metadata_format"] = format_
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
        kept = gemm.tokens * parse_pattern(pattern).kept_count(gemm.in_features)
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
