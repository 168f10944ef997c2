"""Processes that share a store with others: they are started anew, so this must be importable."""

import os
import random
import signal
from pathlib import Path
from unittest.mock import patch

from accelsim.base.cache import DiskCache


def value(key, version):
    """An entry that says what it is: `key/version;`, 1 to 200 times."""
    return f"{key}/{version};".encode() * (1 + version * 37 % 200)


def check(key, content):
    """Raise AssertionError unless this is a whole value of this key, of any version."""
    name, version = content.split(b";")[0].decode().split("/")
    assert name == key
    assert content == value(key, int(version))


def put_get_evict(barrier, folder, limit_bytes, seed):
    """Do 600 things to entries that all processes have, and to entries of one's own."""
    store, rng, hits = DiskCache(Path(folder), limit_bytes), random.Random(seed), 0
    barrier.wait()
    for step in range(600):
        key = rng.choice(["a", "b", "c", f"own {seed}.{step % 5}"])
        action = rng.random()
        if action < 0.5:
            store.put(key, value(key, rng.randrange(200)))
        elif action < 0.95:
            found = store.get(key)
            if found is not None:
                check(key, found)
                hits += 1
        else:
            store.evict()
    assert hits > 100  # of about 270 looks


def replace_for_ever(folder, key):
    """Put one version after the other, of 3 to 600 kB."""
    store = DiskCache(Path(folder))
    for version in range(10**9):
        store.put(key, value(key * 3000, version))


def look_while_it_is_replaced(barrier, folder, is_writer):
    """Replace an entry 300 times; or look at it, which must find it every time."""
    store = DiskCache(Path(folder))
    barrier.wait()
    for version in range(300):
        if is_writer:
            store.put("a", value("a", version))
        else:
            check("a", store.get("a"))


def die_in_put(folder, moment):
    """Put a first value of `a` and `b`, then be killed by the system while replacing `a`."""
    store = DiskCache(Path(folder))
    for key in ("a", "b"):
        store.put(key, value(key, 1))
    write = Path.write_bytes

    def die(*_):
        os.kill(os.getpid(), signal.SIGKILL)

    def write_half(path, content):
        write(path, content[: len(content) // 2])
        die()

    step, replaced = {
        "before it is written": ("write_bytes", die),
        "half of it is written": ("write_bytes", write_half),
        "before it is renamed": ("replace", die),
    }[moment]
    with patch.object(Path, step, replaced):
        store.put("a", value("a", 2))
