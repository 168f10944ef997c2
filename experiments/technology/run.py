"""Does the answer move with the technology node?"""

from accelsim import studies as st
from accelsim.report.style import GREEN, GREY, ORANGE, SKY

NODES, PATTERNS = (45, 28, 16, 7), ("2:4", "8:16", "16:32")
OLD, NEW = max(NODES), min(NODES)
DRAMS = {"lpddr4": "LPDDR4", "hbm3e": "HBM3E"}
COLOURS = {"DRAM": GREY, "SRAM": SKY, "MAC array": GREEN, "sparsity": ORANGE}
PARTS = {
    "DRAM": st.share("dram", of="energy_pj"),
    "SRAM": st.share("activation_buffer", "weight_buffer", "output_buffer", of="energy_pj"),
    "MAC array": st.share("mac_array", of="energy_pj"),
    "sparsity": st.share("compressed_buffer", "selector", "crossbar", of="energy_pj"),
}


def on_chip(run: st.Run) -> float:
    """Return the energy of a machine without DRAM over that of its dense machine."""
    ours, theirs = (
        side["totals"]["energy_pj"] - side["units"]["dram"]["energy_pj"]
        for side in (run, run["baseline"])
    )
    return ours / theirs


NAMES = {
    "on_chip": on_chip,
    "dram_share": PARTS["DRAM"],
    "memory": lambda run: DRAMS[run["arch"]["dram"]["standard"]],
}
AT = st.Choice("nodes", NAMES, {"pattern": "8:16", "dram": "lpddr4"})
ENDS = {"old": AT(node=OLD), "new": AT(node=NEW), "hbm": AT(node=NEW, dram="hbm3e")}
ANSWER = """\
The area overhead does not: {old.pattern} adds {old.area_overhead_ratio:.1 %} at {old.node} nm and \
{new.area_overhead_ratio:.1 %} at {new.node} nm, and every pattern keeps its place. The energy \
does, because the DRAM does not shrink: its share goes from {old.dram_share:.0 %} to \
{new.dram_share:.0 %}, so that {old.pattern} takes {old.energy_ratio:.2f} of the dense energy at \
{old.node} nm and {new.energy_ratio:.2f} at {new.node} nm ({hbm.energy_ratio:.2f} with \
{hbm.memory}), although on chip it takes {old.on_chip:.2f} and {new.on_chip:.2f}."""
CLAIMS = {
    "{pattern} is at most {bound:.0 %} larger than dense at {node} nm": st.below(
        0.15, "area_overhead_ratio", AT(node=NEW), form="{:.3f}"
    ),
    "the overhead of {pattern} differs by less than {bound:points} between {node} and {last.node} "
    "nm": st.below(0.01, st.apart("area_overhead_ratio"), AT(node=(OLD, NEW)), form="{:.3f}"),
    "{pattern} takes at most {bound:g} of the dense energy, {node} nm, {memory}": [
        st.below(0.8, "energy_ratio", ENDS["old"]),
        st.below(0.9, "energy_ratio", ENDS["new"]),
        st.below(0.9, "energy_ratio", ENDS["hbm"]),
    ],
    "{pattern} takes at most {bound:g} of the dense energy on chip, {node} nm": st.below(
        0.65, "on_chip", AT(node=NEW)
    ),
    "{last.pattern} takes at most {more:.0 %} more energy than {pattern} at {node} nm, "
    "{memory}": st.below(1.02, st.over("energy_pj"), AT(node=NEW, pattern=("2:4", "16:32"))),
}
COLUMNS = {
    "node": "{node} nm",
    "pattern": "{pattern}",
    "area, mm²": "{area_mm2:.2f}",
    "over dense": "{area_overhead_ratio:+.1%}",
    "energy, LPDDR4": "{energy_ratio:.2f}×",
    "energy, HBM3E": st.Column("{energy_ratio:.2f}×", {"dram": "hbm3e"}),
    "energy on chip": "{on_chip:.2f}×",
    "DRAM's share": "{dram_share:.0%}",
    "TOPS/W": "{tops_per_w:.2f}",
}
GROUPS = {f"{node} nm": AT(node=node) for node in NODES}
LOOK = st.Look(ylabel="share of the energy of {pattern} (%)", legend=2)
SHARES = st.Stacks(GROUPS, COLOURS, lambda run, part: 100 * PARTS[part](run), LOOK)
ENERGIES = [
    st.Bars(
        GROUPS,
        {p: st.Bar("energy_ratio", {"dram": dram, "pattern": p}) for p in PATTERNS},
        st.Look(ylabel=f"energy over dense, {name}", ylim=(0, 1.2), legend=3),
    )
    for dram, name in DRAMS.items()
]
STUDY = st.Study(
    question=__doc__,
    script=__file__,
    groups={"nodes": ("nodes",)},
    numbers=[st.Numbers("nodes")],
    parts=[
        st.Prose("answer", ANSWER, ENDS),
        st.Table("nodes", AT, {"node": NODES, "pattern": PATTERNS}, COLUMNS),
        st.Claims(CLAIMS),
    ],
    figure=st.Figure([SHARES, *ENERGIES]),
)

if __name__ == "__main__":
    STUDY.main()
