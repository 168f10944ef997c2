"""Does hardware support for 8:16 or 16:32 activation sparsity earn its area over 2:4?"""

from functools import partial
from pathlib import Path

from accelsim import studies as st
from accelsim.report.style import BLUE, SKY
from accelsim.studies.equal_area import gain, gains, winner

LOSSES = st.Perplexities(Path(__file__).parents[1] / "accuracy_vs_cost" / "accuracy.json")
PATTERNS, LIMITED, AMPLE = ("2:4", "4:8", "8:16", "16:32"), 64, 256  # GB/s of DRAM
BUDGETS = (0.85, 0.9, 0.95, 1.0, 1.05, 1.1, 1.2)  # of the shipped dense area
MACS = st.Choice("macs")
FULL, SMALLEST = MACS(crossbar="full"), MACS.only(st.least_of("area_um2"))
TWO, _, EIGHT, WIDE = (FULL(pattern=pattern) for pattern in PATTERNS)
LOSS, SIZES = st.Choice("losses")(mitigation="none"), st.Choice("sizes")
LOSS_TWO, _, LOSS_EIGHT, LOSS_WIDE = (LOSS(pattern=pattern) for pattern in PATTERNS)


def at_equal_area(pattern: str, bandwidth: int) -> st.Joined:
    """Return the shipped machine, and those to choose from in the area of its dense one."""
    sizes = SIZES(bandwidth=bandwidth)
    return TWO + sizes(pattern="dense") + sizes(pattern=pattern)


ANSWER = """\
{eight.pattern} does, {wide.pattern} hardly: all run {eight.speedup:.2f}× as fast as dense, and \
going from {two.pattern} to {eight.pattern} takes the increase of perplexity from \
{loss_two.increase_said} to {loss_eight.increase_said} for {area:.1 %} of area and {energy:.1 %} \
of energy, while {wide.pattern} takes it to {loss_wide.increase_said} for another \
{wide_area:.1 %} and {wide_energy:.1 %}. A dense machine that spends the same area on more \
multipliers comes nearer: {eight.pattern} is {ample.low:.2f} to {ample.high:.2f}× as fast where \
DRAM has room ({high} GB/s) and {limited.low:.2f} to {limited.high:.2f}× where it has not \
({low} GB/s), depending on the area, since columns are whole."""
UNCERTAINTY = """\
If crossbar wiring, SRAM energy and area, DRAM energy and activity factors are each off by up to \
{spread:.0 %}, in any combination tried, {eight.pattern} takes {area.low:.1p} to {area.high:.1 %} \
more area and {energy.low:.1p} to {energy.high:.1 %} more energy than {two.pattern}, and is \
{ample.low:.2f} to {ample.high:.2f}× ({high} GB/s) and {limited.low:.2f} to {limited.high:.2f}× \
({low} GB/s) as fast as dense in the area of the shipped dense machine; of {priced} claims that \
depend on prices {flipped} flip. Speed-ups at equal multipliers and perplexities depend on none of \
these."""
AREA, ENERGY, TOPS = st.over("area_um2"), st.over("energy_pj"), gain("effective_tops")
LARGER, DEARER = st.below(1.05, AREA, TWO + EIGHT), st.below(1.05, ENERGY, TWO + EIGHT)
FAST = st.above(1.2, TOPS, at_equal_area("8:16", AMPLE))
SLOW = st.above(1, TOPS, at_equal_area("8:16", LIMITED))
BY, AT = f"by {st.word(st.ERRORS)} standard errors", "at equal area, {last.bandwidth:g} GB/s"
CLAIMS = st.Claims(
    {
        "every pattern takes less than {bound:g} of the dense energy": st.below(
            0.8, st.largest("energy_ratio"), FULL(pattern=PATTERNS)
        ),
        "{last.pattern} takes at most {more:.0 %} more energy than {pattern}": [
            DEARER,
            st.below(1.05, ENERGY, TWO + WIDE),
        ],
        "{last.pattern} is at most {more:.0 %} larger than {pattern}": [
            LARGER,
            st.below(1.05, AREA, TWO + WIDE),
        ],
        f"{{pattern}} adds less than {{bound:word}} of the perplexity of {{last.pattern}}, {BY}": [
            st.below(0.5, st.loss_ratio, loss + LOSS_TWO) for loss in (LOSS_EIGHT, LOSS_WIDE)
        ],
        "an area buys {bound:times} more perplexity from {pattern} to 8:16 than from there to "
        "{last.pattern}": st.above(
            3, st.steepness, TWO + EIGHT + WIDE + LOSS_TWO + LOSS_EIGHT + LOSS_WIDE
        ),
        f"{{last.pattern}} is {{bound:g}} times as fast as dense {AT}": FAST,
        f"{{last.pattern}} is as fast as dense {AT}": [
            st.above(1, TOPS, at_equal_area("16:32", AMPLE)),
            SLOW,
        ],
        f"{{last.pattern}} takes less than {{bound:g}} of the energy of dense {AT}": st.below(
            0.9, gain("energy_pj"), at_equal_area("8:16", LIMITED)
        ),
    }
)
MACHINES = {"two": TWO, "eight": EIGHT, "wide": WIDE, "high": AMPLE, "low": LIMITED}
TOLD = MACHINES | {
    "loss_two": LOSS_TWO,
    "loss_eight": LOSS_EIGHT,
    "loss_wide": LOSS_WIDE,
    "area": st.Value(st.growth("area_um2"), TWO + EIGHT),
    "energy": st.Value(st.growth("energy_pj"), TWO + EIGHT),
    "wide_area": st.Value(st.growth("area_um2"), EIGHT + WIDE),
    "wide_energy": st.Value(st.growth("energy_pj"), EIGHT + WIDE),
    "ample": st.Value(gains("effective_tops", BUDGETS), at_equal_area("8:16", AMPLE)),
    "limited": st.Value(gains("effective_tops", BUDGETS), at_equal_area("8:16", LIMITED)),
}
UNCERTAIN = MACHINES | {
    "spread": st.SPREAD,
    "area": st.Extremes(LARGER, 1),
    "energy": st.Extremes(DEARER, 1),
    "ample": st.Extremes(FAST),
    "limited": st.Extremes(SLOW),
    "priced": st.Count(CLAIMS, lambda claim: bool(claim.runs)),
    "flipped": st.Count(CLAIMS, lambda claim: bool(claim.runs) and not claim.is_robust),
}
COSTS = {"pattern": "{pattern}", **st.ratios("speed-up", "energy", "energy × delay", "area")}
COSTS["smallest crossbar"] = st.Column("{area_overhead_ratio:+.1%} ({crossbar})", chosen=SMALLEST)
COSTS |= {**st.ratios("work per area"), "perplexity": st.Column("{increase}", chosen=LOSS)}
BEST = {"n": st.of_picked(winner, "columns"), "tops": st.of_picked(winner, "effective_tops")}
BEST |= {"gain": TOPS, "pj": gain("energy_pj")}
CELLS = {"columns": "{n}", "TOPS": "{tops:.2f}", "speed-up": "{gain:.2f}×", "energy": "{pj:.2f}×"}
ROWS, HEAD = {"bandwidth": (LIMITED, AMPLE)}, {"DRAM": "{bandwidth} GB/s", "pattern": "{pattern}"}
SIZED = HEAD | {head: st.Column(cell, values=BEST) for head, cell in CELLS.items()}
BUDGETED = HEAD | {
    f"{share:.2f} ×": st.Column("{gain:.2f}×", values={"gain": gain("effective_tops", share)})
    for share in BUDGETS
}
X = {"xlabel": "activation pattern"}
BARS = {
    f"{bandwidth} GB/s": st.Bar(TOPS, {"bandwidth": bandwidth}) for bandwidth in (AMPLE, LIMITED)
}
LOSS_BARS = st.Whiskers(
    {pattern: LOSS(pattern=pattern) for pattern in PATTERNS},
    "relative_drop",
    "relative_drop_stderr",
    st.Look(ylabel="increase of perplexity (%)", legend=1, **X),
    LOSS(pattern="topk:0.5"),
    "any half (no hardware): {relative_drop:.0p}",
)
GAINS = st.Bars(
    {pattern: partial(at_equal_area, pattern) for pattern in PATTERNS},
    BARS,
    st.Look(ylabel="speed-up at the same area", ylim=(0, 1.6), legend=3, **X),
    rule=1,
    colours=(BLUE, SKY),
)
STUDY = st.Study(
    __doc__,
    __file__,
    groups={
        "macs": ("equal_macs",),
        "sizes": ("equal_area", "equal_area_1632", "equal_area_dense"),
        "losses": LOSSES,
    },
    numbers=[st.Numbers("macs", file="equal_macs")],
    parts=[
        st.Prose("answer", ANSWER, TOLD),
        st.Table("equal macs", FULL, {"pattern": PATTERNS}, COSTS),
        st.Table("equal area", at_equal_area, {**ROWS, "pattern": ("dense", *PATTERNS)}, SIZED),
        st.Table("budgets", at_equal_area, {**ROWS, "pattern": PATTERNS}, BUDGETED),
        CLAIMS,
        st.Prose("uncertainty", UNCERTAINTY, UNCERTAIN),
    ],
    figure=st.Figure([LOSS_BARS, st.Plotted("cost", FULL(pattern=PATTERNS), st.Look(**X)), GAINS]),
    copies={"uncertainty": "uncertainty", "equal macs": "headline", "answer": "answer"},
)

if __name__ == "__main__":
    STUDY.main()
