"""The policies in `arch_configs/policies`: which layers they prune, and that they run."""

from pathlib import Path

import pytest

from accelsim import load_trace, simulate
from accelsim.base.errors import InputError
from accelsim.run.simulation import simulate_all
from accelsim.sparsity import parse_pattern
from accelsim.sparsity.policy import Method, load_policy
from accelsim.trace.shapes import model_shape
from tests.helpers.small import SHIPPED_TRACE, load

FOLDER = Path(__file__).parents[2] / "arch_configs" / "policies"
NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml"))
THRESHOLDS = {"teal_25": 0.25, "teal_40": 0.4, "teal_50": 0.5}
LEVELS = {f"{name}_llama_docs_16m": share for name, share in THRESHOLDS.items()}
_TIES = 0.02
HALF = Method(parse_pattern("8:16"))
# Parts of a block whose inputs are pruned, by policy; on the shipped model.
PRUNED = {
    "but_up_and_o": {"q_proj", "k_proj", "v_proj", "gate_proj", "down_proj"},
    "amber": {"q_proj", "gate_proj", "down_proj"},
}
MODES = {  # of the parts of a block
    "modes_up_and_o": {
        "8:16": {"q_proj", "k_proj", "v_proj", "gate_proj", "down_proj"},
        "16:32": {"up_proj", "o_proj"},
    },
    "modes_amber": {
        "4:8": {"down_proj"},
        "8:16": {"q_proj", "gate_proj"},
        "16:32": {"k_proj", "v_proj", "o_proj", "up_proj"},
    },
}
ONE_MODEL = {"amber_llama_3.1_8b": "llama-3-8b"}


def policy(name):
    return load_policy(FOLDER / f"{name}.yaml", HALF)


def test_every_policy_is_tested_here():
    assert set(NAMES) == {*PRUNED, *ONE_MODEL, *MODES, *THRESHOLDS, *LEVELS}


@pytest.mark.parametrize("name", NAMES)
def test_a_policy_says_where_it_comes_from(name):
    first = (FOLDER / f"{name}.yaml").read_text(encoding="utf-8").partition("schema:")[0]
    assert "(arXiv 2" in first


@pytest.mark.parametrize("name", PRUNED)
def test_a_policy_prunes_these_layers_of_the_shipped_model(name):
    result = simulate(load("nm816"), load_trace(SHIPPED_TRACE), policy=policy(name))
    parts = {False: set(), True: set()}
    for layer in result.layers:
        parts[layer.method.pattern.is_dense].add(layer.name.rsplit(".")[-1])
    pruned, dense = parts[False], parts[True]
    assert pruned == PRUNED[name]
    assert pruned | dense == PRUNED["but_up_and_o"] | {"up_proj", "o_proj"}
    assert not pruned & dense


@pytest.mark.parametrize("name", MODES)
def test_a_policy_gives_layers_of_the_shipped_model_their_modes(name):
    arch = load("flex")
    result = simulate(arch, load_trace(SHIPPED_TRACE), policy=policy(name))
    parts = {}
    for layer in result.layers:
        assert layer.method.pattern in arch.modes
        parts.setdefault(str(layer.method.pattern), set()).add(layer.name.rsplit(".")[-1])
    assert parts == MODES[name]


def test_ambers_layers_of_llama_hold_the_published_share_of_its_multiplications():
    name, model = next(iter(ONE_MODEL.items()))
    rules, linears = policy(name), list(model_shape(model).linears())
    rules.check([one.name for one in linears])
    sizes = {one.name: one.in_features * one.out_features for one in linears}
    pruned = [one for one in sizes if not rules.of(one).pattern.is_dense]
    # 32 × down and 27 × (q, gate), of q, o 4096², k, v 4096 × 1024, and three of 4096 × 14336.
    assert len(pruned) == 32 + 2 * 27
    by_hand = (32 * 14 + 27 * (4 + 14)) / (32 * (4 + 1 + 1 + 4 + 3 * 14))
    assert sum(sizes[one] for one in pruned) / sum(sizes.values()) == pytest.approx(by_hand)
    assert round(by_hand, 3) == 0.561  # arXiv 2508.02128
    assert {rules.of(one).criterion for one in pruned} == {"amber"}


@pytest.mark.parametrize(("name", "share"), THRESHOLDS.items())
def test_thresholds_are_for_accuracy_only(name, share):
    rules = policy(name)
    assert str(rules.default) == f"greedy-threshold:{share}"
    assert rules.rules == ()
    with pytest.raises(
        InputError, match=r"pattern 'greedy-threshold:.*' does not run on a machine"
    ):
        simulate(load("nm816"), load_trace(SHIPPED_TRACE), policy=rules)


@pytest.mark.parametrize(("name", "share"), LEVELS.items())
def test_levels_found_for_the_shipped_model_drop_it_and_a_machine_keeps_what_they_leave(
    name, share
):
    trace, rules = load_trace(SHIPPED_TRACE), policy(name)
    rules.check([linear.name for linear in trace.linears])
    result = simulate(load("teal"), trace, policy=rules, phase="decode")
    dropped = [1 - rules.of(layer.name).pattern.kept_share for layer in result.layers]
    sizes = [layer.in_features * layer.out_features for layer in result.layers]
    mean = sum(share * size for share, size in zip(dropped, sizes, strict=True)) / sum(sizes)
    assert mean == pytest.approx(share, abs=1e-4)
    for layer, own in zip(result.layers, dropped, strict=True):  # equals of the level drop
        kept = layer.macs_executed / layer.macs_dense
        assert kept == pytest.approx(1 - own, abs=_TIES)
    assert max(dropped) - min(dropped) > 0.1


def test_the_speed_of_uniform_and_of_greedy_levels_is_that_of_the_page():
    page = (FOLDER.parents[1] / "docs" / "accuracy.md").read_text(encoding="utf-8")
    machines = [load(name, {"tiling": "auto"}) for name in ("dense", "teal", "teal")]
    results = simulate_all(
        machines,
        load_trace(SHIPPED_TRACE),
        policies=[None, None, policy("teal_50_llama_docs_16m")],
        phase="decode",
    )
    dense, *others = (result.cycles for result in results)
    uniform, greedy = (f"{dense / cycles:.2f}×" for cycles in others)
    assert f"is {uniform} as fast with uniform thresholds and {greedy} with" in page
