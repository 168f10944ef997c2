"""Selections on disk change no output: not when they are made, found, damaged or switched off."""

import json

import pytest

from accelsim.run.simulation import simulate, simulate_all
from accelsim.trace import load_trace
from tests.helpers.small import load

INT8 = ("dense", "nm24", "nm48", "nm816", "nm1632")
DECODE = ("--phase", "decode", "--batch", "2")
ENGINES = ("recurrence", "simpy")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The store of this test alone."""
    monkeypatch.setenv("ACCELSIM_CACHE_DIR", str(tmp_path / "store"))
    return tmp_path / "store"


@pytest.fixture
def run(accepted, arch, trace):
    return lambda *flags: accepted("run", arch("nm816"), "--trace", trace, *flags).out


@pytest.fixture
def compare(accepted, arch, trace):
    return lambda *flags: accepted("compare", *map(arch, INT8), "--trace", trace, *flags).out


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}


@pytest.fixture(params=["run", "compare"])
def command(request):
    return request.getfixturevalue(request.param)


# --- the same output -----------------------------------------------------------------------------


@pytest.mark.parametrize("phase", [(), DECODE], ids=["prefill", "decode"])
@pytest.mark.parametrize("form", [(), ("--json",)], ids=["tables", "json"])
def test_cold_warm_and_without_print_the_same(command, folder, phase, form):
    flags = (*phase, *form)
    without = command("--no-cache", *flags)
    assert not folder.exists()
    cold = command(*flags)
    kept = contents(folder)
    assert kept != {}
    warm = command(*flags)
    assert contents(folder) == kept
    assert without == cold == warm == command("--no-cache", *flags)
    assert contents(folder) == kept


def test_both_engines_print_the_same_from_the_same_store(command):
    def outcome(*flags):
        data = json.loads(command("--json", *flags))
        return {key: value for key, value in data.items() if key != "engine"}

    expected = outcome("--no-cache", "--engine", "simpy")
    for engine in ENGINES:  # cold, then warm
        assert outcome("--engine", engine) == expected
    assert outcome("--no-cache", "--engine", "recurrence") == expected


def test_the_phases_share_the_store(run, folder):
    expected = run("--json", "--no-cache"), run("--json", "--no-cache", *DECODE)
    run("--json")
    counts = len(contents(folder))
    assert run("--json", *DECODE) == expected[1]
    assert len(contents(folder)) == counts + 4  # a mask for each of the four inputs
    assert run("--json") == expected[0]
    assert len(contents(folder)) == counts + 4


def test_run_fills_the_store_of_compare(run, compare, folder):
    expected = compare("--json", "--no-cache")
    run()
    after_run = set(contents(folder))
    assert compare("--json") == expected
    assert after_run < set(contents(folder))
    assert len(contents(folder)) == 4 * len(INT8)  # 4 inputs, 5 patterns


# --- trouble -------------------------------------------------------------------------------------


def truncate(path):
    path.write_bytes(path.read_bytes()[:-7])


def overwrite(path):
    path.write_bytes(b"\x93NUMPY" * 100)


def flip(path):
    stored = bytearray(path.read_bytes())
    stored[len(stored) // 2] ^= 0x10
    path.write_bytes(bytes(stored))


def to_folder(path):
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("damage", [truncate, overwrite, flip, to_folder])
@pytest.mark.parametrize("flags", [(), DECODE], ids=["prefill", "decode"])
def test_a_damaged_store_changes_no_output(run, folder, damage, flags):
    expected = run("--json", *flags)
    for path in list(folder.iterdir()):
        damage(path)
    assert run("--json", *flags) == expected
    assert run("--json", *flags) == expected


def test_a_store_of_somebody_elses_files_is_left_as_it_is(run, folder):
    expected = run("--json", "--no-cache")
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    assert run("--json") == expected
    assert (folder / "notes.txt").read_text() == "mine"


def test_a_store_that_cannot_be_made_changes_no_output(run, folder):
    expected = run("--json", "--no-cache")
    folder.write_text("a file")
    assert run("--json") == expected
    assert folder.read_text() == "a file"


def test_a_store_of_no_bytes_changes_no_output(run, folder, monkeypatch):
    expected = run("--json", "--no-cache")
    monkeypatch.setenv("ACCELSIM_CACHE_MIB", "0")
    assert run("--json") == expected
    assert not folder.exists()


def test_a_size_that_is_no_number_is_refused(refused, run, arch, trace, monkeypatch):
    expected = run("--json")
    monkeypatch.setenv("ACCELSIM_CACHE_MIB", "2G")
    for command in ("run", "compare"):
        message = refused(command, arch("nm816"), "--trace", trace)
        assert message == "error: ACCELSIM_CACHE_MIB=2G: must be a whole number of MiB\n"
    assert run("--json", "--no-cache") == expected  # nobody asks for it


# --- machines together ---------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("phase", [(), DECODE], ids=["prefill", "decode"])
def test_five_machines_together_are_each_alone(cli, arch, trace, engine, phase):
    flags = ("--trace", trace, "--json", "--engine", engine, *phase)
    rows = json.loads(cli("compare", *map(arch, INT8), *flags).out)["rows"]
    for name, row in zip(INT8, rows, strict=True):
        alone = json.loads(cli("run", arch(name), "--no-cache", *flags).out)["totals"]
        assert row["name"] == name
        assert {key: row[key] for key in alone} == alone


@pytest.mark.parametrize("flags", [{}, {"phase": "decode", "batch": 3}], ids=["prefill", "decode"])
def test_machines_of_all_precisions_together_are_each_alone(trace, flags):
    archs = [
        load("nm816"),
        load("nm816_bf16"),
        load("dense", {"precision": "bf16"}),
        load("nm24", {"precision": "fp16"}),
        load("dense"),
        load("nm816", {"clock_mhz": 500}),  # selects what the first one does
        load("nm816"),
    ]
    opened = load_trace(trace)
    together = simulate_all(archs, opened, **flags)
    assert [result.to_dict() for result in together] == [
        simulate(arch, opened, **flags).to_dict() for arch in archs
    ]
    assert simulate_all(archs[::-1], opened, **flags) == together[::-1]


def test_one_pass_over_the_values_is_enough_for_all_machines(trace, monkeypatch):
    opened, read = load_trace(trace), []
    original = type(opened.source).read
    monkeypatch.setattr(
        type(opened.source), "read", lambda self, key: read.append(key) or original(self, key)
    )
    simulate_all([load(name) for name in INT8], opened)
    assert read == list(opened.meta.inputs)


def test_only_the_first_machine_is_watched(trace):
    opened, seen, layers = load_trace(trace), [], []
    archs = [load("nm816"), load("dense")]
    watched = simulate_all(
        archs,
        opened,
        observer=lambda linear, _, run: seen.append((linear.name, run.times.cycles)),
        on_layer=lambda linear: layers.append(linear.name),
    )
    assert seen == [(layer.name, layer.cycles) for layer in watched[0].layers]
    assert layers == [linear.name for linear in opened.linears for _ in archs]
    assert watched == simulate_all(archs, opened)
