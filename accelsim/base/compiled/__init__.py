"""Loops over arrays that numba compiles, once there is enough to do to pay for its start."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Loop = Callable[..., None]

# What importing numba and loading the first cached loops costs on the machine of
# docs/performance.md. Speed only: results do not depend on it.
START_NS = 0.4e9
_interpreted_ns = 0.0


def pays(interpreted_ns: float) -> bool:
    """Whether to use compiled loops for work that takes `interpreted_ns` in the interpreter.

    Importing numba takes `START_NS`. It is imported once all interpreted work so far adds up to as
    much, so that the total is at most about twice what the better choice would have taken. Once it
    is imported, it is always used.
    """
    global _interpreted_ns  # noqa: PLW0603 - a process starts numba once
    if os.environ.get("NUMBA_DISABLE_JIT", "0") != "0":
        return False
    if "numba" in sys.modules:
        return True
    _interpreted_ns += interpreted_ns
    return _interpreted_ns > START_NS


def run_loop(
    loop: Loop, inputs: Sequence[Any], outputs: Sequence[NDArray[Any]], *, interpreted_ns: float
) -> None:
    """Run `loop(*inputs, *outputs)`, compiled if that pays, else in the interpreter.

    Args:
        loop: plain loops over numbers and one-dimensional arrays, which may be lists as well.
        inputs: numbers and arrays that it reads.
        outputs: arrays that it reads and fills.
        interpreted_ns: about what it would take in the interpreter.

    >>> def double(values, results):
    ...     for place in range(len(values)):
    ...         results[place] = 2 * values[place]
    >>> results = np.zeros(2, int)
    >>> run_loop(double, [np.array([3, 4])], [results], interpreted_ns=200)
    >>> results.tolist()
    [6, 8]
    """
    if pays(interpreted_ns):
        compiled(loop)(*inputs, *outputs)
        return
    # Lists are several times as fast as arrays, one number at a time.
    lists = [output.tolist() for output in outputs]
    loop(*(x.tolist() if isinstance(x, np.ndarray) else x for x in inputs), *lists)
    for output, values in zip(outputs, lists, strict=True):
        output[:] = values


@cache
def compiled(loop: Loop) -> Loop:
    """Return `loop` compiled by numba; the machine code is kept on disk for the next start."""
    from numba import njit

    unstored: Loop = njit(nogil=True)(loop)
    try:
        stored: Loop = njit(cache=True, nogil=True)(loop)
    except RuntimeError:  # numba finds no folder that it may write to
        return unstored

    def run(*arguments: Any) -> None:
        try:
            stored(*arguments)
        except Exception:  # of files that are damaged or cannot be written: loops raise nothing
            unstored(*arguments)

    return run
