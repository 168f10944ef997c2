"""Pairs, blocks, or free groups: what does the shape of a group cost at the same density?"""

from pathlib import Path

from accelsim import studies as st
from accelsim.sparsity import parse_pattern

FOLDER = Path(__file__).parent
FREE = FOLDER.parent / "accuracy_vs_cost" / "accuracy.json"
MOST = ("6:8", "3:4", "pairs-3:4")
HALF = ("8:16", "4:8", "2:4", "3:4x4:6", "2:3x3:4", "2:2x4:8", "pairs-2:4", "4:4x4:8")
QUARTER = ("8:32", "4:16", "2:8", "1:4", "2:4x4:8", "2:4x2:4")
NEW = [
    pattern
    for pattern in (*MOST, *HALF, *QUARTER)
    if pattern not in ("6:8", "3:4", "8:16", "4:8", "2:4")
]
MEASURED = st.Perplexities(FOLDER / "accuracy.json", NEW, others=[FREE])
MACHINES = ("1:4", "2:8", "2:4", "4:16", "4:8", "8:32", "8:16", "16:32", "3:4", "6:8", "12:16")


def runs_on(run: st.Run) -> str:
    """Return the machines that take all masks of a pattern, those with small groups first."""
    pattern = parse_pattern(run["point"]["pattern"])
    return ", ".join(m for m in MACHINES if pattern.runs_on(parse_pattern(m))) or "none of these"


def dropped(run: st.Run) -> float:
    """Return the share of the squared magnitude of a layer's input that is lost."""
    return float(run["totals"]["dropped_squared_magnitude_ratio"])


def kept(run: st.Run) -> float:
    """Return the share of values that survives."""
    pattern = parse_pattern(run["point"]["pattern"])
    return pattern.kept_per_group / pattern.group_size


NAMES = {"machines": runs_on, "share": kept, "dropped": dropped}
LOSS = st.Choice("losses", NAMES, {"mitigation": "none"})
TWO, FOUR, PAIRS, BLOCKS = (LOSS(pattern=p) for p in ("2:4", "4:8", "pairs-2:4", "2:2x4:8"))
ONE, EIGHT, RANKS = (LOSS(pattern=pattern) for pattern in ("1:4", "8:32", "2:4x4:8"))
ANSWER = """\
More than its size. Where {pairs.share:word} is kept, {pairs.pattern}, which is 4:8 in pairs as \
tensor cores have it for their narrowest floats, adds {pairs.increase_said} of perplexity, where \
{four.pattern} adds {four.increase_said} and even {two.pattern} only {two.increase_said}. Where \
{ranks.share:word} is kept, no pattern leaves this small model usable: {ranks.pattern} adds \
{ranks.increase_said}, less than {one.pattern} with {one.increase_said}, and far more than a free \
{eight.pattern} with {eight.increase_said}."""
TOLD = {"pairs": PAIRS, "four": FOUR, "two": TWO, "ranks": RANKS, "one": ONE, "eight": EIGHT}
BY = f"by {st.word(st.ERRORS)} standard errors"
CLAIMS = {
    f"{{pattern}} adds less than {{bound:word}} of the perplexity of {{last.pattern}}, {BY}": [
        st.below(0.5, st.loss_ratio, TWO + PAIRS),
        st.below(0.25, st.loss_ratio, FOUR + PAIRS),
        st.below(0.5, st.loss_ratio, EIGHT + RANKS),
    ],
    f"{{pattern}} adds less perplexity than {{last.pattern}}, {BY}": [
        st.below(1, st.loss_ratio, BLOCKS + PAIRS),
        st.below(1, st.loss_ratio, TWO + BLOCKS),
        st.below(1, st.loss_ratio, RANKS + ONE),
    ],
}
COLUMNS = {
    "kept": "{share:.0%}",
    "pattern": "{pattern}",
    "perplexity": "{perplexity:.2f}",
    "increase": "{perplexity_increase_ratio:+.1%} ± {perplexity_increase_ratio_stderr:.1%}",
    "dropped": "{dropped:.1%}",
    "error": "{output_error_ratio:.1%}",
    "runs on": "{machines}",
}
DRAWN = {
    "half is kept": ("8:16", "4:8", "2:4", "2:2x4:8", "pairs-2:4"),
    "less is kept": ("8:32", "4:16", "2:8", "2:4x4:8", "1:4"),
}
PANELS = [
    st.Whiskers({pattern: LOSS(pattern=pattern) for pattern in some}, st.Look(xlabel=label))
    for label, some in DRAWN.items()
]
STUDY = st.Study(
    __doc__,
    __file__,
    groups={"losses": MEASURED},
    parts=[
        st.Prose("answer", ANSWER, TOLD),
        st.Table("table", LOSS, {"pattern": (*MOST, *HALF, *QUARTER)}, COLUMNS),
        st.Claims(CLAIMS),
    ],
    figure=st.Figure(PANELS, 60),
)

if __name__ == "__main__":
    STUDY.main()
