"""int8, fp8 or bf16: does the number format change what sparsity support is worth?"""

from pathlib import Path

from accelsim import studies as st
from accelsim.report.style import unit_colours

FOLDER = Path(__file__).parent
INT8 = FOLDER.parent / "accuracy_vs_cost" / "accuracy.json"
PRECISIONS, PATTERNS = ("int8", "fp8", "bf16"), ("2:4", "8:16", "16:32")


def metadata(run: st.Run) -> float:
    """Return the share of the bitmask in what is stored: a bit a position, kept or not."""
    return float(1 / (1 + st.fact(run, "bits") / st.fact(run, "ideal_speedup")))


def over_int8(fact: str) -> st.Column:
    """Return a column: a fact over that of the machine for int8."""
    values = {"times": st.over(fact)}
    return st.Column("{times:.2f}×", {}, lambda **keys: RUNS["int8"] + AT(**keys), values)


AT = st.Choice("precisions", {"metadata": metadata}, {"pattern": "8:16"})
RUNS = {precision: AT(precision=precision) for precision in PRECISIONS}
BOTH, BF16 = AT(precision=("fp8", "int8")), RUNS["bf16"]
LOSS = st.Choice("losses", settings={"mitigation": "none", "pattern": "8:16"})
LOSSES = {f"loss_{precision}": LOSS(precision=precision) for precision in PRECISIONS}
ANSWER = """\
Hardly: {int8.pattern} adds {int8.area_overhead_ratio:.1 %} of area in {int8.precision}, \
{fp8.area_overhead_ratio:.1 %} in {fp8.precision} and {bf16.area_overhead_ratio:.1 %} in \
{bf16.precision}, and takes {int8.energy_ratio:.2f}, {fp8.energy_ratio:.2f} and \
{bf16.energy_ratio:.2f} of the dense energy, the least in {fp8.precision}, whose multipliers are \
dear (fp32 adders) while what is routed stays {fp8.bits} bits wide. Quality does not depend on it \
either: {int8.pattern} adds {loss_int8.increase}, {loss_fp8.increase} and {loss_bf16.increase} of \
perplexity."""
POINTS = {"form": "{:.3f}"}
CLAIMS = {
    "{pattern} adds a smaller share of area in {precision} than in {last.precision}": st.above(
        0, st.gap("area_overhead_ratio"), BOTH, **POINTS
    ),
    "{pattern} saves a larger share of energy in {precision} than in {last.precision}": st.above(
        0, st.gap("energy_ratio"), BOTH, **POINTS
    ),
    "{pattern} takes at most {bound:g} of the dense energy in {precision}": [
        st.below(0.7, "energy_ratio", run) for run in (RUNS["fp8"], BF16)
    ],
    "in {precision}, {last.pattern} adds at most {bound:points} more of area than "
    "{pattern}": st.below(
        0.1, st.gap("area_overhead_ratio"), BF16(pattern=("2:4", "16:32")), **POINTS
    ),
    "a dense {last.precision} machine is at least {more:word} larger than one of "
    "{precision}": st.above(1.25, st.over("dense_area_mm2"), AT(precision=("int8", "fp8"))),
}
DENSE = {
    "precision": "{precision}",
    "area, mm²": "{dense_area_mm2:.2f}",
    "area over int8": over_int8("dense_area_mm2"),
    "energy, mJ": "{dense_energy_mj:.2f}",
    "energy over int8": over_int8("dense_energy_mj"),
    "perplexity": st.Column("{dense_perplexity:.2f}", chosen=LOSS),
}
SPARSE = {"precision": "{precision}", "pattern": "{pattern}"}
SPARSE |= st.ratios("speed-up", "energy", "area", "work per area")
SPARSE |= {"metadata": "{metadata:.1%}", "perplexity": st.Column("{increase}", chosen=LOSS)}
STACKS = {
    f"{precision}\n{name}": run if name == "8:16" else run.only(lambda runs: runs[0]["baseline"])
    for precision, run in RUNS.items()
    for name in ("dense", "8:16")
}
LOOK = st.Look(ylabel="area (mm²)", legend=2)
FIGURE = [st.Stacks(STACKS, unit_colours(), st.unit_area_mm2, LOOK, 5.5)]
for ratio, label, scale, form in (
    ("energy_ratio", "energy over dense", 1, "{:.2f}"),
    ("area_overhead_ratio", "area over dense (%)", 100, "{:.1f}"),
):
    bars = {pattern: st.Bar(ratio, {"pattern": pattern}) for pattern in PATTERNS}
    FIGURE.append(st.Bars(RUNS, bars, st.Look(ylabel=label, legend=3), scale, form))
MEASURED = st.Perplexities(FOLDER / "accuracy.json", PATTERNS, others=[INT8])
STUDY = st.Study(
    __doc__,
    __file__,
    groups={"precisions": ("precisions",), "losses": MEASURED},
    numbers=[st.Numbers("precisions")],
    parts=[
        st.Prose("answer", ANSWER, {**RUNS, **LOSSES}),
        st.Table("dense", AT, {"precision": PRECISIONS}, DENSE),
        st.Table("sparse", AT, {"precision": PRECISIONS, "pattern": PATTERNS}, SPARSE),
        st.Claims(CLAIMS),
    ],
    figure=st.Figure(FIGURE, 65),
)

if __name__ == "__main__":
    STUDY.main()
