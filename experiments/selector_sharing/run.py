"""How many output columns share a selector before its area stops mattering?"""

from accelsim import studies as st

PATTERNS, COLUMNS = ("2:4", "4:8", "8:16", "16:32"), (1, 2, 4, 8, 16, 32, 64)
SMALL, PERCENT = 0.01, {"form": "{:.2%}"}  # of the machine


def never_starving(runs: list[st.Run]) -> st.Run:
    """Return the machine whose selectors could feed the array with new groups in every cycle."""
    array, pattern = runs[0]["arch"]["mac_array"], runs[0]["arch"]["pattern"]
    count = array["rows"] * array["lanes"] // int(pattern.split(":")[0])
    return next(run for run in runs if st.fact(run, "selectors") == count)


def first_small(shares: list[float]) -> int:
    """Return the width from which on all shares, one a width, are small."""
    wide = [columns for columns, it in zip(COLUMNS, shares, strict=True) if it >= SMALL]
    return 2 * max(wide, default=0) or 1


PAYING = st.most_of("tops_per_mm2")  # the machine whose selectors pay
AT, LARGE = st.Choice("sharing")(pattern="8:16", columns=8), st.Choice("large_layers")(columns=8)
FRESH, PAY = AT.only(never_starving), AT.only(PAYING)
NEW, PAID = (st.of_picked(pick, "selector_area_share") for pick in (never_starving, PAYING))
ENERGY = st.across(max, st.of_picked(PAYING, "selector_energy_share"), "columns")
OVER = st.of_picked(PAYING, st.ratio("crossbar_area_share", "selector_area_share"))
WIDTH, SLOWER = st.across(first_small, NEW, "columns"), st.over_least("cycles")
ANSWER = """\
If rank selectors must bring new groups in every cycle, {two} columns have to share them at 2:4, \
{four} at 4:8, {eight} at 8:16 and {sixteen} at 16:32 before they take less than {small:.0 %} of \
the machine; the crossbar takes {pay.crossbar_area_share:.1 %} of one with {pay.columns} columns \
at {pay.pattern}, and more of wider ones. They need not, since a selected tile serves all columns \
of the layer one block after the other: the {pay.selectors} that pay with {pay.columns} columns \
take {pay.selector_area_share:.1 %} at {pay.pattern} ({wide.selector_area_share:.1 %} at \
{wide.pattern}), and on layers of Llama-3-8B a single one ({one.selector_area_share:.1 %}) costs \
{slower:.1 %} of the time."""
ONE = AT(selectors=1) + AT
WIDTHS = (st.Value(WIDTH, AT(pattern=pattern, columns=COLUMNS)) for pattern in PATTERNS)
TOLD = dict(zip(("two", "four", "eight", "sixteen"), WIDTHS, strict=True))
TOLD |= {"pay": PAY, "wide": PAY(pattern="16:32"), "one": LARGE(selectors=1), "small": SMALL}
TOLD["slower"] = st.Value(lambda runs: SLOWER(runs) - 1, LARGE(selectors=1) + LARGE)
LESS, OF = "take less than {bound:.0 %}", "at {pattern} with {columns} columns"
CLAIMS = {
    f"selectors for new groups in every cycle {LESS} at {{pattern}} from {{columns}} columns on": [
        st.below(SMALL, st.across(max, NEW, "columns"), AT(pattern=p, columns=wide), **PERCENT)
        for p, wide in (("2:4", COLUMNS[3:]), ("8:16", COLUMNS[5:]), ("16:32", COLUMNS[6:]))
    ],
    f"selectors that pay {LESS} {OF}": [
        st.below(SMALL, PAID, AT(pattern=pattern), **PERCENT) for pattern in ("8:16", "16:32")
    ],
    "selection takes less than {bound:.0 %} of the energy at {pattern} from {columns} columns "
    "on": st.below(SMALL, ENERGY, AT(columns=COLUMNS[3:]), **PERCENT),
    f"the crossbar takes {{bound:g}} times what selectors that pay do {OF}": st.above(4, OVER, AT),
    "the crossbar takes more of {last.columns} columns than of {columns} at {pattern}": st.above(
        1, st.over("crossbar_area_share"), PAY + PAY(columns=64)
    ),
    f"one selector costs more than {{share:word}} of the speed {OF}": st.above(2, SLOWER, ONE),
}
AREA = "{selector_area_share:.2p} · {last.selector_area_share:.2p} ({last.selectors}) · "
AREA += "{last.crossbar_area_share:.1p}"
COST = "{selector_fj_per_mac:.1f} · {crossbar_fj_per_mac:.0f}"
ROWS, HEAD = {"columns": COLUMNS}, {"columns": "{columns}"}
AREAS, COSTS = (HEAD | st.columns(cell, pattern=PATTERNS) for cell in (AREA, COST))
PACE = HEAD | st.columns("{slower:.2f}×", {"slower": SLOWER}, selectors=COLUMNS)
SHARES = {
    pattern: ((widths, "selector_area_share"), (widths, "crossbar_area_share"))
    for pattern in PATTERNS
    for widths in [st.Joined(tuple(FRESH(pattern=pattern, columns=n) for n in COLUMNS))]
}
PACES = {
    f"{n} columns": ((AT(columns=n), SLOWER), (LARGE(columns=n), SLOWER)) for n in (4, 8, 16, 64)
}
LOOK = {"xbase": 2, "xticks": st.plain(COLUMNS), "has_minor_ticks": False, "legend": 3}
LEFT = {"ybase": 10, "yticks": st.plain((0.1, 0.3, 1, 3, 10)), **LOOK}
LEFT = st.Look("columns that share the selectors", "area, % of machine", **LEFT)
RIGHT = st.Look("selectors, {pattern}", "cycles over the fewest", yticks=(1, 1.5, 2, 2.5), **LOOK)
LEGENDS = {"full": "selectors (new groups)", "dashed": "crossbar", "scale": 100, "rule": SMALL}
LINES = st.Lines.pairs(SHARES, "columns", LEFT, **LEGENDS)
LEGENDS = {"full": "shipped trace", "dashed": "Llama-3-8B"}
PACE_LINES = st.Lines.pairs(PACES, "selectors", RIGHT, **LEGENDS)
STUDY = st.Study(
    __doc__,
    __file__,
    groups={"sharing": ("sharing",), "large_layers": ("large_layers",)},
    numbers=[st.Numbers(group) for group in ("sharing", "large_layers")],
    parts=[
        st.Prose("answer", ANSWER, TOLD),
        st.Table("area", lambda **keys: FRESH(**keys) + PAY(**keys), ROWS, AREAS),
        st.Table("energy", PAY, ROWS, COSTS),
        st.Table("pace", AT.among("columns"), ROWS, PACE),
        st.Table("large layers", LARGE.among("columns"), ROWS, PACE),
        st.Claims(CLAIMS),
    ],
    figure=st.Figure([LINES, PACE_LINES], 70),
)

if __name__ == "__main__":
    STUDY.main()
