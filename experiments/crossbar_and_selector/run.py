"""Which crossbar and which selector, for which M, and does the clock decide?"""

from accelsim import studies as st

PATTERNS, CLOCKS = ("2:4", "4:8", "8:16", "16:32"), (500, 1000)  # MHz
SLOW, FAST = CLOCKS
CROSSBARS = ("full", "window", "hierarchical", "logshift")
SELECTORS = ("rank", "bitonic", "radix, unrolled", "cascade, unrolled")
SELECTORS += ("radix, iterative", "cascade, iterative")
SMALLEST = st.least_of("area_um2")
NAMES = {"activations": lambda run: st.fact(run, "selectors") * st.fact(run, "size")}
ALL = st.Choice("kinds", NAMES)
AT = ALL(clock=FAST, pattern="8:16", selector="rank", crossbar="full")
ANY = AT(crossbar=CROSSBARS)
BEST, ENDS = ANY.only(SMALLEST), ANY(pattern=("2:4", "16:32"))
NARROW, WIDE, BEST_WIDE = AT(pattern="2:4"), AT(pattern="16:32"), BEST(pattern="16:32")
ROWS = {"clock": CLOCKS, "pattern": PATTERNS}
BANKS, GROUPS = AT(**ROWS, selector=SELECTORS), tuple(ROWS)
RANK = st.across(max, st.first_over_next("selector_area_of_dense"), *GROUPS)
OVER_SELECTOR = st.ratio("crossbar_area_of_dense", "selector_area_of_dense")
ANSWER = """\
Rank selectors at every M: a bank for {narrow.activations} activations a cycle takes \
{narrow.selector_area_of_dense:.1 %} ({narrow.pattern}) to {wide.selector_area_of_dense:.1 %} \
({wide.pattern}) of the dense machine's area at {wide.clock_said}, at most {next:.2f} of what any \
other kind takes. The crossbar costs more and the clock decides which: at {wide.clock_said} \
{best.crossbar} for {best.pattern} ({best.crossbar_area_of_dense:.1 %} instead of \
{full.crossbar_area_of_dense:.1 %} for a full one) and {best_wide.crossbar} for {wide.pattern} \
({best_wide.crossbar_area_of_dense:.1 %} instead of {wide.crossbar_area_of_dense:.1 %}), at \
{slow.clock_said} {kinds} at any M ({slow.crossbar_area_of_dense:.1 %} for {slow.pattern})."""
TOLD = {"narrow": NARROW, "wide": WIDE, "full": AT, "best": BEST, "best_wide": BEST_WIDE}
TOLD |= {"slow": BEST_WIDE(clock=SLOW), "next": st.Value(RANK, BANKS)}
TOLD["kinds"] = st.Value(
    lambda runs: " and ".join(dict.fromkeys(st.fact(run, "crossbar") for run in runs)),
    st.Joined(tuple(BEST(clock=SLOW, pattern=pattern) for pattern in PATTERNS)),
)
PERCENT = {"form": "{:.1%}"}
BESTS = "each with its best crossbar, {clock_said}"
STEP = {
    total: st.across(st.last_over_first, st.smallest(total), "pattern")
    for total in ("area_um2", "energy_pj")
}
CLAIMS = {
    "all banks keep up: the slowest run takes at most {more:.0 %} more cycles": st.below(
        1.05, st.across(max, st.spread("cycles"), "clock"), ALL, is_priced=False
    ),
    "rank selectors are the smallest at every M, at both clocks": st.below(1, RANK, BANKS),
    "rank selectors for {pattern} take less than {bound:.0 %} of the dense area, {clock_said}": [
        st.below(0.01, "selector_area_of_dense", chosen, **PERCENT) for chosen in (AT, WIDE)
    ],
    "even the smallest crossbar is {bound:times} as large as the rank selectors": st.above(
        2, st.across(min, st.of_picked(SMALLEST, OVER_SELECTOR), *GROUPS), ANY(**ROWS)
    ),
    "the best crossbar for {pattern} saves {bound:.0 %} of the machine, {clock_said}": [
        st.above(0.01, st.saving("area_um2"), chosen, **PERCENT)
        for chosen in (ANY(clock=SLOW), ANY, ANY(pattern="16:32"))
    ],
    f"{{last.pattern}} is at most {{more:.0 %}} larger than {{pattern}}, {BESTS}": st.below(
        1.05, STEP["area_um2"], ENDS
    ),
    f"{{last.pattern}} takes at most {{more:.0 %}} more energy than {{pattern}}, {BESTS}": st.below(
        1.05, STEP["energy_pj"], ENDS
    ),
}
LEGEND = {"columns": 2, "handlelength": 1.4, "columnspacing": 0.8}
TICKS = {"yticks": st.plain((0.2, 0.5, 1, 2, 5, 10, 20)), "has_minor_ticks": False}
PANELS, TABLES = [], []
for unit, kinds, clock, label, look in (
    ("selector", SELECTORS, FAST, "selectors", {"ybase": 10, **TICKS}),
    ("crossbar", CROSSBARS, FAST, "crossbar", {"ylim": (0, 9)}),
    ("crossbar", CROSSBARS, SLOW, "crossbar", {"ylim": (0, 9)}),
):
    look |= {"xbase": 2, "xlabel": "group size M, {clock_ghz:g} GHz", "legend": LEGEND}
    look["ylabel"] = f"area of {label}, % of dense machine"
    lines = {kind: AT(clock=clock, pattern=PATTERNS, **{unit: kind}) for kind in kinds}
    drawn = {"scale": 100, "ticks": "{size}\n{pattern}"}
    PANELS.append(st.Lines.of(lines, "size", f"{unit}_area_of_dense", st.Look(**look), **drawn))
for unit, kinds in (("crossbar", CROSSBARS), ("selector", SELECTORS)):
    cell = f"{{{unit}_area_of_dense:.1p}} · {{{unit}_energy_of_dense:.1p}}"
    columns = {"clock": "{clock} MHz", "pattern": "{pattern}", **st.columns(cell, **{unit: kinds})}
    TABLES.append(st.Table(f"{unit}s", AT, ROWS, columns))
STUDY = st.Study(
    __doc__,
    __file__,
    groups={"kinds": ("pipelines", "unrolled", "iterative")},
    numbers=[st.Numbers("kinds", extra=("selector",))],
    parts=[st.Prose("answer", ANSWER, TOLD), *TABLES, st.Claims(CLAIMS)],
    figure=st.Figure(PANELS, 70),
)

if __name__ == "__main__":
    STUDY.main()
