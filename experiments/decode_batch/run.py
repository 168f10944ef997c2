"""Up to which batch does activation sparsity save time and energy in decode?"""

from accelsim import studies as st
from accelsim.report.plots import PLOTS

BATCHES, BANDWIDTHS = (1, 2, 4, 8), (16, 64, 256)
MODELS = {"llama": "Llama", "llama_relu": "Llama, gated ReLU"}
_, USUAL, AMPLE = BANDWIDTHS  # GB/s
GAIN = 1.1  # what is worth having


def rows_needed(run: st.Run) -> float:
    """Return the share of weight rows that the batch of a run needs."""
    return float(PLOTS["decode"].numbers([run])[0]["needed_rows_ratio"])


def independent(run: st.Run) -> float:
    """Return the share of weight rows that a batch would need if masks were independent."""
    return float(1 - (1 - 1 / st.fact(run, "ideal_speedup")) ** run["point"]["batch"])


def last_that_gains(runs: list[st.Run]) -> int:
    """Return the largest batch whose gain is worth having."""
    return max(run["point"]["batch"] for run in runs if run["baseline"]["speedup"] > GAIN)


NAMES = {
    "rows_needed": rows_needed,
    "independent": independent,
    "model": lambda run: MODELS[run["point"]["trace"]],
}
AT = st.Choice("decode", NAMES, {"pattern": "8:16", "trace": "llama", "bandwidth": USUAL})
ONE, TWO, FOUR, EIGHT = (AT(batch=batch) for batch in BATCHES)
FAST, RELU = EIGHT(bandwidth=AMPLE), FOUR(trace="llama_relu")
ANSWER = """\
Where weights are waited for, up to {last:word} sequences: at {one.bandwidth:g} GB/s {one.pattern} \
is {one.speedup:.2f}× as fast as dense for {one.batch:word}, {two.speedup:.2f}× for \
{two.batch:word}, {four.speedup:.2f}× for {four.batch:word} and {eight.speedup:.2f}× for \
{eight.batch:word}, at {one.energy_ratio:.2f}, {two.energy_ratio:.2f}, {four.energy_ratio:.2f} and \
{eight.energy_ratio:.2f} of the energy; where they are not ({fast.bandwidth:g} GB/s), multiplying \
is halved whatever the batch ({fast.speedup:.2f}× at {fast.batch:word}). Sequences keep different \
activations, nearly as if by chance: {four.batch:word} of them need {four.rows_needed:.0%} of the \
weight rows (independent masks {four.independent:.0%}), and only the model with gated ReLU, whose \
masks agree more, still gains at {relu.batch:word} ({relu.speedup:.2f}×)."""
TOLD = {"one": ONE, "two": TWO, "four": FOUR, "eight": EIGHT, "fast": FAST, "relu": RELU}
TOLD["last"] = st.Value(last_that_gains, AT(batch=BATCHES))
TIMES = "{pattern} is {bound:g} times as fast as dense at batch {batch}"
CLAIMS = {
    TIMES: st.above(1.5, "speedup", ONE),
    "{pattern} gains less than {more:word} at batch {batch}": st.below(GAIN, "speedup", FOUR),
    "{pattern} gains less than {more:.0 %} at batch {batch}": st.below(1.02, "speedup", EIGHT),
    f"at {{bandwidth:g}} GB/s {TIMES}": st.above(1.5, "speedup", FAST),
    "with gated ReLU {pattern} still gains {more:word} at batch {batch}": st.above(
        GAIN, "speedup", RELU
    ),
    "{pattern} takes less than {bound:g} of the dense energy at batch {batch}": st.below(
        0.6, "energy_ratio", ONE
    ),
    "{pattern} takes less energy than dense at batch {batch}": [
        st.below(1, "energy_ratio", chosen) for chosen in (FOUR, EIGHT)
    ],
    "masks that were independent would need at most {more:.0 %} more rows, at any batch": st.below(
        1.03,
        st.largest(lambda run: independent(run) / rows_needed(run)),
        AT(batch=BATCHES),
        is_priced=False,
    ),
}
BY_BATCH = {
    "model": "{model}",
    "batch": "{batch}",
    "rows needed": "{rows_needed:.1%}",
    "1 − (1 − ½)^B": "{independent:.1%}",
    **{
        f"speed-up, {bandwidth} GB/s": st.Column("{speedup:.2f}×", {"bandwidth": bandwidth})
        for bandwidth in BANDWIDTHS
    },
    f"energy, {USUAL} GB/s": "{energy_ratio:.2f}×",
}
CELL = "{speedup:.2f}× · {energy_ratio:.2f}× · {rows_needed:.0%}"
BY_PATTERN = {"batch": "{batch}", **st.columns(CELL, pattern=("2:4", "8:16", "16:32"))}
LOOK = st.Look(xlabel="sequences in a decode step ({model})", ylim=(0, 2))
STUDY = st.Study(
    question=__doc__,
    script=__file__,
    groups={"decode": ("decode",)},
    numbers=[st.Numbers("decode", {"needed_rows_ratio": rows_needed})],
    parts=[
        st.Prose("answer", ANSWER, TOLD),
        st.Table("batches", AT, {"trace": MODELS, "batch": BATCHES}, BY_BATCH),
        st.Table("patterns", AT, {"batch": BATCHES}, BY_PATTERN),
        st.Claims(CLAIMS),
    ],
    figure=st.Figure([st.Plotted("decode", AT(trace=trace), LOOK) for trace in MODELS], 70),
)

if __name__ == "__main__":
    STUDY.main()
