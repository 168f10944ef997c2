"""The store on disk: whole entries or none, a bound that holds, and never an exception."""

import errno
import hashlib
import multiprocessing
import os
import pwd
import resource
import shutil
import signal
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.base.cache import DiskCache
from accelsim.base.errors import InputError
from tests.helpers import cache_users
from tests.helpers.cache_users import check, value
from tests.helpers.small import ROOT

CHECKSUM = 32  # bytes before each entry
SPAWN = multiprocessing.get_context("spawn")


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    """Processes that are started anew must find `tests.helpers`, wherever pytest was started."""
    monkeypatch.syspath_prepend(ROOT)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "deep" / "store"


@pytest.fixture
def store(folder):
    return DiskCache(folder)


@contextmanager
def new_folder():
    """A folder for one example of Hypothesis."""
    with tempfile.TemporaryDirectory() as path:
        yield Path(path)


def files(folder):
    return sorted(folder.iterdir()) if folder.is_dir() else []


def size(folder):
    return sum(path.stat().st_size for path in files(folder))


def a_second_passes(folder):
    for path in files(folder):
        stamp = path.stat().st_mtime_ns - 10**9
        os.utime(path, ns=(stamp, stamp))


def the_file(folder):
    (path,) = files(folder)
    return path


# --- entries -------------------------------------------------------------------------------------


@given(entries=st.dictionaries(st.text(st.characters(codec="utf-8")), st.binary(max_size=300)))
def test_what_is_put_is_got(entries):
    with new_folder() as folder:
        for key, content in entries.items():
            DiskCache(folder).put(key, content)
        assert {key: DiskCache(folder).get(key) for key in entries} == entries
        assert len(files(folder)) == len(entries)


def test_a_missing_entry_is_none(store, folder):
    assert store.get("a") is None
    assert not folder.exists()  # looking makes nothing
    store.put("a", b"1")
    assert store.get("b") is None
    assert store.get("A") is None


def test_the_later_value_replaces_the_earlier(store, folder):
    store.put("a", b"first, and longer")
    store.put("a", b"second")
    assert store.get("a") == b"second"
    assert size(folder) == CHECKSUM + len(b"second")


def test_any_text_is_a_key(store, folder):
    for key in ("", "../../../tmp/x", "a\nb\0c", "x" * 100_000):
        store.put(key, key.encode())
        assert store.get(key) == key.encode()
    assert len(files(folder)) == 4


def truncated(data, place):
    return data[: place % len(data)]


def flipped(data, place):
    byte, bit = divmod(place % (8 * len(data)), 8)
    return data[:byte] + bytes([data[byte] ^ (1 << bit)]) + data[byte + 1 :]


def lengthened(data, place):
    return data + bytes([place % 256])


def shifted(data, place):
    return bytes([place % 256]) + data


@given(
    content=st.binary(max_size=60),
    place=st.integers(0, 2**16),
    damage=st.sampled_from([truncated, flipped, lengthened, shifted]),
)
def test_a_damaged_entry_is_missing_and_can_be_put_again(content, place, damage):
    with new_folder() as folder:
        store = DiskCache(folder)
        store.put("a", content)
        store.put("b", b"untouched")
        path = next(path for path in files(folder) if path.read_bytes()[CHECKSUM:] == content)
        path.write_bytes(damage(path.read_bytes(), place))
        assert store.get("a") is None
        assert store.get("b") == b"untouched"
        store.put("a", content)
        assert store.get("a") == content


def emptied(path):
    path.write_bytes(b"")


def lost(path):
    path.unlink()


def folder_instead(path):
    path.unlink()
    path.mkdir()


def dangling(path):
    path.unlink()
    path.symlink_to("nowhere")


@pytest.mark.parametrize(
    "damage",
    [
        emptied,
        lost,
        dangling,
        folder_instead,
    ],
)
def test_an_entry_that_is_no_entry_any_more(store, folder, damage):
    store.put("a", b"1")
    damage(the_file(folder))
    assert store.get("a") is None
    store.put("a", b"1")
    assert store.get("a") == b"1"


def test_a_folder_in_place_of_an_entry_is_no_error(store, folder):
    store.put("a", b"1")
    folder_instead(the_file(folder))
    assert store.get("a") is None
    store.put("a", b"1")
    store.evict()


def test_a_store_whose_folder_vanishes_is_made_again(store, folder):
    store.put("a", b"1")
    shutil.rmtree(folder)
    assert store.get("a") is None
    store.evict()
    store.put("a", b"1")
    assert store.get("a") == b"1"


# --- the bound -----------------------------------------------------------------------------------

LIMIT = 16_000


@settings(max_examples=15)
@given(lengths=st.lists(st.integers(0, 800), min_size=30, max_size=60))
def test_the_bound_is_passed_by_a_sixteenth_and_an_entry_at_most(lengths):
    with new_folder() as folder:
        store = DiskCache(folder, LIMIT)
        for key, length in enumerate(lengths):
            store.put(str(key), b"x" * length)
            assert size(folder) <= LIMIT + LIMIT // 16 + CHECKSUM + 800
            assert store.get(str(key)) == b"x" * length  # what is new is not what goes


def test_many_small_entries_pass_the_bound_by_little(folder):
    store, sizes = DiskCache(folder, LIMIT), []
    for key in range(300):  # of 132 bytes: 39,600 in all
        store.put(str(key), b"x" * 100)
        sizes.append(size(folder))
    assert LIMIT - 1000 < max(sizes) <= LIMIT + LIMIT // 16 + 132


def test_not_more_goes_than_must(folder):
    # 16 entries of 1,000 bytes fit exactly; the 17th costs one of them.
    store = DiskCache(folder, LIMIT)
    for key in range(16):
        store.put(str(key), b"x" * (1000 - CHECKSUM))
    assert size(folder) == LIMIT
    a_second_passes(folder)
    store.put("16", b"x" * (1000 - CHECKSUM))
    store.evict()
    assert size(folder) == LIMIT


def test_what_was_used_longest_ago_goes_first(folder):
    # Three of four entries fit. The first was looked at since, so the second goes.
    store = DiskCache(folder, 3 * (100 + CHECKSUM))
    for key in "abc":
        store.put(key, b"x" * 100)
        a_second_passes(folder)
    store.get("a")
    a_second_passes(folder)
    store.put("d", b"x" * 100)
    store.evict()
    assert [key for key in "abcd" if store.get(key) is not None] == ["a", "c", "d"]


actions = st.tuples(st.sampled_from(["put", "get"]), st.sampled_from("abcdef"), st.integers(0, 400))


@given(actions=st.lists(actions, max_size=40))
def test_a_model_of_least_recently_used(actions):
    limit = 1000
    model = {}  # key → size, the last used last
    with new_folder() as folder:
        store = DiskCache(folder, limit)
        for action, key, length in actions:
            a_second_passes(folder)
            if action == "put":
                store.put(key, b"x" * length)
                model.pop(key, None)
                model[key] = length + CHECKSUM
            else:
                assert (store.get(key) is not None) == (key in model)
                if key in model:
                    model[key] = model.pop(key)
            store.evict()
            while sum(model.values()) > limit:
                del model[next(iter(model))]
            assert size(folder) == sum(model.values())


@pytest.mark.parametrize(("length", "is_kept"), [(LIMIT - CHECKSUM, True), (LIMIT, False)])
def test_an_entry_larger_than_the_store_is_not_kept(folder, length, is_kept):
    store = DiskCache(folder, LIMIT)
    store.put("small", b"1")
    store.put("large", b"x" * length)
    assert (store.get("large") is not None) == is_kept
    assert is_kept or store.get("small") == b"1"  # nothing goes for what is not kept


def test_a_store_of_no_bytes_keeps_nothing(folder):
    store = DiskCache(folder, 0)
    store.put("a", b"")
    assert store.get("a") is None
    assert not folder.exists()


def test_processes_that_write_little_keep_the_bound_together(folder):
    # Each is a new process, as far as the store can tell, and writes 932 bytes of 16,000.
    for key in range(100):
        DiskCache(folder, LIMIT).put(str(key), b"x" * 900)
    assert size(folder) <= 2 * LIMIT


@pytest.mark.parametrize(
    "name", ["pytorch_model.bin", "a.bin", f"{'0' * 63}.bin", f"{'g' * 64}.bin", "notes.txt"]
)
def test_files_of_somebody_else_are_left_alone(folder, name):
    folder.mkdir(parents=True)
    (folder / name).write_bytes(b"x" * 10 * LIMIT)
    store = DiskCache(folder, LIMIT)
    for key in range(40):
        store.put(str(key), b"x" * 900)
    assert (folder / name).stat().st_size == 10 * LIMIT
    assert size(folder) - 10 * LIMIT <= 2 * LIMIT


# --- trouble -------------------------------------------------------------------------------------


def is_quiet(folder):
    """A store that cannot be written holds nothing and raises nothing."""
    store = DiskCache(folder, LIMIT)
    for _ in range(20):
        store.put("a", b"x" * 900)  # 18,000 bytes: eviction is due as well
    store.evict()
    return store.get("a") is None


@pytest.mark.parametrize("where", ["file", "file/below", "loop"])
def test_a_place_that_cannot_be_a_folder(tmp_path, where):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "loop").symlink_to("loop")
    assert is_quiet(tmp_path / where)
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("code", [errno.EACCES, errno.ENOSPC, errno.EROFS, errno.EIO])
@pytest.mark.parametrize(
    ("owner", "step"),
    [
        (Path, "mkdir"),
        (tempfile, "mkstemp"),
        (Path, "write_bytes"),
        (Path, "chmod"),
        (Path, "replace"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_any_step_of_putting_may_fail(folder, monkeypatch, owner, step, code):
    def fail(*_, **__):
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(owner, step, fail)
        assert is_quiet(folder)
    assert files(folder) == []  # not even half an entry
    DiskCache(folder).put("a", b"1")
    assert DiskCache(folder).get("a") == b"1"


@pytest.mark.parametrize("step", ["read_bytes", "stat", "unlink"])
def test_any_step_of_getting_and_evicting_may_fail(folder, monkeypatch, step):
    DiskCache(folder).put("a", b"1")
    original = getattr(Path, step)

    def fail(path, *args, **flags):
        if path.suffix == ".bin":
            raise PermissionError(errno.EACCES, "Permission denied")
        return original(path, *args, **flags)

    with monkeypatch.context() as patch:
        patch.setattr(Path, step, fail)
        assert DiskCache(folder).get("a") == (None if step == "read_bytes" else b"1")
        for key in range(20):
            DiskCache(folder, 100).put(str(key), b"x" * 60)  # each makes room, or tries
    assert DiskCache(folder).get("a") == (None if step == "read_bytes" else b"1")


def test_a_disk_that_fills_up_in_the_middle_of_an_entry(store, folder):
    store.put("a", b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))  # no file grows longer than that
    try:
        store.put("a", b"x" * 50_000)
        store.put("b", b"x" * 50_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)
    assert (store.get("a"), store.get("b")) == (b"old", None)
    assert size(folder) == CHECKSUM + len(b"old")


# --- where, and how large ------------------------------------------------------------------------


@pytest.fixture
def user(monkeypatch, tmp_path):
    """Return the store of a user whose environment holds a home, and what a test adds to it."""

    def _user(**variables):
        for name in ("ACCELSIM_CACHE_DIR", "ACCELSIM_CACHE_MIB", "XDG_CACHE_HOME", "HOME"):
            monkeypatch.delenv(name, raising=False)
        for name, text in ({"HOME": str(tmp_path)} | variables).items():
            if text is not None:
                monkeypatch.setenv(name, text)
        return DiskCache.of_user()

    return _user


def test_the_store_is_in_the_users_cache(user, tmp_path):
    assert user() == DiskCache(tmp_path / ".cache" / "accelsim", 2 * 2**30)
    assert user(XDG_CACHE_HOME="/x").folder == Path("/x/accelsim")
    assert user(XDG_CACHE_HOME="").folder == tmp_path / ".cache" / "accelsim"


def test_the_store_is_where_the_user_says(user, tmp_path):
    assert user(ACCELSIM_CACHE_DIR="/x/y", XDG_CACHE_HOME="/z").folder == Path("/x/y")
    assert user(ACCELSIM_CACHE_DIR="~/x").folder == tmp_path / "x"
    assert user(ACCELSIM_CACHE_DIR="").folder == tmp_path / ".cache" / "accelsim"


def test_the_store_is_as_large_as_the_user_says(user):
    assert user(ACCELSIM_CACHE_MIB="3").limit_bytes == 3 * 2**20
    assert user(ACCELSIM_CACHE_MIB="0").limit_bytes == 0
    assert user(ACCELSIM_CACHE_MIB="").limit_bytes == 2 * 2**30


@pytest.mark.parametrize("text", ["-1", "1.5", "2G", "x", " ", "1e3", "1_000", "²"])
def test_a_size_that_is_no_number(user, text):
    with pytest.raises(InputError, match=f"ACCELSIM_CACHE_MIB={text}: must be a whole number"):
        user(ACCELSIM_CACHE_MIB=text)


def test_a_user_without_a_home_has_no_store(user, monkeypatch):
    def unknown(name):
        raise KeyError(name)

    for look in ("getpwuid", "getpwnam"):
        monkeypatch.setattr(pwd, look, unknown)
    assert user(HOME=None) is None
    with pytest.raises(InputError, match="ACCELSIM_CACHE_DIR=~nobody-at-all/x"):
        user(ACCELSIM_CACHE_DIR="~nobody-at-all/x")


# --- several processes ---------------------------------------------------------------------------


def run_together(target, arguments):
    """Start a process for each tuple; all begin together, and all must end without an exception."""
    barrier = SPAWN.Barrier(len(arguments))
    processes = [
        SPAWN.Process(daemon=True, target=target, args=(barrier, *extra)) for extra in arguments
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * len(arguments)


def check_whole(folder):
    """Look at the files themselves: each is a checksum and what it is of."""
    for path in folder.glob("*.bin"):
        stored = path.read_bytes()
        assert hashlib.sha256(stored[CHECKSUM:]).digest() == stored[:CHECKSUM]


def test_four_processes_put_get_and_evict(folder):
    limit = 12_000  # of 23 entries of 5 to 1,000 bytes, or more, that are put again and again
    run_together(cache_users.put_get_evict, [(folder, limit, seed) for seed in range(4)])
    check_whole(folder)
    assert size(folder) <= limit + 4 * (limit // 16 + len(value("own 0.0", 27)) + CHECKSUM)
    assert not list(folder.glob(".*"))  # no temporary file is left


def test_an_entry_is_there_all_the_while_it_is_replaced(store, folder):
    store.put("a", value("a", 0))
    roles = [(folder, is_writer) for is_writer in (True, True, False, False)]
    run_together(cache_users.look_while_it_is_replaced, roles)
    check("a", store.get("a"))
    assert len(files(folder)) == 1


@pytest.mark.parametrize(
    "moment", ["before it is written", "half of it is written", "before it is renamed"]
)
def test_a_process_killed_while_it_puts_leaves_the_old_entry(store, folder, moment):
    process = SPAWN.Process(daemon=True, target=cache_users.die_in_put, args=(folder, moment))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert store.get("a") == value("a", 1)
    assert store.get("b") == value("b", 1)
    (leftover,) = folder.glob(".*")
    store.put("a", value("a", 3))
    assert store.get("a") == value("a", 3)
    # The leftover counts, and goes like any entry once it is the oldest and there is no room.
    os.utime(leftover, ns=(0, 0))
    DiskCache(folder, size(folder)).evict()
    assert leftover.exists()
    DiskCache(folder, size(folder) - 1).evict()
    assert not leftover.exists()
    assert store.get("a") == value("a", 3)


def test_processes_killed_at_any_time_leave_whole_entries(folder):
    keys = "abcd"
    processes = [
        SPAWN.Process(daemon=True, target=cache_users.replace_for_ever, args=(folder, key))
        for key in keys
    ]
    for process in processes:
        process.start()
    end = time.monotonic() + 60
    while len(list(folder.glob("*.bin"))) < len(keys) and time.monotonic() < end:
        time.sleep(0.01)
    for pause, process in enumerate(processes):
        time.sleep(0.01 * pause)
        process.kill()
        process.join()
    check_whole(folder)
    store = DiskCache(folder)
    for key in keys:
        check(key * 3000, store.get(key))
