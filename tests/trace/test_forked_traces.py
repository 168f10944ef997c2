"""A trace that was opened before a process forked is read by parent and children at once."""

import multiprocessing

import numpy as np
import pytest

from accelsim.trace import InputInfo, Linear, TraceMeta, TraceWriter, load_trace

pytestmark = pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="processes do not fork here"
)
KEYS = [f"x{number}" for number in range(6)]


@pytest.fixture
def trace(tmp_path):
    meta = TraceMeta(
        model="m",
        sequence_lengths=(64,),
        linears=tuple(Linear(name=key, input=key, in_features=300, out_features=8) for key in KEYS),
        inputs={key: InputInfo(dtype="float16") for key in KEYS},
    )
    with TraceWriter(tmp_path / "t.npz") as writer:
        for number, key in enumerate(KEYS):
            drawn = np.random.default_rng(number).standard_normal((64, 300))
            writer.add(key, drawn.astype(np.float16))
        writer.finish(meta)
    return load_trace(tmp_path / "t.npz")


def sums(trace):
    return [float(trace.values(key).sum()) for _ in range(5) for key in KEYS]


def test_forked_children_read_what_the_parent_reads(trace):
    expected = sums(trace)
    context = multiprocessing.get_context("fork")
    with context.Pool(3) as pool:
        results = [pool.apply_async(sums, (trace,)) for _ in range(6)]
        assert sums(trace) == expected
        assert all(result.get(60) == expected for result in results)


def _send(connection, trace):
    connection.send([float(trace.values(key).sum()) for key in KEYS])


def test_children_inherit_the_open_file(trace):
    """Not pickled: the very object, with the position in the file that all of them share."""
    expected = sums(trace)[: len(KEYS)]
    context = multiprocessing.get_context("fork")
    pairs = [context.Pipe() for _ in range(4)]
    children = [context.Process(target=_send, args=(mine, trace)) for _, mine in pairs]
    for child in children:
        child.start()
    for _ in range(20):
        assert [float(trace.values(key).sum()) for key in KEYS] == expected
    for (theirs, _), child in zip(pairs, children, strict=True):
        assert theirs.recv() == expected
        child.join()
        assert child.exitcode == 0
