"""How large may an array be for its buffers and its DRAM, dense and at 8:16?"""

from accelsim import studies as st
from accelsim.report.style import GREEN, GREY

COLUMNS, BANDWIDTHS = (4, 8, 16, 32, 64), (8, 16, 32, 64, 128, 256, 512)  # GB/s
SIZES, SHIPPED = (32, 64, 128, 256), 64  # KiB of the output buffer; the others grow with it
EXTRA = ("bound", "dense_bound", "dense_mac_utilization_ratio")
NAMES = {"kib": "buffers.outputs.capacity_kib", **st.BOUNDS}
TWICE = 2
AT = st.Choice("balance", NAMES, {"columns": 8, "bandwidth": 64, "kib": SHIPPED})
FAST, LEAN, LARGE = AT(bandwidth=max(BANDWIDTHS)), AT(bandwidth=min(BANDWIDTHS)), AT(columns=32)
ANSWER = """\
Layers of Llama-3-8B give {lean.macs_per_byte:.0f} multiplications for each byte from DRAM with \
the shipped buffers ({half.macs_per_byte:.0f} with {less:word} of them, {most.macs_per_byte:.0f} \
with {more:times} as much), so that every {lean.multipliers:,} multipliers at {fast.clock_ghz:g} \
GHz need {lean.dense_needed_gb_per_s:.0f} GB/s dense and {lean.needed_gb_per_s:.0f} GB/s at \
{fast.pattern}. With the second, {fast.pattern} is {fast.speedup:.2f}× as fast as dense, with the \
first or less no faster ({lean.speedup:.2f}× at {lean.bandwidth:g} GB/s), and in between its \
speed-up is the bandwidth over {lean.dense_needed_gb_per_s:.0f} GB/s."""
TOLD = {"fast": FAST, "lean": LEAN, "half": LEAN(kib=min(SIZES)), "most": LEAN(kib=max(SIZES))}
TOLD |= {"less": min(SIZES) / SHIPPED, "more": max(SIZES) / SHIPPED}
DOUBLE, WIDER = AT(bandwidth=32, kib=(SHIPPED, TWICE * SHIPPED)), AT(columns=(8, 16))
BOTH = "{multipliers:,} multipliers at {bandwidth:g} GB/s"
HERE = f"{BOTH}: {{pattern}}"
BUFFERS = (
    f"{{pattern}}, {{multipliers:,}} multipliers, {{bandwidth:g}} GB/s: buffers {st.times(TWICE)}"
)
CLAIMS = {
    f"{HERE} is {{bound:g}} times as fast as dense": st.above(1.95, "speedup", AT),
    f"{HERE} is at least {{bound:g}} times as fast as dense": st.above(1.05, "speedup", LARGE),
    f"{HERE} does more work per area than dense": st.above(1, "tops_per_mm2_ratio", LARGE),
    f"{BOTH}, both waiting: {{pattern}} saves {{less:word}} of the energy": st.below(
        0.9, "energy_ratio", LEAN
    ),
    f"{BUFFERS} as large save {{less:word}} of the energy": st.below(
        0.9, st.over("energy_pj"), DOUBLE
    ),
    f"{BUFFERS} as large do more work per area": st.above(1, st.over("tops_per_mm2"), DOUBLE),
    "{pattern}, {bandwidth:g} GB/s: {last.multipliers:,} multipliers do more work per area than "
    "{multipliers:,}": st.above(1, st.over("tops_per_mm2"), WIDER),
}
LAYERS = {f"{st.sign(kib / SHIPPED)}×, Llama-3-8B": LEAN(kib=kib) for kib in SIZES}
LAYERS[f"{st.sign(SHIPPED / SHIPPED)}×, shipped trace"] = st.Choice("small_layers", NAMES)
NEED = "{dense_needed_gb_per_s:.0f} / {needed_gb_per_s:.0f}"
NEEDS = [("buffers, layers", "{which}")]
NEEDS += [("MACs a byte", st.Column("{macs_per_byte:.0f}", {"columns": 8}))]
NEEDS += [("{multipliers:,} multipliers", st.Column(NEED, {"columns": n})) for n in COLUMNS]
KINDS = (
    (GREEN, 0.4, "neither waits"),
    (GREY, 0.3, "8:16 waits for DRAM"),
    (GREY, 0.8, "both wait"),
)
MAP_LOOK = st.Look(
    xlabel="DRAM bandwidth, GB/s; numbers: speed-up of {pattern}",
    ylabel="multipliers at {clock_ghz:g} GHz, shipped buffers",
    legend={"columns": 3, "columnspacing": 1.0, "handlelength": 1.2},
)
TEXTS = ("{speedup:.2f}×", "{bandwidth:g}", "{multipliers:,}")
SIDES = (("bandwidth", BANDWIDTHS), ("columns", COLUMNS))
LINES = {
    f"{st.sign(kib / SHIPPED)}× buffers": (
        (LEAN(kib=kib, columns=COLUMNS), "needed_gb_per_s"),
        (LEAN(kib=kib, columns=COLUMNS), "dense_needed_gb_per_s"),
    )
    for kib in SIZES
}
LOOK = st.Look(
    xlabel="multipliers at {clock_ghz:g} GHz",
    ylabel="bandwidth needed, GB/s",
    xbase=2,
    ybase=2,
    yticks=st.plain((4, *BANDWIDTHS)),
    legend=3,
)
TICKS = {"ticks": "{multipliers:,}"}
STUDY = st.Study(
    __doc__,
    __file__,
    groups={"balance": ("balance",), "small_layers": ("small_layers",)},
    numbers=[st.Numbers(group, NAMES, EXTRA) for group in ("balance", "small_layers")],
    parts=[
        st.Prose("answer", ANSWER, TOLD),
        st.Table("needs", lambda which, **keys: LAYERS[which](**keys), {"which": LAYERS}, NEEDS),
        st.Claims(CLAIMS),
    ],
    figure=st.Figure(
        [
            st.Map(AT, *SIDES, "waiting", KINDS, *TEXTS, MAP_LOOK),
            st.Lines.pairs(LINES, "multipliers", LOOK, full="8:16", dashed="dense", **TICKS),
        ],
        72,
    ),
)

if __name__ == "__main__":
    STUDY.main()
