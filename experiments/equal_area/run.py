"""How fast is each pattern in an area, by the best machines that a short search finds?"""

from functools import partial
from pathlib import Path

from accelsim import studies as st
from accelsim.studies import searched as found

FOLDER = Path(__file__).parent
MACHINES = st.Searched(FOLDER / "machines.csv", FOLDER / "search.yaml")
PATTERNS, BANDWIDTHS = ("2:4", "8:16", "16:32"), (16, 64, 256, 1024)  # GB/s
SHARES, BATCHES, FAR = (0.5, 1, 2), (1, 8), 0.05
PREFILLS = ("Llama-3-8B prefill", "small prefill")
DECODES = [f"{model} decode {batch}" for model in ("Llama-3-8B", "small") for batch in BATCHES]
ALL = st.Choice("machines")


def at(work: str, bandwidth: float, pattern: str, share: float = 1) -> st.Joined:
    """Return the searches of a pattern, and those of dense machines, one a seed."""
    some = ALL(work=work, bandwidth=bandwidth, share=share)
    return some(pattern=pattern) + some(pattern="dense")


LARGE, SMALL = (partial(at, work) for work in PREFILLS)
GAIN, ENERGY = found.gain_with_seeds, found.gain_over_dense("energy_pj")
ANSWER = """\
In a search of {count} machines for each pattern, area, bandwidth and work ({seeds:word} seeds \
with {trials} each), {pattern} in the area of the shipped dense machine and prefill of \
Llama-3-8B is {low} as fast as dense at {lowest} GB/s, {tight} at {limited}, {room} at {ample} and \
{high} at {highest}; 16:32 is {wide_tight} and {wide_room} at {limited} and {ample}. On the small \
model {pattern} is {small_tight} and {small_room}. In decode of Llama-3-8B it is {alone} at \
{limited} GB/s with {few:word} sequence and {batched} with {many:word}. In brackets: from the \
unluckiest search of the pattern against the luckiest of dense to the reverse."""
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
    **{name: st.Value(it, ALL) for name, it in found.effort(FAR).items()},
    "far": FAR,
}
SOURCES = """\
Of {all:,} machines {known:.0 %} are known from elsewhere, {sampler:.0 %} are asked of Optuna \
and {near:.0 %} are near the best one; {short} searches ended before: all that they still drew \
was proven slower. In {apart} of {cells} cells (a pattern, work, bandwidth \
and area) the unluckiest seed takes over {far:.0 %} more cycles than the luckiest, at worst \
{worst:.0 %} more."""
SAID = {"gain": GAIN}
BEST = {"array": found.of_fastest(found.array_said), "kib": found.of_fastest(found.buffers_said)}
HEAD = {"work": "{work}", "DRAM": "{bandwidth:g} GB/s", "pattern": "{pattern}"}
BY_AREA = {f"{n:g} ×": st.Column("{gain}", {"share": n}, values=SAID) for n in SHARES}
CHOSEN = {
    "array, crossbar": st.Column("{array}", values=BEST),
    "KiB": st.Column("{kib}", values=BEST),
    "speed-up": st.Column("{gain.best:.2f}×", values=SAID),
    "energy": st.Column("{saved:.2f}×", values={"saved": lambda runs: 1 / ENERGY(runs)}),
}
TIMES = "every search of {pattern} finds {bound:g} times the speed of all of dense: {bandwidth:g}"
FASTER = "every search of {pattern} finds a faster machine than all of dense: {bandwidth:g}"
WHERE, SOME = " GB/s, {work}", [of(n, "8:16") for of in (LARGE, SMALL) for n in (64, 256)]
CLAIMS = {
    TIMES + WHERE: [st.above(1.2, found.least_gain, it) for it in SOME],
    FASTER + WHERE: [st.above(1, found.least_gain, it) for it in SOME],
}
ROWS, BEST_GAIN = {"bandwidth": BANDWIDTHS, "pattern": PATTERNS}, found.gain_over_dense()
ALL_ROWS = {"work": PREFILLS, **ROWS, "pattern": ("dense", *PATTERNS)}
BARS = {f"{n} GB/s": st.Bar(BEST_GAIN, {"bandwidth": n}, found.seeds_span) for n in BANDWIDTHS}
LOOKS = {work: st.Look(xlabel=work) for work in (*PREFILLS, *DECODES[: len(BATCHES)])}
LOOKS[PREFILLS[0]] = st.Look(xlabel=PREFILLS[0], ylabel="speed-up at equal area", legend=2)
PANELS = [
    st.Bars({it: partial(at, work, pattern=it) for it in PATTERNS}, BARS, look, rule=1)
    for work, look in LOOKS.items()
]
STUDY = st.Study(
    __doc__,
    __file__,
    groups={"machines": MACHINES},
    parts=[
        st.Prose("answer", ANSWER, TOLD),
        st.Prose("sources", SOURCES, TOLD),
        st.Table("areas", at, {"work": PREFILLS, **ROWS}, HEAD | BY_AREA),
        st.Table("decode", at, {"work": DECODES, **ROWS}, HEAD | BY_AREA),
        st.Table("machines", at, ALL_ROWS, HEAD | CHOSEN),
        st.Claims(CLAIMS),
    ],
    figure=st.Figure(PANELS),
)

if __name__ == "__main__":
    STUDY.main()
