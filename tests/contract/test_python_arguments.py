"""Python functions take files where they take what files hold, and refuse everything else."""

from pathlib import Path

import pytest

import accelsim as acs
from accelsim.base.errors import ArgumentError

ROOT = Path(__file__).parents[2]
DENSE, SPARSE = (ROOT / "arch_configs" / f"{name}.yaml" for name in ("dense", "nm816"))
POLICY = ROOT / "arch_configs" / "policies" / "but_up_and_o.yaml"
TRACE = ROOT / "traces" / "llama.npz"


@pytest.fixture(scope="module")
def trace(tmp_path_factory):
    """One block of a public model, without values, and its path."""
    return acs.synthesise(
        "llama-3.2-1b",
        tmp_path_factory.mktemp("api") / "t.npz",
        tokens=8,
        layers=1,
        distribution="none",
    )


@pytest.mark.parametrize("as_path", [str, Path])
def test_paths_stand_for_what_the_files_hold(trace, as_path):
    machine = acs.load_arch(SPARSE)
    rules = acs.load_policy(POLICY, machine.method)
    opened = acs.simulate(machine, trace, policy=rules)
    files = acs.simulate(as_path(SPARSE), as_path(trace.path), policy=as_path(POLICY))
    assert files.totals() == opened.totals()
    assert files.totals() != acs.simulate(machine, trace).totals()


def test_compare_is_simulate_for_each_and_ratios(trace):
    first, second = acs.compare([DENSE, acs.load_arch(SPARSE)], trace.path)
    cycles = [acs.simulate(arch, trace).cycles for arch in (DENSE, SPARSE)]
    assert [first["cycles"], second["cycles"]] == cycles
    assert second["speedup"] == pytest.approx(cycles[0] / cycles[1])
    ruled = acs.compare([DENSE, SPARSE], trace, policies=[None, POLICY])
    assert ruled[0] == first
    assert ruled[1]["cycles"] > second["cycles"]


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (
            lambda t: acs.simulate(5, t),
            "'arch' is 5, of type int; allowed: Architecture, or the pa",
        ),
        (lambda t: acs.simulate({"name": "x"}, t), "'arch' is .*, of type dict"),
        (lambda t: acs.simulate(t, t), "'arch' is .*, of type Trace"),
        (lambda _: acs.simulate(SPARSE, None), "'trace' is None, of type NoneType; allowed: Trace"),
        (lambda _: acs.simulate(SPARSE, b"t.npz"), "'trace' is .*, of type bytes"),
        (lambda t: acs.simulate(SPARSE, t, policy=3), "'policy' is 3, of type int; allowed: Poli"),
        (lambda t: acs.simulate(SPARSE, t, phase="decode", batch="2"), "'batch' is '2', of ty"),
        (lambda t: acs.simulate(SPARSE, t, phase="decode", batch=2.5), "'batch' is 2.5, of type"),
        (lambda t: acs.simulate(SPARSE, t, phase="decode", batch=True), "'batch' is True, of ty"),
        (lambda t: acs.simulate(SPARSE, t, layers=None), "'layers' is None, of type NoneType"),
        (lambda t: acs.simulate(SPARSE, t, layers=["chained"]), "'layers' is .*, of type list"),
        (lambda t: acs.simulate_all(str(SPARSE), t), "'archs' is .*, of type str; allowed: a list"),
        (
            lambda t: acs.compare(acs.load_arch(SPARSE), t),
            "'archs' is .*, of type Architecture; al",
        ),
        (lambda t: acs.compare([SPARSE], t, policies=POLICY), "'policies' is .*; allowed: a list"),
        (lambda _: acs.load_arch(None), "'path' is None, of type NoneType; allowed: a path"),
        (lambda _: acs.load_arch(SPARSE, "clock_mhz=500"), "'overrides' is .*; allowed: a list"),
        (lambda _: acs.load_arch(SPARSE, [500]), "'overrides.*' is 500, of type int"),
        (acs.load_trace, "'path' is .*, of type Trace"),
        (lambda _: acs.load_policy(POLICY, "8:16"), "'default' is '8:16', of type str"),
        (lambda _: acs.load_policy(1, acs.load_arch(SPARSE).method), "'path' is 1, of type int"),
        (lambda _: acs.sweep({"mode": "grid"}, out="out"), "'file' is .*, of type dict"),
        (lambda _: acs.sweep("s.yaml", out=None), "'out' is None, of type NoneType"),
        (lambda _: acs.sweep("s.yaml", out="out", trace=2), "'trace' is 2, of type int"),
        (lambda _: acs.sweep("s.yaml", out="out", workers="2"), "'workers' is '2', of type str"),
        (lambda _: acs.synthesise("llama-3-8b", None, tokens=1), "'out' is None, of type None"),
        (
            lambda _: acs.synthesise("llama-3-8b", "t.npz", tokens="9"),
            "'tokens' is '9', of type st",
        ),
        (lambda _: acs.synthesise(8, "t.npz", tokens=9), "'model' is 8, of type int"),
    ],
)
def test_other_types_are_refused_by_the_name_of_the_argument(trace, call, says):
    with pytest.raises(ArgumentError, match=f"^argument {says}") as caught:
        call(trace)
    assert isinstance(caught.value, TypeError)
    assert isinstance(caught.value, acs.InputError)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda t: acs.simulate("none.yaml", t), r"none\.yaml: cannot read"),
        (lambda _: acs.simulate(SPARSE, "none.npz"), r"none\.npz: cannot read: No such file"),
        (lambda t: acs.simulate(TRACE, t), r"llama\.npz: .*not an architecture file"),
        (lambda _: acs.simulate(SPARSE, SPARSE), r"nm816\.yaml: not a readable \.npz trace"),
        (lambda t: acs.simulate_all([], t), "names no machine; at least one is needed"),
        (lambda t: acs.compare([SPARSE] * 2, t, policies=[None]), "1 policies for 2 machines"),
    ],
)
def test_files_that_are_no_such_files_are_bad_input(trace, call, says):
    with pytest.raises(acs.InputError, match=says):
        call(trace)
