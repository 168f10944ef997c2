"""Is the comparison of small layers that of Llama-3-8B?"""

import tempfile
from argparse import Namespace
from pathlib import Path

from accelsim import studies as st
from accelsim.base.errors import InputError
from accelsim.trace.shapes import synthesise

FOLDER = Path(__file__).parent
QUANTILES = FOLDER.parents[2] / "shared/reference/activation_quantiles_llama-3-8b.npz"
TOKENS = {"prefill": 512, "decode": 16}
MODEL, MACHINES = "llama-3-8b", ("nm816", "large816")
PATTERNS = ("2:4", "4:8", "8:16", "16:32")
# One layer of those that share an input.
KINDS = {"q_proj": "q, k, v", "o_proj": "o", "gate_proj": "gate, up", "down_proj": "down"}
MISSING = (
    "{path}: no quantiles of Llama-3-8B's activations. This experiment draws from the real ones: "
    "make them from the histograms that the TEAL authors published (MIT), or from your own "
    "capture, in the format of docs/guide/own_model.md, and name the file with --quantiles"
)


def simulated(flags: Namespace) -> list[st.Run]:
    """Return prefill and decode of all layers on both machines, by every pattern."""
    if not flags.quantiles.is_file():
        raise InputError(MISSING.format(path=flags.quantiles))
    runs: list[st.Run] = []
    with tempfile.TemporaryDirectory() as folder:
        for phase, tokens in TOKENS.items():
            path = Path(folder) / f"{phase}.npz"
            synthesise(MODEL, path, tokens=tokens, quantiles=flags.quantiles)
            for name in (phase, f"large_{phase}"):
                runs += st.runs_of(FOLDER / f"{name}.yaml", path)
    return runs


AT = st.Choice("runs", settings={"base": "nm816", "pattern": "8:16", "phase": "prefill"})
LARGE, DECODE = AT(base="large816"), AT(phase="decode")
WIDER = LARGE(pattern=("2:4", "8:16"))
ANSWER = """\
Yes, with speed-ups nearer to {small.ideal_speedup:g}: on all {small.layers} layers of Llama-3-8B \
{small.pattern} is {small.speedup:.2f}× as fast as dense at {small.energy_ratio:.2f} of the energy \
and +{small.area_overhead_ratio:.1 %} of area with {small.multipliers:,} multipliers, \
{large.speedup:.2f}×, {large.energy_ratio:.2f} and +{large.area_overhead_ratio:.1 %} with \
{large.multipliers:,}, and {decode.speedup:.2f}× in decode at batch {decode.batch}. With \
{large.multipliers:,} multipliers the patterns are further apart: from \
+{two.area_overhead_ratio:.1 %} of area and {two.energy_ratio:.2f} of the energy at {two.pattern} \
to +{wide.area_overhead_ratio:.1 %} and {wide.energy_ratio:.2f} at {wide.pattern}."""
TWO, WIDE = LARGE(pattern="2:4"), LARGE(pattern="16:32")
TOLD = {"small": AT, "large": LARGE, "decode": DECODE, "two": TWO, "wide": WIDE}
ON = "{multipliers:,} multipliers: {last.pattern}"
AREA, PJ = st.over("area_um2"), st.over("energy_pj")
CLAIMS = {
    f"{ON} is {{bound:g}} times as fast as dense": st.above(1.95, "speedup", LARGE),
    f"{ON} takes at most {{bound:g}} of the dense energy": st.below(0.75, "energy_ratio", LARGE),
    f"{ON} is at most {{more:.0 %}} larger than {{pattern}}": st.below(1.05, AREA, WIDER),
    f"{ON} takes at most {{more:.0 %}} more energy than {{pattern}}": st.below(1.05, PJ, WIDER),
    f"{ON} does {{bound:g}} times as much work per area as dense": st.above(
        1.6, "tops_per_mm2_ratio", LARGE
    ),
    f"{ON} takes less energy than dense": st.below(1, "energy_ratio", WIDE),
    f"{ON} takes at most {{bound:.1f}} of the dense energy": st.below(0.9, "energy_ratio", AT),
    f"{ON} is {{bound:g}} times as fast in decode at batch {{batch}}": st.above(
        1.9, "speedup", DECODE
    ),
}
COLUMNS = {"multipliers": "{multipliers:,}", "pattern": "{pattern}", "TOPS": "{effective_tops:.2f}"}
COLUMNS |= st.ratios("speed-up", "energy", "area", "work per area") | {
    "decode, batch {batch}": st.Column("{speedup:.2f}×", {"phase": "decode"}),
    "energy in decode": st.Column("{energy_ratio:.2f}×", {"phase": "decode"}),
    "dropped squared magnitude": "{dropped_squared_magnitude_ratio:.1%}",
}
COSTS = st.Look(xlabel="pattern, {multipliers:,} multipliers", ylim=(0, 2.5))
DROPS = st.Look(xlabel="pattern", ylabel="dropped share of squared magnitude (%)", legend=4)
BARS = {
    name: st.Bar(lambda runs, kind=kind: st.dropped_squared_magnitude_ratio(runs[0], kind))
    for kind, name in KINDS.items()
}
PLOTS = [st.Plotted("cost", AT(base=base, pattern=PATTERNS), COSTS) for base in MACHINES]
GROUPS = {pattern: AT(pattern=pattern) for pattern in PATTERNS}
STUDY = st.Study(
    __doc__,
    __file__,
    groups={"runs": simulated},
    numbers=[st.Numbers("runs", {"trace": lambda _: MODEL}, file="llama3_8b")],
    parts=[
        st.Prose("answer", ANSWER, TOLD),
        st.Table("table", AT, {"base": MACHINES, "pattern": PATTERNS}, COLUMNS),
        st.Claims(CLAIMS),
    ],
    figure=st.Figure([*PLOTS, st.Bars(GROUPS, BARS, DROPS, scale=100, form="{:.1f}")]),
    flags={"quantiles": {"type": Path, "default": QUANTILES, "help": "of layer inputs (.npz)"}},
)

if __name__ == "__main__":
    STUDY.main()
