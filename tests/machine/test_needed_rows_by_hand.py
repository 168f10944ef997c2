"""`needed_rows_ratio` of two sequences whose masks are known."""

import numpy as np
import pytest

from accelsim.run.simulation import simulate
from tests.helpers.small import machine_for, trace_of

# 2:4 keeps the two largest magnitudes of four. First sequence: rows {0, 1}, then {0, 2}; second:
# {0, 1}, then {1, 3}. Steps of both: {0, 1}, 2 of 4 rows; {0, 1, 2, 3}, 4 of 4.
VALUES = np.array([[9, -8, 1, 2], [9, 1, -8, 2], [7, 6, 1, 2], [1, 7, 2, -6]], dtype=np.int8)


@pytest.mark.parametrize(("batch", "ratio"), [(1, 0.5), (2, 0.75), (4, 1.0)])
@pytest.mark.parametrize("engine", ["recurrence", "simpy"])
def test_the_union_by_hand(batch, ratio, engine):
    trace = trace_of([(4, 8)], lengths=(2, 2), arrays={"layers.0.x": VALUES})
    machine = machine_for("2:4")
    result = simulate(machine, trace, phase="decode", batch=batch, engine=engine)
    assert result.layers[0].needed_rows_ratio == ratio
