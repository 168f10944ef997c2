"""Processes that search: they end with the block that they work for, however much is left."""

import time
from multiprocessing import active_children

import pytest

from accelsim.base.errors import InputError
from accelsim.tuning.processes import processes


def test_results_come_back_and_errors_too():
    with processes(2) as submit:
        assert submit(divmod, 7, 2).result() == (3, 1)
        with pytest.raises(ZeroDivisionError):
            submit(divmod, 7, 0).result()


@pytest.mark.parametrize("end", [KeyboardInterrupt, InputError("wrong")])
def test_a_block_that_fails_does_not_wait_for_what_is_left(end):
    def fail():
        with processes(1) as submit:
            for _ in range(3):
                submit(time.sleep, 60)
            raise end

    others, begun_s = set(active_children()), time.monotonic()
    with pytest.raises((KeyboardInterrupt, InputError)):
        fail()
    assert time.monotonic() - begun_s < 30
    assert set(active_children()) <= others
