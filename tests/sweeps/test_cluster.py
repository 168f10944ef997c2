"""A real Dask scheduler with worker processes: one is killed; another lives on another host."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager

import pytest

from accelsim.base.errors import InputError
from accelsim.sweeps import cluster
from accelsim.sweeps.run import run_plan
from tests.helpers.sweep_commands import ROOT, command, finished, tables, write_sweep

pytest.importorskip("distributed")

pytestmark = pytest.mark.slow

AXES = {
    "mac_array.lanes": [8, 16, 0],
    "dram.bandwidth_gb_per_s": {"from": 4, "to": 64, "factor": 2},
    "crossbar.kind": ["full", "window"],
    "dram.latency_ns": [1, 10, 50, 100],
    "buffers.weights.capacity_kib": [128, 256],
}


@pytest.fixture(scope="module")
def undisturbed(trace, tmp_path_factory):
    """The sweep file, and the tables of one process."""
    folder = tmp_path_factory.mktemp("undisturbed")
    file = write_sweep(folder / "sweep.yaml", trace, axes=AXES)
    finished(command(file, "--out", folder / "one", "--workers", 1))
    return file, tables(folder / "one")


@contextmanager
def started(*words, prefix=()):
    """Run a module of Dask as a process of its own."""
    process = subprocess.Popen(
        [*prefix, sys.executable, "-m", *map(str, words)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def scheduler_at(folder, host="127.0.0.1", prefix=()):
    """Start a scheduler; return the process and a function that waits for its address."""
    note = folder / "scheduler.json"
    words = ["distributed.cli.dask_scheduler", "--host", host, "--port", 0, "--no-dashboard"]
    return started(*words, "--scheduler-file", note, prefix=prefix), note


def address_in(note):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            return json.loads(note.read_text(encoding="utf-8"))["address"]
        except (OSError, ValueError):
            time.sleep(0.05)
    raise AssertionError("the scheduler did not start")


IMPATIENT = "import accelsim.sweeps.cluster as cluster; cluster._CONNECT_S = 1"
WORKER = ("distributed.cli.dask_worker", "--nthreads", 1, "--no-dashboard")


def test_workers_of_our_own_write_the_same_bytes(undisturbed, tmp_path):
    file, expected = undisturbed
    finished(command(file, "--out", tmp_path / "dask", "--scheduler", "local", "--workers", 2))
    assert tables(tmp_path / "dask") == expected


def test_a_killed_worker_changes_nothing(undisturbed, tmp_path):
    file, expected = undisturbed
    with ExitStack() as running:
        scheduler, note = scheduler_at(tmp_path)
        running.enter_context(scheduler)
        address = address_in(note)
        flags = ("--no-nanny", "--local-directory", tmp_path / "scratch")
        crew = [running.enter_context(started(*WORKER, *flags, address)) for _ in range(2)]
        sweep = command(file, "--out", tmp_path / "dask", "--scheduler", address)
        _wait_for_some(tmp_path / "dask", sweep)
        os.kill(crew[0].pid, signal.SIGKILL)
        assert sweep.poll() is None
        finished(sweep)
    assert tables(tmp_path / "dask") == expected


def _wait_for_some(folder, process):
    """Wait until some points have run, and not all."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        path = folder / "points.jsonl"
        if path.exists() and b'"status": "ok"' in path.read_bytes():
            return
        time.sleep(0.01)


def test_a_scheduler_that_dies_is_said_and_the_sweep_resumed(undisturbed, tmp_path):
    file, expected = undisturbed
    with ExitStack() as running:
        scheduler, note = scheduler_at(tmp_path)
        process = running.enter_context(scheduler)
        address = address_in(note)
        flags = ("--no-nanny", "--local-directory", tmp_path / "scratch")
        running.enter_context(started(*WORKER, *flags, address))
        words = (file, "--out", tmp_path / "dask", "--scheduler", address)
        sweep = command(*words, first=IMPATIENT)
        _wait_for_some(tmp_path / "dask", sweep)
        process.kill()
        _, err = sweep.communicate(timeout=60)
    assert sweep.returncode == 2, err
    assert f"error: --scheduler {address}: lost: " in err
    finished(command(file, "--out", tmp_path / "dask", "--resume", "--workers", 1))
    assert tables(tmp_path / "dask") == expected


def test_a_scheduler_that_is_not_there(plan, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "_CONNECT_S", 1)
    with pytest.raises(InputError, match=r"--scheduler tcp://127\.0\.0\.1:9: cannot connect"):
        run_plan(plan(), tmp_path / "out", scheduler="tcp://127.0.0.1:9")


@pytest.mark.parametrize(
    "address",
    ["foo", "", "host:8786", "tcp://host", "tcp://:8786", "tcp://host:x", "nonsense://host:1"],
)
def test_an_address_that_is_none_leaves_nothing(plan, tmp_path, address):
    with pytest.raises(InputError, match=r"--scheduler .*: write tcp://host:port"):
        run_plan(plan(), tmp_path / "out", scheduler=address)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("address", ["local", "tcp://[::1]:8786", "tls://host:8786"])
def test_addresses(address):
    cluster.check_address(address)


def test_a_scheduler_that_does_not_answer_is_one_message(sweep_file, tmp_path):
    words = (sweep_file(), "--out", tmp_path / "out", "--scheduler", "tcp://127.0.0.1:9")
    sweep = command(*words, first=IMPATIENT)
    _, err = sweep.communicate(timeout=60)
    assert sweep.returncode == 2
    (line,) = err.splitlines()
    assert line.startswith("error: --scheduler tcp://127.0.0.1:9: cannot connect: ")
    assert not (tmp_path / "out").exists()


def test_a_scheduler_without_workers(plan, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "_WORKERS_S", 1)
    scheduler, note = scheduler_at(tmp_path)
    with scheduler, pytest.raises(InputError, match="has no workers"):
        run_plan(plan(), tmp_path / "out", scheduler=address_in(note))


def test_a_worker_of_another_version_is_refused(plan):
    with pytest.raises(InputError, match=r"a worker has accelsim .*, the sweep 0\.0\.0"):
        cluster.work(plan(), "0.0.0", "run", [0])


def test_threads_of_a_worker_take_turns(plan):
    made, found = plan(), []
    threads = [
        threading.Thread(
            target=lambda p=p: found.extend(cluster.work(made, _version(), "run", [p]))
        )
        for p in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(row["point"] for row in found) == [0, 1, 2, 3]


def _version():
    from accelsim.version import __version__

    return __version__


# --- several hosts -------------------------------------------------------------------------------

HOSTS = {"head": "10.231.77.1", "left": "10.231.77.2", "right": "10.231.77.3"}
BRIDGE = "accelsim-br"


def ip(*words):
    subprocess.run(["ip", *words], check=True, capture_output=True)


@contextmanager
def network():
    """Three hosts on one switch: network namespaces joined by a bridge in a fourth one."""
    names = [f"accelsim-{os.getpid()}-{host}" for host in ("switch", *HOSTS)]
    switch = names[0]
    try:
        for name in names:
            ip("netns", "add", name)
        ip("-n", switch, "link", "add", BRIDGE, "type", "bridge")
        ip("-n", switch, "link", "set", BRIDGE, "up")
        for number, (name, address) in enumerate(zip(names[1:], HOSTS.values(), strict=True)):
            port = f"port{number}"
            ip("-n", switch, "link", "add", port, "type", "veth", "peer", "eth0", "netns", name)
            ip("-n", switch, "link", "set", port, "master", BRIDGE, "up")
            ip("-n", name, "addr", "add", f"{address}/24", "dev", "eth0")
            ip("-n", name, "link", "set", "eth0", "up")
            ip("-n", name, "link", "set", "lo", "up")
        yield {
            host: ("ip", "netns", "exec", name) for host, name in zip(HOSTS, names[1:], strict=True)
        }
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def why_no_network():
    """Return why hosts cannot be made here; nothing if they can."""
    if shutil.which("ip") is None:
        return "needs the command ip (iproute2)"
    try:
        with network():
            return ""
    except subprocess.CalledProcessError as error:
        return f"network namespaces are not permitted: {error.stderr.decode().strip()}"


def test_several_hosts_write_the_same_bytes(undisturbed, tmp_path):
    reason = why_no_network()
    if reason:
        pytest.skip(reason)
    file, expected = undisturbed
    with network() as hosts, ExitStack() as running:
        scheduler, note = scheduler_at(tmp_path, HOSTS["head"], hosts["head"])
        running.enter_context(scheduler)
        address = address_in(note)
        assert HOSTS["head"] in address
        for host in ("left", "right"):
            # Each with a cache of its own, as hosts have.
            place = ("env", f"ACCELSIM_CACHE_DIR={tmp_path / host}")
            flags = ("--host", HOSTS[host], "--local-directory", tmp_path / f"{host}-scratch")
            running.enter_context(started(*WORKER, *flags, address, prefix=(*hosts[host], *place)))
        words = [sys.executable, "-m", "accelsim", "sweep", str(file)]
        words += ["--out", str(tmp_path / "hosts"), "--scheduler", address]
        subprocess.run(
            [*hosts["head"], *words], cwd=ROOT, check=True, capture_output=True, timeout=120
        )
    assert tables(tmp_path / "hosts") == expected
    # Both hosts have worked: both have selected for themselves.
    assert all(list((tmp_path / host).glob("*.bin")) for host in ("left", "right"))
