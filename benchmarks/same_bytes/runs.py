"""The runs: every machine, phase, method and command; each part once the narrow one.

Data only. A name says what is run; the commands are in words that a reader could type.
"""

from __future__ import annotations

from record import Case
from texts import (
    ISO_AREA_SWEEP,
    METHODS_POLICY,
    POLICY_SWEEP,
    RATES_SWEEP,
    SEARCH,
    TINY_SHAPES,
    UNITS_SWEEP,
)
from variants import ALSO_AREA, ALSO_DECODE, DENSE_VARIANTS, VARIANTS

LLAMA = "--trace traces/llama.npz"
RELU = "--trace traces/llama_relu.npz"
POLICY = "--policy arch_configs/policies/but_up_and_o.yaml"
PHASES = {
    "prefill": "",
    "decode1": "--phase decode --batch 1",
    "decode4": "--phase decode --batch 4",
}
MACHINES = ("dense", "nm24", "nm48", "nm816", "nm1632", "nm816_bf16")
FRAME = """\
python -c "
import accelsim as acs
result = acs.simulate('arch_configs/nm816.yaml', 'traces/llama.npz', phase='decode', batch=2)
print(result.to_frame().to_csv(index=False), end='')
" """
# The user's own table of prices; hidden, so that the record does not hold the checkout's copy.
OWN_TABLE = """\
python -c "
from pathlib import Path
table, = Path('accelsim').rglob('nangate45.yaml')
text = table.read_text(encoding='utf-8').replace('node_nm: 45', 'node_nm: 40')
Path('{out}/.own.yaml').write_text(text, encoding='utf-8')
" """
TEXTS = "--text traces/text/capture.txt --calibration LICENSE --exact --repeats 0 --device cpu"


def run(machine: str, options: str, settings: str = "") -> Case:
    """Return one `accelsim run`; settings are KEY=VALUE, next to each other."""
    return Case((f"run arch_configs/{machine}.yaml {options} {_sets(settings)} --json",))


def _sets(settings: str) -> str:
    """Return flags `--set`; a value in braces holds spaces.

    >>> _sets("format=index tiling={tokens: 8, reduction: 64}")
    "--set 'format=index' --set 'tiling={tokens: 8, reduction: 64}'"
    """
    words, depth = [""], 0
    for character in settings:
        depth += (character == "{") - (character == "}")
        if character == " " and depth == 0:
            words.append("")
        else:
            words[-1] += character
    return " ".join(f"--set '{word}'" for word in words if word)


def sweep(text: str, *more: str) -> Case:
    """Return a sweep with one process, and commands on its folder, `{out}/sweep`."""
    command = "sweep {out}/sweep.yaml --out {out}/sweep --workers 1 --json"
    return Case((command, *more), {"sweep.yaml": text, "methods.yaml": METHODS_POLICY})


def accuracy(options: str) -> Case:
    """Return a short measurement on the shipped model in float64."""
    return Case((f"accuracy {TEXTS} --seq-len 64 --calibration-tokens 256 --json {options}",))


def plots(runs: str, kinds: str) -> tuple[str, ...]:
    """Return commands that print the numbers of figures of result folders."""
    return tuple(f"plot {kind} {runs} --out {{out}}/{kind}.svg --json" for kind in kinds.split())


def synthetic(options: str, *runs: str) -> Case:
    """Return a trace made from shapes, and runs on it, each an architecture and options."""
    made = f"synth {options} --out {{out}}/made.npz --json"
    commands = (f"run arch_configs/{one} --trace {{out}}/made.npz --json" for one in runs)
    return Case((made, *commands), {"tiny.csv": TINY_SHAPES})


RUNS: dict[str, Case] = {
    # Accuracy, which takes longest
    "accuracy-thresholds": accuracy(
        "--tokens 64 --layers '*.layers.2.*' --patterns topk:0.5,threshold:0.5,greedy-threshold:0.5"
    ),
    "accuracy-patterns": accuracy("--tokens 128 --patterns 2:4,8:16"),
    "accuracy-methods": accuracy(
        "--tokens 64 --precision int8 --patterns 4:8 --criteria act,clact,amber"
        " --mitigations none,dpts,spts,lpts,var,ls,rsparse16"
    ),
    "accuracy-weights": accuracy("--tokens 128 --patterns 8:16 --criteria wt --precision fp8"),
    "accuracy-decode": accuracy("--tokens 32 --patterns 8:16 --phase decode --precision bf16"),
    "accuracy-policy": accuracy(f"--tokens 128 --patterns 8:16 {POLICY}"),
    "policy-search": Case(
        (
            f"policy search arch_configs/nm816.yaml {LLAMA} --budget cycles=0.65 {TEXTS}"
            " --seq-len 64 --tokens 128 --json --out {out}/policy.yaml",
        )
    ),
    # Machines
    **{
        f"{machine}-{phase}": run(machine, f"{LLAMA} {options}")
        for machine in MACHINES
        for phase, options in PHASES.items()
    },
    **{f"nm816-{name}": run("nm816", LLAMA, settings) for name, settings in VARIANTS.items()},
    **{
        f"nm816-{name}-decode4": run("nm816", f"{LLAMA} {PHASES['decode4']}", VARIANTS[name])
        for name in ALSO_DECODE
    },
    **{
        f"dense-{name}-{phase}": run("dense", f"{LLAMA} {PHASES[phase]}", settings)
        for name, settings in DENSE_VARIANTS.items()
        for phase in ("prefill", "decode4")
    },
    # Traces
    "relu-nm24": run("nm24", RELU),
    "relu-nm816-decode1": run("nm816", f"{RELU} {PHASES['decode1']}"),
    "relu-nm1632-decode4": run("nm1632", f"{RELU} {PHASES['decode4']}", "criterion=clact"),
    "synth-gpt2": synthetic(
        "--shapes traces/gpt2.csv --tokens 32 --seq-len 8",
        "nm816.yaml",
        "nm48.yaml --phase decode --batch 4",
    ),
    "synth-shapes_only": synthetic(
        "--shapes traces/gpt2.csv --tokens 64 --distribution none", "dense.yaml", "nm816.yaml"
    ),
    "synth-experts": synthetic(
        "--model mixtral-8x7b --tokens 16 --layers 1 --distribution none", "nm24.yaml"
    ),
    "synth-llama3": synthetic(
        "--model llama-3.2-1b --tokens 32 --seq-len 16 --layers 1 --distribution relu --seed 3",
        "nm1632.yaml",
        "nm816.yaml --phase decode --batch 2",
    ),
    "synth-tiny": synthetic(
        "--shapes {out}/tiny.csv",
        *(
            f"{machine}.yaml --engine {engine} --set 'tiling={tiling}' {more}"
            for machine in ("dense", "nm24", "nm816")
            for engine in ("simpy", "recurrence")
            for tiling in ("{tokens: 8, reduction: 32, columns: 16, order: columns_outer}", "auto")
            for more in ("", "--phase decode")
        ),
    ),
    # The other engine, baselines, what a run writes
    "simpy-prefill": run("nm816", f"{LLAMA} --engine simpy", VARIANTS["slow_dram"]),
    "simpy-decode4": run("nm24", f"{LLAMA} --engine simpy {PHASES['decode4']}"),
    "simpy-method": run("nm816", f"{LLAMA} --engine simpy", VARIANTS["cramped_method"]),
    "baseline-none": run("nm816", f"{LLAMA} --baseline none"),
    "baseline-file": run("nm816", f"{LLAMA} --baseline arch_configs/nm24.yaml"),
    "verify": synthetic("--shapes {out}/tiny.csv", "nm816.yaml --verify"),
    "timeline": Case(
        (
            f"run arch_configs/nm816.yaml {LLAMA} --timeline {{out}}/timeline.json"
            " --vcd {out}/waves.vcd --watch-layers '*.0.*' --watch-tiles 0:10 --json",
            f"run arch_configs/nm24.yaml {LLAMA} {PHASES['decode4']} --set criterion=clact"
            " --timeline {out}/decode.json --vcd {out}/decode.vcd --watch-layers '*.7.*' --json",
        )
    ),
    "tables": Case(
        (
            f"run arch_configs/nm816.yaml {LLAMA}",
            f"run arch_configs/dense.yaml {LLAMA} {PHASES['decode1']}",
            "area arch_configs/nm816.yaml",
            f"compare arch_configs/dense.yaml arch_configs/nm24.yaml {LLAMA}",
        )
    ),
    "frame": Case((FRAME,)),
    "csv": Case((f"run arch_configs/nm816.yaml {LLAMA} --csv {{out}}/layers.csv --json",)),
    # Policies
    "policy-prefill": run("nm816", f"{LLAMA} {POLICY}"),
    "policy-decode4": run("nm24", f"{LLAMA} {POLICY} {PHASES['decode4']}"),
    "policy-methods": Case(
        tuple(
            f"run arch_configs/nm816.yaml {LLAMA} --policy {{out}}/methods.yaml --json {options}"
            for options in (PHASES["prefill"], PHASES["decode4"])
        ),
        {"methods.yaml": METHODS_POLICY},
    ),
    # Area, comparisons, plots, traces, RTL
    **{
        f"area-{machine}": Case((f"area arch_configs/{machine}.yaml --json",))
        for machine in MACHINES
    },
    "area-variants": Case(
        tuple(f"area arch_configs/nm816.yaml --json {_sets(VARIANTS[name])}" for name in ALSO_AREA)
    ),
    "technology-file": Case(
        (
            OWN_TABLE,
            f"run arch_configs/nm48.yaml {LLAMA} --set technology.table={{out}}/.own.yaml --json",
            "area arch_configs/nm48.yaml --set technology.table={out}/.own.yaml --json",
        )
    ),
    "area-blocks": Case(
        tuple(
            f"area --json --block {block} {options}"
            for block, options in (
                *(
                    ("selector", f"--kind {kind}")
                    for kind in ("rank", "bitonic", "cascade", "radix")
                ),
                ("selector", "--kind radix --pipelined --n 2 --m 4 --bits 16 --clock-mhz 1500"),
                *(("crossbar", f"--kind {kind}") for kind in ("full", "window", "logshift")),
                ("crossbar", "--kind hierarchical --n 4 --m 8 --lanes 32 --columns 4"),
                *(("mac", f"--kind {kind}") for kind in ("int8", "fp8", "bf16", "fp16")),
                ("dot_product", "--kind int8 --lanes 32 --clock-mhz 1000"),
            )
        )
    ),
    "compare": Case(
        (
            f"compare {' '.join(f'arch_configs/{one}.yaml' for one in MACHINES)} {LLAMA}"
            " --json --out {out}/runs --csv {out}/table.csv",
            *plots("{out}/runs/dense {out}/runs/nm816", "breakdown causes cost efficiency"),
            *plots("{out}/runs/dense {out}/runs/nm816", "overhead roofline utilization"),
            *plots("{out}/runs/nm816", "heatmap"),
        )
    ),
    "compare-decode4": Case(
        (
            f"compare arch_configs/nm816.yaml arch_configs/nm24.yaml {LLAMA} {PHASES['decode4']}"
            f" {POLICY} --set mitigation=var --json --out {{out}}/runs",
            *plots("{out}/runs/nm816 {out}/runs/nm24", "causes"),
            f"run arch_configs/nm816.yaml {LLAMA} {PHASES['decode4']} --json --out {{out}}/run",
            *plots("{out}/run", "decode"),
        )
    ),
    "inspect": Case(("inspect traces/llama.npz --patterns 2:4,8:16 --json",)),
    "inspect-relu": Case(("inspect traces/llama_relu.npz --patterns 4:8 --json",)),
    "rtl": Case(("rtl arch_configs/nm816.yaml --out {out}/rtl --json",)),
    # Sweeps
    "sweep-rates": sweep(RATES_SWEEP, "pareto {out}/sweep --no-plot --json"),
    "sweep-units": sweep(UNITS_SWEEP, "pareto {out}/sweep --x cycles --y energy_pj --no-plot"),
    "sweep-policies": sweep(POLICY_SWEEP),
    "sweep-iso_area": sweep(ISO_AREA_SWEEP),
    "sweep-search": sweep(SEARCH),
}
