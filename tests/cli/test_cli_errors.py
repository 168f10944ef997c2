"""Bad input: exit code 2, one clear message on stderr, no traceback, nothing left behind."""

import resource
import subprocess
import sys

import pytest

SYNTH = ("synth", "--model", "llama-3.2-1b", "--layers", "1")


@pytest.fixture
def run(refused, arch, trace):
    """Run 8:16 on the small trace; it must fail."""
    return lambda *flags, name="nm816": refused("run", arch(name), "--trace", trace, *flags)


@pytest.fixture
def command(request, arch, trace):
    """Return the arguments of a command, with its machine or its trace replaced.

    The command is the test's parameter (`indirect`).
    """
    name = request.param

    def _command(machine=None, workload=None):
        machine, workload = machine or arch("nm816"), workload or trace
        if name in {"run", "compare"}:
            return name, machine, "--trace", workload
        return name, machine if name == "area" else workload

    return _command


def commands(*names):
    return pytest.mark.parametrize("command", names, indirect=True)


# --- machines and traces -------------------------------------------------------------------------


@commands("run", "compare", "area")
@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "No such file"),
        ("a: [", "YAML"),
        ("", "must be a mapping"),
        ("schema: 1\nnam: x\n", "nam"),
    ],
)
def test_a_bad_machine(refused, tmp_path, command, text, said):
    path = tmp_path / "bad.yaml"
    if text is not None:
        path.write_text(text)
    message = refused(*command(machine=path))
    assert str(path) in message
    assert said in message


@commands("run", "compare", "inspect")
@pytest.mark.parametrize(
    ("data", "said"), [(None, "No such file"), (b"", "not a readable"), (b"PK", "")]
)
def test_a_bad_trace(refused, tmp_path, command, data, said):
    path = tmp_path / "bad.npz"
    if data is not None:
        path.write_bytes(data)
    message = refused(*command(workload=path))
    assert str(path) in message
    assert said in message


def test_a_bad_baseline_names_the_choices(run):
    message = run("--baseline", "densee")
    assert "--baseline" in message
    assert "dense, none" in message


@commands("run", "compare", "area")
def test_a_bad_override(refused, command):
    assert "--set clock=1" in refused(*command(), "--set", "clock=1")


def test_an_impossible_tiling_names_file_layer_and_buffer(run, arch):
    message = run(
        "--set",
        "tiling={tokens: 21, columns: 4096, reduction: 4096}",
        "--set",
        "buffers.weights.capacity_kib=8",
    )
    assert "buffers.weights" in message
    assert "impossible tiling" in message
    assert str(arch("nm816")) in message or "nm816" in message
    assert "layers." in message


def test_a_value_out_of_range_of_the_precision_names_file_and_array(
    refused, arch, tmp_path, small_trace
):
    import numpy as np

    from accelsim.trace import InputInfo, TraceWriter

    path = tmp_path / "large.npz"
    linears = small_trace.linears[:1]
    key = linears[0].input
    large = np.full((21, 64), 0x47C3, np.uint16)  # 99,840 in bfloat16
    with TraceWriter(path) as writer:
        writer.add(key, large)
        inputs = {key: InputInfo(dtype="bfloat16")}
        writer.finish(small_trace.meta.model_copy(update={"linears": linears, "inputs": inputs}))
    machine = arch("nm816_bf16")
    message = refused(
        "run", machine, "--trace", path, "--set", "precision=fp16", "--set", "clock_mhz=100"
    )
    assert str(path) in message
    assert f"x/{key}" in message


@pytest.mark.parametrize(
    "command",
    [
        ("run", "{arch}", "--trace", "{trace}", "--csv", "{trace}"),
        ("run", "{arch}", "--trace", "{trace}", "--timeline", "{arch}"),
        ("run", "{arch}", "--trace", "{trace}", "--vcd", "{arch}", "--baseline", "{arch}"),
        ("compare", "{arch}", "--trace", "{trace}", "--csv", "{arch}"),
        ("tune", "{arch}", "--trace", "{trace}", "--out", "{trace}"),
        (
            *("policy", "search", "{arch}", "--trace", "{trace}"),
            *("--budget=cycles=1", "--out={arch}"),
        ),
        ("synth", "--shapes", "{arch}", "--tokens", "4", "--out", "{arch}"),
        ("accuracy", "--load-calibration", "{trace}", "--save-calibration", "{trace}"),
    ],
    ids=lambda command: f"{command[0]} {command[-1]}",
)
def test_no_command_writes_over_what_it_reads(refused, arch, trace, tmp_path, command):
    places = {"arch": tmp_path / "a.yaml", "trace": tmp_path / "t.npz"}
    places["arch"].write_bytes(arch("nm816").read_bytes())
    places["trace"].write_bytes(trace.read_bytes())
    before = {path: path.read_bytes() for path in places.values()}
    message = refused(*(part.format_map(places) for part in command))
    assert "is read by this command" in message
    assert {path: path.read_bytes() for path in places.values()} == before


# --- flags ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "parts"),
    [
        (("--phase", "decod"), ("--phase 'decod'", "did you mean 'decode'", "prefill, decode")),
        (("--phase", ""), ("--phase", "prefill, decode")),
        (("--engine", "fast"), ("--engine 'fast'", "simpy")),
        (("--batch", "4"), ("batch", "decode")),
        (("--phase", "prefill", "--batch", "4"), ("batch", "decode")),
        (("--phase", "decode", "--batch", "0"), ("--batch 0", "at least 1")),
        (("--phase", "decode", "--batch", "-3"), ("--batch -3", "at least 1")),
        (("--phase", "decode", "--batch", "22"), ("batch 22", "21 tokens")),
    ],
)
@commands("run", "compare")
def test_flags_that_make_no_sense(refused, command, flags, parts):
    message = refused(*command(), *flags)
    assert all(part in message for part in parts)


@pytest.mark.parametrize(
    ("flags", "part"),
    [
        (("--patterns", "2:4,8-16"), "'8-16'"),
        (("--patterns", ""), "allowed: dense, N:M"),
        (("--patterns", "2:4,"), "allowed: dense, N:M"),
        (("--patterns", "9:8"), "1 <= N <= M <= 64"),
    ],
)
def test_patterns_that_make_no_sense(refused, trace, flags, part):
    assert part in refused("inspect", trace, *flags)


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("run", "a.yaml", "--trace", "t.npz", "--colour", "red"), "--colour"),
        (("run", "a.yaml"), "--trace"),
        (("run",), "arch"),
        (("run", "a.yaml", "b.yaml", "--trace", "t.npz"), "b.yaml"),
        (("run", "a.yaml", "--trace", "t.npz", "--batch", "many"), "--batch"),
        (("run", "a.yaml", "--trace"), "--trace"),
        (("rum",), "rum"),
        (("synth", "--model", "llama-3-8b", "--tokens", "x", "--out", "o"), "--tokens"),
        (("synth", "--model", "m", "--tokens", "4", "--out", "o", "--seed", "-1"), "--seed"),
    ],
)
def test_a_command_line_that_cannot_be_parsed(cli, arguments, part):
    # The parser's own message: usage, and one error that names the argument.
    outcome = cli(*arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert part in outcome.err
    assert "Traceback" not in outcome.err
    assert outcome.err.count("Error") == 1


@pytest.mark.parametrize(
    ("flags", "part"),
    [
        (("--tokens", "0"), "at least 1"),
        (("--tokens", "4", "--seq-len", "0"), "at least 1"),
        (("--tokens", "4", "--layers", "99"), "--layers 99"),
        (("--tokens", "4", "--model", "llama"), "allowed: llama-2-7b"),
        (("--tokens", "4", "--distribution", "normal"), "allowed: gaussian"),
        (("--tokens", "4", "--distribution", "quantiles"), "quantiles"),
        (("--tokens", "4", "--quantiles", "none.npz"), "none.npz"),
    ],
)
def test_synth_options_that_make_no_sense(refused, tmp_path, flags, part):
    message = refused(*SYNTH, "--out", tmp_path / "s.npz", *flags)
    assert part in message
    assert list(tmp_path.iterdir()) == []


def test_synth_refuses_what_no_memory_holds(refused, tmp_path, arch):
    path = tmp_path / "s.npz"
    message = refused_at_some_point(refused, path, arch)
    assert str(path) in message or "--tokens" in message


def refused_at_some_point(refused, path, arch):
    """Either the recipe is refused, or the run that would have to draw it."""
    from accelsim.cli import main

    arguments = [*SYNTH, "--tokens", str(10**12), "--out", str(path)]
    if main(arguments) == 0:
        return refused("run", arch("dense"), "--trace", path)
    return refused(*arguments)


# --- outputs -------------------------------------------------------------------------------------

FILES = ("--csv", "--timeline", "--vcd")


@pytest.fixture
def place(tmp_path):
    """Make places where a file cannot be written."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("old")
    places = {
        "below nothing": tmp_path / "missing" / "x",
        "a folder": tmp_path / "folder",
        "below a file": tmp_path / "file" / "x",
        "no file system": "/proc/x",
        "too long": tmp_path / ("x" * 300),
    }
    before = sorted(tmp_path.rglob("*"))
    yield places.__getitem__
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "file").read_text() == "old"


PLACES = ("below nothing", "a folder", "below a file", "no file system", "too long")


@pytest.mark.parametrize("flag", FILES)
@pytest.mark.parametrize("where", PLACES)
def test_a_file_that_cannot_be_written(run, place, flag, where):
    message = run(flag, place(where))
    assert str(place(where)) in message
    assert "cannot write" in message


@pytest.mark.parametrize("where", ["below a file", "too long", "no file system"])
def test_a_folder_that_cannot_be_made(run, place, where):
    assert str(place(where)) in run("--out", place(where))


def test_a_folder_that_is_a_file(run, tmp_path):
    (tmp_path / "file").write_text("old")
    assert str(tmp_path / "file") in run("--out", tmp_path / "file")
    assert (tmp_path / "file").read_text() == "old"


@pytest.mark.parametrize("name", ["result.json", "layers.csv", "units.csv"])
def test_a_folder_with_a_folder_in_the_way_gets_no_results_at_all(run, tmp_path, name):
    (tmp_path / name).mkdir()
    assert name in run("--out", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("flag", ["--csv", "--out"])
def test_compare_that_cannot_write(refused, arch, trace, tmp_path, flag):
    (tmp_path / "file").write_text("old")
    target = tmp_path / "file" / "x"
    assert str(target) in refused("compare", arch("nm24"), "--trace", trace, flag, target)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("where", PLACES)
def test_synth_that_cannot_write(refused, place, where):
    assert str(place(where)) in refused(*SYNTH, "--tokens", "4", "--out", place(where))


@pytest.mark.parametrize("good", ["--csv", "--out", "--timeline", "--vcd"])
@pytest.mark.parametrize("bad", ["--csv", "--out", "--timeline", "--vcd"])
def test_one_bad_output_leaves_no_other_either(run, tmp_path, good, bad):
    if good == bad:
        return
    (tmp_path / "file").write_text("old")
    run(good, tmp_path / "good", bad, tmp_path / "file" / "x")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def with_small_files(limit, *arguments):
    """Run a command where no file can grow beyond `limit` bytes: a full disk."""
    return subprocess.run(
        [sys.executable, "-m", "accelsim", *map(str, arguments)],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("flag", ["--csv", "--out", "--timeline", "--vcd"])
def test_a_full_disk_is_told_and_leaves_nothing(arch, trace, tmp_path, flag):
    target = tmp_path / "o"
    done = with_small_files(1024, "run", arch("nm816"), "--trace", trace, flag, target)
    assert "Traceback" not in done.stderr
    assert (done.returncode, done.stdout) == (2, "")
    assert str(target) in done.stderr
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_trace_that_fills_the_disk(tmp_path):
    done = with_small_files(500, *SYNTH, "--tokens", "4", "--out", tmp_path / "s.npz")
    assert "Traceback" not in done.stderr
    assert done.returncode == 2
    assert list(tmp_path.iterdir()) == []


# --- names ---------------------------------------------------------------------------------------


def test_two_machines_of_one_name_cannot_share_a_folder(refused, arch, renamed, trace, tmp_path):
    other = renamed("nm24", base="nm816")
    message = refused("compare", arch("nm24"), other, "--trace", trace, "--out", tmp_path / "o")
    assert "--out" in message
    assert "'name'" in message
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize("name", ["../evil", "a/b", "..", "{tmp}/evil", "comparison.csv"])
def test_a_name_that_is_no_folder_cannot_leave_the_folder(cli, renamed, trace, tmp_path, name):
    # Refused, or written below --out under some name; never beside it.
    machine = renamed(name.format(tmp=tmp_path))
    before = set(tmp_path.rglob("*"))
    outcome = cli("compare", machine, "--trace", trace, "--out", tmp_path / "o" / "p")
    assert outcome.code in {0, 2}, outcome.err
    made = set(tmp_path.rglob("*")) - before - {tmp_path / "o", tmp_path / "o" / "p"}
    assert all(path.is_relative_to(tmp_path / "o" / "p") for path in made)


# --- defects -------------------------------------------------------------------------------------


def test_a_defect_is_not_blamed_on_the_user(cli, arch, trace, monkeypatch):
    import accelsim.run.simulation

    def fail(*_, **__):
        raise ZeroDivisionError("boom")

    monkeypatch.setattr(accelsim.run.simulation, "simulate_all", fail)
    outcome = cli("run", arch("nm816"), "--trace", trace)
    assert outcome.code == 1
    assert "ZeroDivisionError: boom" in outcome.err
    assert "defect of accelsim" in outcome.err
