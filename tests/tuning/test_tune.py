"""Tuning: by hand where the answer is known, and no step from the answer that would do, too."""

import copy
from functools import cache
from pathlib import Path

import pytest
import yaml

from accelsim.base.errors import InputError
from accelsim.base.yaml_source import YamlSource
from accelsim.config import Architecture, load_arch
from accelsim.run.area import clock_notes
from accelsim.run.simulation import simulate
from accelsim.sweeps.totals import Workload
from accelsim.testing.traces import trace_of
from accelsim.tuning import Duty, Workbench, tune
from accelsim.tuning.bench import has_known_area
from accelsim.tuning.record import file_text

MACHINE = {
    "schema": 1,
    "name": "roomy",
    "clock_mhz": 500,
    "precision": "int8",
    "pattern": "dense",
    "mac_array": {"rows": 4, "columns": 8, "lanes": 4},
    "buffers": {
        "activations": {"capacity_kib": 32, "port_bytes": 64},
        "weights": {"capacity_kib": 64, "port_bytes": 64},
        "outputs": {"capacity_kib": 32, "port_bytes": 64},
    },
    "dram": {"standard": "lpddr4", "bandwidth_gb_per_s": 8, "latency_ns": 20, "burst_bytes": 16},
}
SPARSE = MACHINE | {
    "pattern": "4:8",
    "selector": {"kind": "rank", "instances": 16},
    "crossbar": {"kind": "full"},
    "buffers": MACHINE["buffers"] | {"compressed": {"capacity_kib": 32, "port_bytes": 64}},
}
PREFILL, BOTH = (Duty(),), (Duty(), Duty(2))
LAYERS = [(128, 64), (64, 128)]
TRACE = trace_of(LAYERS, lengths=(40, 24))


def bench_of(machine, duties=PREFILL, fixed=(), trace=TRACE):
    source = YamlSource(Path("roomy.yaml"), copy.deepcopy(machine), {})
    return Workbench(source, Workload(trace, None), duties, fixed=fixed)


def tuned_of(pattern, duties=PREFILL, fixed=(), loss=0.02):
    return _tuned(pattern, duties, fixed, loss)


@cache
def _tuned(pattern, duties, fixed, loss):
    """Tuned once for all tests."""
    return tune(bench_of({"dense": MACHINE, "4:8": SPARSE}[pattern], duties, fixed), loss)


def cycles_of(contents, duty):
    """The cycles by the command that everybody uses."""
    arch = Architecture.model_validate(dict(contents))
    return simulate(arch, TRACE, phase=duty.phase, batch=duty.batch).cycles


def area_of(arch):
    tech = arch.load_technology()
    return sum(unit.area_um2(tech, arch.path) for unit in arch.units.values())


def test_ports_twice_as_wide_as_the_array_takes_are_halved():
    """A step takes 8 columns × 4 lanes = 32 weights and 4 rows × 4 lanes = 16 activations.

    DRAM brings 16 bytes a cycle, which no port slows down, and the array is busy for longer. With
    less of either, a step would take more than a cycle.
    """
    buffers = tuned_of("dense", loss=0.0).after.contents["buffers"]
    assert buffers["weights"]["port_bytes"] == 32
    assert buffers["activations"]["port_bytes"] == 16


def test_what_is_kept_stays():
    kept = ("buffers.weights", "buffers.outputs.port_bytes")
    tuned = tuned_of("dense", fixed=kept)
    assert tuned.after.contents["buffers"]["weights"] == MACHINE["buffers"]["weights"]
    assert tuned.after.contents["buffers"]["outputs"]["port_bytes"] == 64
    assert tuned.after.contents["buffers"]["activations"]["port_bytes"] == 16


@pytest.mark.parametrize(("pattern", "duties"), [("dense", BOTH), ("4:8", PREFILL)])
def test_no_duty_loses_more_than_it_may(pattern, duties):
    tuned = tuned_of(pattern, duties)
    for place, duty in enumerate(duties):
        cycles = cycles_of(tuned.after.contents, duty)
        assert cycles == tuned.after.cycles[place]
        assert cycles <= 1.02 * cycles_of(tuned.generous.contents, duty)
    assert tuned.after.area_um2 < tuned.before.area_um2


@pytest.mark.parametrize("pattern", ["dense", "4:8"])
def test_the_result_meets_its_clock(pattern):
    arch = tuned_of(pattern).after.candidate.arch
    assert not [note for note in clock_notes(arch, arch.load_technology()) if note.is_warning]


RUNGS = sorted({base * 2**k for base in (1, 3) for k in range(16)})
NUMBERS = {"capacity_kib", "port_bytes", "instances"}


def one_rung_down(contents):
    """Each machine in which one number is a step of 2 or 1.5 lower; one memory a buffer."""
    sections = [("selector",)] if "selector" in contents else []
    sections += [("buffers", name) for name in contents["buffers"]]
    for section in sections:
        for name in NUMBERS:
            smaller = copy.deepcopy(dict(contents))
            place = smaller
            for part in section:
                place = place[part]
            lower = [rung for rung in RUNGS if rung < place.get(name, 0)]
            if lower:
                place[name] = lower[-1]
                place.pop("macros", None)
                yield smaller


@pytest.mark.parametrize("pattern", ["dense", "4:8"])
def test_no_single_step_from_the_result_would_do(pattern):
    fixed = tuple(f"buffers.{name}.macros" for name in SPARSE["buffers"])
    tuned = tuned_of(pattern, fixed=fixed)
    limit = 1.02 * tuned.generous.cycles[0]
    steps = list(one_rung_down(tuned.after.contents))
    assert len(steps) >= 4
    for contents in steps:
        try:
            arch = Architecture.model_validate(contents)
            cycles = cycles_of(contents, Duty())
        except (InputError, ValueError):
            continue  # no machine, or no tile fits
        buffers = [unit for name, unit in arch.units.items() if name.endswith("_buffer")]
        too_small = not all(map(has_known_area, buffers))
        late = any(note.is_warning for note in clock_notes(arch, arch.load_technology()))
        assert too_small or late or cycles > limit or area_of(arch) >= tuned.after.area_um2


def test_it_is_the_same_every_time():
    again = tune(bench_of(MACHINE), loss=0.02)
    assert again.after == tuned_of("dense").after
    assert again.simulations == tuned_of("dense").simulations


def test_the_file_describes_the_machine(tmp_path):
    tuned, bench = tuned_of("4:8"), bench_of(SPARSE)
    path = tmp_path / "tuned.yaml"
    path.write_text(file_text(tuned, bench, 0.02), encoding="utf-8")
    arch = load_arch(path)
    assert arch.name == "roomy_tuned"
    assert arch.model_copy(update={"name": "roomy"}) == tuned.after.candidate.arch
    assert f"Cycles in prefill: {tuned.after.cycles[0]:,}" in path.read_text(encoding="utf-8")
    assert yaml.safe_load(path.read_text(encoding="utf-8"))["pattern"] == "4:8"


def test_memories_never_become_smaller_than_those_of_known_area():
    contents = tune(bench_of(MACHINE), loss=1.0).after.contents
    for name in contents["buffers"]:
        section = contents["buffers"][name]
        assert section["capacity_kib"] * 1024 / section.get("macros", 1) >= 1024
        assert section["capacity_kib"] * 1024 / section["port_bytes"] >= 32


def test_a_machine_that_misses_its_clock_whatever_its_parts_is_refused():
    slow = SPARSE | {"clock_mhz": 2000, "crossbar": {"kind": "full", "pipeline_stages": 0}}
    with pytest.raises(InputError, match=r"roomy\.yaml: crossbar: pipeline_stages 0 is too few"):
        tune(bench_of(slow))
