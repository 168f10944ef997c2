"""Which pattern and mitigation is worth what it needs?"""

from pathlib import Path

from accelsim import studies as st

HALF = ("2:4", "4:8", "8:16", "16:32", "topk:0.5")
MOST = ("3:4", "6:8", "12:16", "24:32", "topk:0.75")
ORDER = (*HALF, *MOST)
# Measured again: what needs no hardware. The other mitigations take longer.
MEASURED = st.Perplexities(Path(__file__).parent / "accuracy.json", ORDER, ("none", "ls"))
# Mean relative accuracy drop of Llama-3-8B-Instruct over four tasks, magnitude selection of all
# seven linears: arXiv 2509.22166v1, table 6.
PUBLISHED_8B = (14.35, 9.29, 7.38, 5.40, 4.30)


def rows(data: st.Data) -> list[dict[str, str]]:
    """Return the pattern and mitigation of each row: what has hardware, and what bounds it."""
    costs, losses = (data.settings(group, PLAIN) for group in ("costs", "losses"))
    shown = [keys for keys in losses if keys in costs or keys["pattern"].startswith("topk")]
    return sorted(shown, key=lambda keys: ORDER.index(keys["pattern"]))


PLAIN = {"pattern": "2:4", "mitigation": "none"}
NAMES = {"rank": lambda run: run["point"]["mitigation"].removeprefix("rsparse")}
COST, LOSS = st.Choice("costs", NAMES, PLAIN), st.Choice("losses", {}, PLAIN)
LOW_RANK, QUARTERS = COST(pattern="8:16", mitigation="rsparse64"), COST(pattern="12:16")
ANSWER = """\
On the shipped Llama at {cost.precision}, dropping half costs \
{two.perplexity_increase_ratio:.0 %} of perplexity at {two.pattern}, \
{four.perplexity_increase_ratio:.0 %} at {four.pattern}, \
{eight.perplexity_increase_ratio:.0 %} at {eight.pattern}, \
{sixteen.perplexity_increase_ratio:.0 %} at {sixteen.pattern} \
and {any.perplexity_increase_ratio:.0 %} without structure, which no machine here runs; \
the {count:word} run at {cost.speedup:.2f}×, and {wide.pattern} pays with \
{wide.area_overhead_ratio:.0 %} of area instead of {cost.area_overhead_ratio:.0 %} and \
{wide.energy_ratio:.2f} of the dense energy instead of {cost.energy_ratio:.2f}. \
Between those and dense lie patterns that keep {most.kept:word} \
({most.speedup:.2f}× at {lost.low:.0p} to {lost.high:.0 %}), and half-kept ones whose dropped \
values come back through a low-rank product ({rank.speedup:.2f}× at {left.low:.0p} to \
{left.high:.0 %}, with more energy than dense)."""
NAMED = ("two", "four", "eight", "sixteen", "any")
TOLD = dict(zip(NAMED, (LOSS(pattern=pattern) for pattern in HALF), strict=True))
TOLD |= {"cost": COST, "wide": COST(pattern="16:32"), "most": QUARTERS, "rank": LOW_RANK}
TOLD |= {
    "count": len(HALF[:-1]),
    "lost": st.Ends("perplexity_increase_ratio", LOSS(pattern=MOST[:-1])),
    "left": st.Ends("perplexity_increase_ratio", LOSS(pattern=HALF[:-1], mitigation="rsparse64")),
}
BY = f"by {st.word(st.ERRORS)} standard errors"
RANK = "R-Sparse {rank} at {pattern}"
CLAIMS = {
    f"{{pattern}} adds less than {{bound:word}} of the perplexity of {{last.pattern}}, {BY}": (
        st.below(0.5, st.loss_ratio, LOSS(pattern=("16:32", "2:4")))
    ),
    f"LS, which needs no hardware, lowers the loss of {{pattern}}, {BY} each": st.below(
        1, st.loss_ratio, LOSS(mitigation=("ls", "none"))
    ),
    f"{{pattern}} adds at most {{bound:.0 %}}, {BY}": st.below(
        0.05, st.at_most, LOSS(pattern="24:32"), form="{:.3f}"
    ),
    f"{RANK} takes more energy than dense": st.above(1, "energy_ratio", LOW_RANK),
    f"{RANK} does more work per area than dense": st.above(1, "tops_per_mm2_ratio", LOW_RANK),
    "{pattern} takes less energy than dense": [
        st.below(1, "energy_ratio", chosen) for chosen in (QUARTERS, COST(pattern="24:32"))
    ],
    "{pattern} does more work per area than dense": st.above(1, "tops_per_mm2_ratio", QUARTERS),
}
COLUMNS = {name: f"{{{name}}}" for name in PLAIN} | {
    "perplexity": "{perplexity:.2f}",
    "increase": "{perplexity_increase_ratio:+.1%} ± {perplexity_increase_ratio_stderr:.1%}",
}
for head, cell in st.ratios("speed-up", "energy", "area").items():
    COLUMNS[head] = st.Column(cell, chosen=COST)
BARS = {pattern.replace("topk:0.5", "any"): LOSS(pattern=pattern) for pattern in HALF}
LABELS = ("16 M, perplexity", "8 B, task accuracy (published)")
AXES = ("increase of perplexity (%)", "drop of accuracy (%)")
FRONTS = [
    st.Plotted("front", st.Choice("costs"), options={"accuracy": MEASURED.read, "cost": cost})
    for cost in ("energy_ratio", "tops_per_mm2_ratio")
]
DROPS = st.Beside(BARS, PUBLISHED_8B, LABELS, AXES)
STUDY = st.Study(
    __doc__,
    __file__,
    groups={"costs": ("half", "most"), "losses": MEASURED},
    numbers=[st.Numbers("costs")],
    parts=[
        st.Prose("answer", ANSWER, TOLD),
        st.Table("table", LOSS, rows, COLUMNS, missing="–"),
        st.Claims(CLAIMS),
    ],
    figure=st.Figure([*FRONTS, DROPS], 70),
)

if __name__ == "__main__":
    STUDY.main()
