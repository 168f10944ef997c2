"""Does hardware support for 8:16 or 16:32 activation sparsity earn its area over 2:4?"""

from functools import partial
from pathlib import Path

from accelsim import studies as st
from accelsim.studies.equal_area import Rivals, budget_columns, gain, gains, winners
from accelsim.studies.tuned import tuned_table

MEASURED = st.Perplexities(Path(__file__).parents[1] / "accuracy_vs_cost" / "accuracy.json")
TUNED = st.TunedMachines(Path(__file__).parent / "tuned.yaml")
PATTERNS, LIMITED, AMPLE = ("2:4", "4:8", "8:16", "16:32"), 64, 256  # GB/s of DRAM
BUDGETS = (0.85, 0.9, 0.95, 1.0, 1.05, 1.1, 1.2)  # of the shipped dense area
SWEEPS = ("equal_area", "equal_area_1632", "equal_area_dense")
MACS, LOSS, SIZES = st.Choice("macs"), st.Choice("losses")(mitigation="none"), st.Choice("sizes")
FULL, SMALLEST = MACS(crossbar="full"), MACS.only(st.least_of("area_um2"))
TWO, _, EIGHT, WIDE = (FULL(pattern=it) for it in PATTERNS)
LOSS_TWO, _, LOSS_EIGHT, LOSS_WIDE = (LOSS(pattern=it) for it in PATTERNS)
AT, BY_AREA = Rivals(TWO, SIZES), gains(BUDGETS)
ANSWER = """\
{eight.pattern} does, {wide.pattern} hardly: all run {eight.speedup:.2f}× as fast as dense, and \
going from {two.pattern} to {eight.pattern} takes the increase of perplexity from \
{loss_two.increase_said} to {loss_eight.increase_said} for {area:.1 %} of area and {energy:.1 %} \
of energy, while {wide.pattern} takes it to {loss_wide.increase_said} for another {wide_area:.1 %} \
and {wide_energy:.1 %}. A dense machine that spends the same area on more multipliers comes \
nearer: {eight.pattern} is {room.low:.2f} to {room.high:.2f}× as fast where DRAM has room ({high} \
GB/s) and {tight.low:.2f} to {tight.high:.2f}× where it has not ({low} GB/s), depending on the \
area, since columns are whole."""
UNCERTAINTY = """\
If crossbar wiring, SRAM energy and area, DRAM energy and activity factors are each off by up to \
{spread:.0 %}, in any combination tried, {eight.pattern} takes {area.low:.1p} to {area.high:.1 %} \
more area and {energy.low:.1p} to {energy.high:.1 %} more energy than {two.pattern}, and is \
{room.low:.2f} to {room.high:.2f}× ({high} GB/s) and {tight.low:.2f} to {tight.high:.2f}× ({low} \
GB/s) as fast as dense in the area of the shipped dense machine; of {priced} claims that depend on \
prices {flipped} flip. Speed-ups at equal multipliers and perplexities depend on none of these."""
LARGER, LARGEST = (st.below(1.05, st.over("area_um2"), TWO + other) for other in (EIGHT, WIDE))
DEARER, DEAREST = (st.below(1.05, st.over("energy_pj"), TWO + other) for other in (EIGHT, WIDE))
ROOM, TIGHT = AT("8:16", bandwidth=AMPLE), AT("8:16", bandwidth=LIMITED)
FAST, SLOW = st.above(1.2, gain(), ROOM), st.above(1, gain(), TIGHT)
WIDE_FAST = st.above(1, gain(), AT("16:32", bandwidth=AMPLE))
CHEAP = st.below(0.8, st.largest("energy_ratio"), FULL(pattern=PATTERNS))
CHEAPER = st.below(0.9, gain("energy_pj"), TIGHT)
HALF = [st.below(0.5, st.loss_ratio, loss + LOSS_TWO) for loss in (LOSS_EIGHT, LOSS_WIDE)]
STEPS = TWO + EIGHT + WIDE + LOSS_TWO + LOSS_EIGHT + LOSS_WIDE
BY, EQUAL = f"by {st.word(st.ERRORS)} standard errors", "at equal area, {last.bandwidth:g} GB/s"
CLAIMS = {
    "every pattern takes less than {bound:g} of the dense energy": CHEAP,
    "{last.pattern} takes at most {more:.0 %} more energy than {pattern}": [DEARER, DEAREST],
    "{last.pattern} is at most {more:.0 %} larger than {pattern}": [LARGER, LARGEST],
    f"{{pattern}} adds less than {{bound:word}} of the perplexity of {{last.pattern}}, {BY}": HALF,
    "an area buys {bound:times} more perplexity from {pattern} to 8:16 than from there to "
    "{last.pattern}": st.above(3, st.steepness, STEPS),
    f"{{last.pattern}} is {{bound:g}} times as fast as dense {EQUAL}": FAST,
    f"{{last.pattern}} is as fast as dense {EQUAL}": [WIDE_FAST, SLOW],
    f"{{last.pattern}} takes less than {{bound:g}} of the energy of dense {EQUAL}": CHEAPER,
}
ALL = st.Claims(CLAIMS)
MACHINES = {"two": TWO, "eight": EIGHT, "wide": WIDE, "high": AMPLE, "low": LIMITED}
TOLD = MACHINES | {"loss_two": LOSS_TWO, "loss_eight": LOSS_EIGHT, "loss_wide": LOSS_WIDE}
TOLD |= {"room": st.Value(BY_AREA, ROOM), "tight": st.Value(BY_AREA, TIGHT)}
for name, total in (("area", "area_um2"), ("energy", "energy_pj")):
    TOLD[name] = st.Value(st.growth(total), TWO + EIGHT)
    TOLD[f"wide_{name}"] = st.Value(st.growth(total), EIGHT + WIDE)
UNSURE = MACHINES | {"area": st.Extremes(LARGER, 1), "energy": st.Extremes(DEARER, 1)}
UNSURE |= {"room": st.Extremes(FAST), "tight": st.Extremes(SLOW), "spread": st.SPREAD}
UNSURE |= {"priced": st.Count(ALL, "is_priced"), "flipped": st.Count(ALL, "is_shaky")}
COSTS = {"pattern": "{pattern}", **st.ratios("speed-up", "energy", "energy × delay", "area")}
COSTS["smallest crossbar"] = st.Column("{area_overhead_ratio:+.1%} ({crossbar})", chosen=SMALLEST)
COSTS |= {**st.ratios("work per area"), "perplexity": st.Column("{increase}", chosen=LOSS)}
ROWS, HEAD = {"bandwidth": (LIMITED, AMPLE)}, {"DRAM": "{bandwidth} GB/s", "pattern": "{pattern}"}
X, OF = {"xlabel": "activation pattern"}, f"{min(BUDGETS):g} to {max(BUDGETS):g} × the area"
BARS = {f"{n} GB/s": st.Bar(gain(), {"bandwidth": n}, BY_AREA) for n in (AMPLE, LIMITED)}
LOOK, ANY = st.Look(legend=1, **X), "any half (no hardware): {perplexity_increase_ratio:.0p}"
TALL = st.Look(f"pattern; lines: {OF}", "speed-up at the same area", ylim=(0, 1.7), legend=3)
PANELS = [
    st.Whiskers({it: LOSS(pattern=it) for it in PATTERNS}, LOOK, LOSS(pattern="topk:0.5"), ANY),
    st.Plotted("cost", FULL(pattern=PATTERNS), st.Look(**X)),
    st.Bars({it: partial(AT, it) for it in PATTERNS}, BARS, TALL, rule=1),
]
STUDY = st.Study(
    __doc__,
    __file__,
    groups={"macs": ("equal_macs",), "sizes": SWEEPS, "losses": MEASURED, "tuned": TUNED},
    numbers=[st.Numbers("macs", file="equal_macs")],
    parts=[
        st.Prose("answer", ANSWER, TOLD),
        st.Table("equal macs", FULL, {"pattern": PATTERNS}, COSTS),
        tuned_table("tuned", PATTERNS),
        st.Table("equal area", AT, {**ROWS, "pattern": ("dense", *PATTERNS)}, HEAD | winners()),
        st.Table("budgets", AT, {**ROWS, "pattern": PATTERNS}, HEAD | budget_columns(BUDGETS)),
        ALL,
        st.Prose("uncertainty", UNCERTAINTY, UNSURE),
    ],
    figure=st.Figure(PANELS),
    copies={"uncertainty": "uncertainty", "equal macs": "headline", "answer": "answer"},
)

if __name__ == "__main__":
    STUDY.main()
