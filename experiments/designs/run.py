"""Which hardware for sparsity: for prefill, for decode, and for both?"""

from pathlib import Path

from accelsim import studies as st
from accelsim.studies import designs as of

FOLDER = Path(__file__).parent
SWEEPS = {name: FOLDER / f"{name}.yaml" for name in ("designs", "int8_only", "fp4", "large")}
SMALL, LARGE, MODEL = "small", "Llama-3-8B", "llama-3-8b"
BASES = {name: of.bases_of(file) for name, file in SWEEPS.items()}
ALL = BASES["designs"] + BASES["int8_only"]
PRECISIONS = {"int8": "int8", "int8/int4:64": "W4A8", "nvfp4": "FP4"}
BANDWIDTHS, PREFILLS, BATCHES = (16, 64, 256), (128, 2048, 8192), (1, 8, 128)
TOKENS = 256  # of the shipped trace
PREFILL, ONE, FEW, MANY = f"prefill {TOKENS}", *(f"decode {batch}" for batch in BATCHES)
ON_SMALL = [PREFILL, ONE, FEW]
ON_LARGE = [*(f"prefill {tokens}" for tokens in PREFILLS), ONE, FEW, MANY]
(INT8, W4A8, FP4), (TIGHT, USUAL, _) = PRECISIONS, BANDWIDTHS
LOSSES = st.Perplexities(FOLDER / "accuracy.json", ("2:4", "8:16", "16:32"), criteria=("act", "wt"))
NAMES = of.NAMES | {
    "model": lambda run: LARGE if run["trace"]["synthetic"] else SMALL,
    "label": lambda run: PRECISIONS[run["arch"]["precision"]],
}
SOME = {"model": SMALL, "precision": INT8, "bandwidth": USUAL, "work": PREFILL}
AT, LOST = st.Choice("runs", NAMES, SOME), st.Choice("losses")
FIELD = of.Field(AT, LOST, ALL, [INT8, W4A8], BANDWIDTHS)
ON_BLOCK = of.Field(AT, LOST, BASES["large"], [INT8, W4A8], BANDWIDTHS)
OF_FP4 = of.Field(AT, LOST, BASES["fp4"], [FP4], BANDWIDTHS)
VERSUS, LOSS = FIELD.against, FIELD.loss
X, W = "nm816", "weights816"
ANSWER = """\
For prefill, at {usual} GB/s with int8, 8:16 of X is {nm816_prefill:.2f}× as fast as dense for \
{nm816_area:.1 %} of area, 8:16 of W {weights816_prefill:.2f}× for {weights816_area:.1 %}, and \
4:8 of both, unrolled in time, {s2ta_prefill:.2f}× for {s2ta_area:.1 %} and the least energy. To \
use both masks in time as well takes more area than it saves time: {dual24_816_prefill:.2f}× for \
{dual24_816_area:.0 %}, {dstc_prefill:.2f}× for {dstc_area:.0 %}. Top-K of whole tokens, with its \
levels and bank conflicts, is {qsparse_prefill:.2f}×. For decode of one sequence what drops X on \
the way wins: {nm816_one:.2f}× with 8:16, {teal_one:.2f}× with thresholds, {weights816_one:.2f}× \
with 8:16 of W, whose places cost bits, too. From {few:word} sequences on only W counts: \
{weights816_few:.2f}× against {nm816_few:.2f}× and {teal_few:.2f}×. With W4A8 decode of one \
sequence is {nm816_four:.2f}× with 8:16 of X and {weights816_four:.2f}× with 8:16 of W. What a \
model bears decides more: the small one has {teal_loss.increase_said} more perplexity with half \
of X behind thresholds, {nm816_loss.increase_said} with 8:16 of X, \
{weights816_loss.increase_said} with 8:16 of W, pruned by magnitude and not retrained, more with \
both. So for models whose weights are as they were trained, 8:16 of X is still the answer where \
both phases count, with W4A8, too: thresholds lose less and take {teal_area:.1 %} of area, but \
help decode of few sequences only, and top-K takes {qsparse_area:.0 %}. Where weights were \
trained to be sparse, 2:4 or 8:16 of W is cheaper, and holds for any number of sequences."""
TOLD = FIELD.told((X, W), {"four": {"precision": W4A8, "work": ONE}})
TOLD |= FIELD.told(
    (X, W, "s2ta", "dual24_816", "dstc", "qsparse", "teal"),
    {"prefill": {}, "one": {"work": ONE}, "few": {"work": FEW}},
)
BIG = {"model": LARGE, "precision": INT8}
CLAIMS = {
    "{last.design} is {bound:g} times as fast as dense: {last.work}, {last.model}": [
        *(st.above(1.9, of.gain, VERSUS(it)) for it in (X, W, "s2ta")),
        *(st.above(1.8, of.gain, VERSUS(it, work=ONE)) for it in (X, "teal", "qsparse")),
        *(st.above(1.5, of.gain, VERSUS(W, **BIG, work=it)) for it in (ONE, FEW, MANY)),
    ],
    "{last.design} is less than {bound:g} times as fast as dense: {last.work}, {last.model}": [
        *(st.below(1.1, of.gain, VERSUS(it, **BIG, work=FEW)) for it in (X, "teal")),
        *(st.below(2.2, of.gain, VERSUS(it)) for it in ("dual24_816", "dstc")),
    ],
    "{last.design} does less than {bound:g} of the work of dense per area: {last.work}": [
        st.below(1.3, of.per_area, VERSUS(it)) for it in ("dual24_816", "dstc", "qsparse")
    ],
    "{last.design} takes less than {bound:g} of the energy of dense at {last.bandwidth:g} GB/s": [
        st.below(0.75, of.energy, VERSUS(it, bandwidth=TIGHT)) for it in (X, W, "s2ta")
    ],
    "{pattern} of X adds less than {bound:word} of the perplexity of {last.pattern} of W": st.below(
        0.5, st.loss_ratio, st.Joined((LOSS(X), LOSS(W)))
    ),
}
STUDY = st.Study(
    __doc__,
    __file__,
    groups={
        "runs": lambda _: (
            of.works_on_trace([*SWEEPS.values()][:3], BATCHES[:2])
            + of.works_on_model(SWEEPS["large"], MODEL, PREFILLS, BATCHES)
        ),
        "losses": LOSSES,
    },
    numbers=[st.Numbers("runs", NAMES, file="designs")],
    parts=[
        st.Prose("answer", ANSWER, {"usual": USUAL, "few": BATCHES[1], **TOLD}),
        FIELD.overview("designs", ON_SMALL, {INT8: "int8", W4A8: "W4A8"}),
        *(*FIELD.tables(SMALL, ON_SMALL), *ON_BLOCK.tables(LARGE, ON_LARGE)),
        OF_FP4.overview("fp4", []),
        *OF_FP4.tables(SMALL, ON_SMALL, "FP4"),
        st.Claims(CLAIMS),
    ],
    figure=st.Figure([FIELD.bars(SMALL, it) for it in ON_SMALL]),
)

if __name__ == "__main__":
    STUDY.main()
