"""How fast is the best machine of each pattern in an area, over the whole design space?"""

from functools import partial
from pathlib import Path

from accelsim import studies as st
from accelsim.studies import searched as found

FOLDER = Path(__file__).parent
MACHINES = st.Searched(
    FOLDER / "machines.csv", FOLDER / "search.yaml", FOLDER.parents[1] / "out" / "equal_area"
)
PATTERNS, BANDWIDTHS = ("2:4", "8:16", "16:32"), (16, 64, 256, 1024)  # GB/s
SHARES, PREFILLS = (0.5, 1, 2), ("Llama-3-8B prefill", "small prefill")
BATCHES = (1, 8)
DECODES = [f"{model} decode {batch}" for model in ("Llama-3-8B", "small") for batch in BATCHES]
ALL = st.Choice("machines", settings={"share": 1})


def at(work: str, bandwidth: float, pattern: str, share: float = 1) -> st.Joined:
    """Return the searches of a pattern, and those of dense machines, one a seed."""
    some = ALL(work=work, bandwidth=bandwidth, share=share)
    return some(pattern=pattern) + some(pattern="dense")


LARGE, SMALL = (partial(at, work) for work in PREFILLS)
GAIN, ENERGY = found.gain_over_dense(), found.gain_over_dense("energy_pj")
ANSWER = """\
In prefill of Llama-3-8B the best {pattern} machine in the area of the shipped \
dense one is {low:.2f}× as fast as the best dense machine at {lowest} GB/s, {tight:.2f}× at \
{limited}, {room:.2f}× at {ample} and {high:.2f}× at {highest}; 16:32 is {wide_tight:.2f}× and \
{wide_room:.2f}× at {limited} and {ample}. On the small model {pattern} is {small_tight:.2f}× and \
{small_room:.2f}×. In decode of Llama-3-8B it is {alone:.2f}× at {limited} GB/s with {few:word} \
sequence and {batched:.2f}× with {many:word}. Best of {seeds:word} seeds with {trials} machines \
each; the tables show how far seeds are apart."""
TOLD = {
    "pattern": "8:16",
    **dict(zip(("lowest", "limited", "ample", "highest"), BANDWIDTHS, strict=True)),
    **{
        name: st.Value(GAIN, LARGE(bandwidth, "8:16"))
        for name, bandwidth in zip(("low", "tight", "room", "high"), BANDWIDTHS, strict=True)
    },
    "wide_tight": st.Value(GAIN, LARGE(64, "16:32")),
    "wide_room": st.Value(GAIN, LARGE(256, "16:32")),
    "small_tight": st.Value(GAIN, SMALL(64, "8:16")),
    "small_room": st.Value(GAIN, SMALL(256, "8:16")),
    "alone": st.Value(GAIN, at(DECODES[0], 64, "8:16")),
    "batched": st.Value(GAIN, at(DECODES[1], 64, "8:16")),
    **dict(zip(("few", "many"), BATCHES, strict=True)),
    "seeds": st.Value(lambda runs: len({run["point"]["seed"] for run in runs}), ALL),
    "trials": st.Value(st.smallest("trials"), ALL),
}
CELL = "{gain:.2f}× ({seeds.low:.2f} to {seeds.high:.2f})"
VALUES = {"gain": GAIN, "seeds": found.seeds_span, "energy": ENERGY}
BEST = {"array": found.of_fastest(found.array_said)}
BEST |= {"buffers": found.of_fastest(found.buffers_said)}
HEAD = {"work": "{work}", "DRAM": "{bandwidth:g} GB/s", "pattern": "{pattern}"}
BY_AREA = {f"{share:g} ×": st.Column(CELL, {"share": share}, values=VALUES) for share in SHARES}
BY_BANDWIDTH = {f"{n} GB/s": st.Column(CELL, {"bandwidth": n}, values=VALUES) for n in BANDWIDTHS}
NAMED = {name: st.Column(f"{{{name}}}", {"bandwidth": 64}) for name in ("work", "pattern")}
CHOSEN = {
    "array, crossbar": st.Column("{array}", values=BEST),
    "KiB": st.Column("{buffers}", values=BEST),
    "speed-up": st.Column("{gain:.2f}×", values=VALUES),
    "energy": st.Column("{saved:.2f}×", values={"saved": lambda runs: 1 / ENERGY(runs)}),
}
TIMES = "{pattern} is {bound:g} times as fast as dense at {bandwidth:g} GB/s, {work}"
LUCK = "the unluckiest search beats the luckiest for dense: {pattern}, {bandwidth:g} GB/s, {work}"
CLAIMS = {
    TIMES: [st.above(1.2, GAIN, of(n, "8:16")) for of in (LARGE, SMALL) for n in (64, 256)],
    LUCK: [st.above(1, found.least_gain, of(256, "8:16")) for of in (LARGE, SMALL)],
}
ROWS = {"work": PREFILLS, "bandwidth": BANDWIDTHS, "pattern": PATTERNS}
LOOK = {"ylabel": "speed-up at equal area", "ylim": (0, 2.6), "legend": 2}
BARS = {f"{n} GB/s": st.Bar(GAIN, {"bandwidth": n}) for n in BANDWIDTHS}
SHOWN = {work: st.Look(xlabel=f"pattern; {work}", **LOOK) for work in (*PREFILLS, DECODES[0])}
PANELS = [
    st.Bars({it: partial(at, work, pattern=it) for it in PATTERNS}, BARS, look, rule=1)
    for work, look in SHOWN.items()
]
STUDY = st.Study(
    __doc__,
    __file__,
    groups={"machines": MACHINES},
    parts=[
        st.Prose("answer", ANSWER, TOLD),
        st.Table("areas", at, ROWS, HEAD | BY_AREA),
        st.Table("decode", at, {"work": DECODES, "pattern": PATTERNS}, NAMED | BY_BANDWIDTH),
        st.Table("machines", at, ROWS | {"pattern": ("dense", *PATTERNS)}, HEAD | CHOSEN),
        st.Claims(CLAIMS),
    ],
    figure=st.Figure(PANELS),
)

if __name__ == "__main__":
    STUDY.main()
