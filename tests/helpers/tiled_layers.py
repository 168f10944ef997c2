"""Small random layers, arrays and buffers, as Hypothesis strategies."""

from hypothesis import strategies as st

from accelsim.mapping import Datapath, Gemm, Store, Stores, Tiling
from accelsim.mapping.tiling import ORDERS
from accelsim.precision import OperandFormat, Operands
from accelsim.sparsity import parse_pattern

PATTERNS = ("dense", "1:4", "2:4", "3:4", "4:8", "8:16", "3:5", "16:32")


def path_of(pattern, *, rows=2, columns=2, lanes=4, bits=8):
    kept = parse_pattern(pattern)
    return Datapath(
        rows=rows,
        columns=columns,
        lanes=lanes,
        accumulator_bits=32,
        formats=Operands(*3 * [OperandFormat("int8", bits)]),
        kept_per_group=kept.kept_per_group,
        group_size=kept.group_size,
        metadata_bits_per_group=0 if kept.is_dense else kept.group_size,
    )


@st.composite
def _paths(draw):
    return path_of(
        draw(st.sampled_from(PATTERNS)),
        rows=draw(st.sampled_from([1, 2, 8])),
        columns=draw(st.sampled_from([1, 2, 8])),
        lanes=draw(st.sampled_from([1, 4, 16])),
        bits=draw(st.sampled_from([8, 16])),
    )


@st.composite
def _cases(draw):
    """Return (gemm, tiling, path, stores); the tiling does not have to fit."""
    path, capacities = draw(_paths()), st.integers(1, 4096)
    gemm = Gemm(*(draw(st.integers(1, 40)) for _ in range(3)))
    tiling = Tiling(
        tokens=draw(st.integers(1, 20)),
        columns=draw(st.integers(1, 20)),
        reduction=path.group_size * draw(st.integers(1, 8)),
        order=draw(st.sampled_from(ORDERS)),
    )
    stores = [Store(draw(capacities), draw(st.booleans())) for _ in range(4)]
    lag = draw(st.integers(0, 4))
    return gemm, tiling, path, Stores(*stores[:3], stores[3] if path.is_sparse else None, lag)


cases = _cases()
