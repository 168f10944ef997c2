"""Which hardware for sparsity: for prefill, for decode, and for both?"""

from pathlib import Path

import yaml

from accelsim import studies as st
from accelsim.studies import designs as of

FOLDER = Path(__file__).parent
SWEEP, SMALL, LARGE, MODEL = FOLDER / "designs.yaml", "small", "Llama-3-8B", "llama-3-8b"
BASES = [Path(it).stem for it in yaml.safe_load(SWEEP.read_text("utf-8"))["base"]]
SPARSE = [it for it in BASES if not it.startswith("dense")]
PRECISIONS = {"int8": "int8", "int8/int4:64": "W4A8"}
BANDWIDTHS, PREFILLS, BATCHES = (16, 64, 256), (128, 2048), (1, 8, 64)  # GB/s, tokens, sequences
PREFILL, ONE, FEW, MANY = "prefill 256", *(f"decode {batch}" for batch in BATCHES)
WORKS = {SMALL: [PREFILL, ONE, FEW], LARGE: [f"prefill {n}" for n in PREFILLS] + [ONE, FEW, MANY]}
(INT8, W4A8), (TIGHT, USUAL, _) = PRECISIONS, BANDWIDTHS
LOSSES = st.Perplexities(FOLDER / "accuracy.json", ("2:4", "8:16", "16:32"), criteria=("act", "wt"))
NAMES = of.NAMES | {
    "model": lambda run: LARGE if run["trace"]["synthetic"] else SMALL,
    "label": lambda run: PRECISIONS[run["arch"]["precision"]],
}
SOME = {"model": SMALL, "precision": INT8, "bandwidth": USUAL, "work": PREFILL}
AT = st.Choice("runs", NAMES, SOME)
FIELD = of.Field(AT, st.Choice("losses"), BASES, list(PRECISIONS), BANDWIDTHS)
VERSUS, LOSS = FIELD.against, FIELD.loss
X, W, W24 = "nm816", "weights816", "nvidia24"
BIG_ONE, BIG_FEW, BIG_MANY = ({"model": LARGE, "work": work} for work in (ONE, FEW, MANY))
ANSWER = """\
For prefill either operand: with 8:16 of X or of W a machine is {prefill_x:.2f}× or \
{prefill_w:.2f}× as fast as dense at {usual} GB/s, for {area_x:.1 %} or {area_w:.1 %} of area; \
where DRAM is slow ({tight} GB/s) {slow_x:.2f}× or {slow_w:.2f}×. For decode of one sequence of \
Llama-3-8B at {usual} GB/s X: {one_x:.2f}× against {one_w:.2f}× with int8, {four_x:.2f}× against \
{four_w:.2f}× with W4A8, where a position weighs half as much as its weight. For {few:word} \
sequences at once W: {few_w:.2f}× against {few_x:.2f}×. Which of them a model bears decides, too: \
the small one has {loss_x.increase_said} more perplexity with 8:16 of X and \
{loss_w.increase_said} with 8:16 of W, pruned by magnitude and not retrained."""
TOLD = {"usual": USUAL, "tight": TIGHT, "few": BATCHES[1], "loss_x": LOSS(X), "loss_w": LOSS(W)}
ASKED = {"prefill": {}, "slow": {"bandwidth": TIGHT}, "one": BIG_ONE, "few": BIG_FEW}
ASKED["four"] = BIG_ONE | {"precision": W4A8}
for name, design in {"x": X, "w": W}.items():
    TOLD[f"area_{name}"] = st.Value(of.larger, VERSUS(design))
    for asked, keys in ASKED.items():
        TOLD[f"{asked}_{name}"] = st.Value(of.gain, VERSUS(design, **keys))
BOTH = AT(base=X, bandwidth=TIGHT) + AT(base=W, bandwidth=TIGHT)
WORK, SLOW = "{last.work}, {last.label}, {last.model}", "{last.work}, {last.bandwidth:g} GB/s"
CLAIMS = {
    f"{{last.design}} is {{bound:g}} times as fast as dense: {WORK}": [
        *(st.above(1.9, of.gain, VERSUS(X, **BIG_ONE, precision=it)) for it in PRECISIONS),
        *(st.above(1.5, of.gain, VERSUS(W24, **it)) for it in (BIG_ONE, BIG_FEW, BIG_MANY)),
    ],
    f"{{last.design}} is less than {{bound:g}} times as fast as dense: {WORK}": [
        st.below(1.1, of.gain, VERSUS(X, **BIG_FEW)),
        st.below(1.4, of.gain, VERSUS(W24, **BIG_ONE, precision=W4A8)),
    ],
    f"{{last.design}} takes less than {{bound:g}} of the energy of dense: {SLOW}": [
        st.below(0.75, of.energy, VERSUS(it, bandwidth=TIGHT)) for it in SPARSE
    ],
    f"{{last.design}} takes less energy than {{design}}: {SLOW}": st.below(
        1, st.over("energy_pj"), BOTH
    ),
    "{pattern} of X adds less than {bound:word} of the perplexity of {last.pattern} of W": st.below(
        0.5, st.loss_ratio, st.Joined((LOSS(X), LOSS(W)))
    ),
    "{last.design} is smaller than {design}": st.below(1, st.over("area_um2"), BOTH),
}
DESIGNS = {"design": "{last.design}", "sparse": "{last.sparsity}"}
DESIGNS["area"] = st.Column("{it:+.1%}", values={"it": of.larger})
for bits, label in PRECISIONS.items():
    DESIGNS[f"perplexity, {label}"] = st.Column("{increase}", {"precision": bits}, LOSS)
PANELS = [FIELD.bars(LARGE, it, 3 if it == ONE else None) for it in (ONE, FEW, WORKS[LARGE][1])]
STUDY = st.Study(
    __doc__,
    __file__,
    groups={
        "runs": lambda _: of.works_of(SWEEP, MODEL, PREFILLS, BATCHES, few=2),
        "losses": LOSSES,
    },
    numbers=[st.Numbers("runs", NAMES, file="designs")],
    parts=[
        st.Prose("answer", ANSWER, TOLD),
        st.Table("designs", VERSUS, {"base": BASES[1:]}, DESIGNS, missing="–"),
        *(of_model(*it) for of_model in (FIELD.speeds, FIELD.energies) for it in WORKS.items()),
        st.Claims(CLAIMS),
    ],
    figure=st.Figure(PANELS),
)

if __name__ == "__main__":
    STUDY.main()
