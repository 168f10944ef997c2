"""`accelsim accuracy` and `accelsim policy search`, on a tiny model with random weights."""

import csv
import json
from pathlib import Path

import pytest

from accelsim.base.errors import InputError
from accelsim.capture import capture_pretrained
from accelsim.studies import policy_search

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from tests.helpers.checkpoints import WORDS, save_checkpoint, tiny_llama  # noqa: E402


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A checkpoint whose tokenizer knows 16 words."""
    return save_checkpoint(tiny_llama(vocab_size=16), tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """Two texts of 80 words each, in different orders."""
    folder = tmp_path_factory.mktemp("texts")
    for name, stride in (("text", 7), ("calibration", 4)):
        words = [WORDS[place * stride % len(WORDS)] for place in range(80)]
        (folder / f"{name}.txt").write_text(" ".join(words), encoding="utf-8")
    return folder


@pytest.fixture
def accuracy(model, texts):
    """The command with everything that it needs."""
    return (
        *("accuracy", "--model", model, "--text", texts / "text.txt"),
        *("--calibration", texts / "calibration.txt", "--seq-len", 32, "--device", "cpu"),
    )


def rows_of(outcome):
    return json.loads(outcome.out)["rows"]


def test_the_contract_of_the_json(accepted, accuracy):
    data = json.loads(accepted(*accuracy, "--patterns", "2:4,topk:0.5", "--json").out)
    assert data["dense"]["perplexity"] > 1
    # 80 tokens, of which the first is not predicted.
    assert (data["dense"]["counted_tokens"], data["text"]["tokens"]) == (79, 80)
    assert [row["pattern"] for row in data["rows"]] == ["2:4", "topk:0.5"]
    for row in data["rows"]:
        assert (row["criterion"], row["mitigation"]) == ("act", "none")
        ratio = row["perplexity"] / data["dense"]["perplexity"]
        assert row["perplexity_increase_ratio"] == pytest.approx(ratio - 1)
        assert 0 < row["dropped_squared_magnitude_ratio"] < 0.5
    assert (
        data["rows"][1]["dropped_squared_magnitude_ratio"]
        < data["rows"][0]["dropped_squared_magnitude_ratio"]
    )


def test_every_combination_is_a_row_and_the_senseless_are_named(cli, accuracy):
    outcome = cli(
        *(*accuracy, "--patterns", "2:4", "--criteria", "act,wt"),
        *("--mitigations", "none,var", "--json"),
    )
    found = [(row["criterion"], row["mitigation"]) for row in rows_of(outcome)]
    assert found == [("act", "none"), ("act", "var"), ("wt", "none")]
    assert outcome.err.startswith("left out: 2:4 wt var: weights are pruned")
    assert outcome.err.count("\n") == 1


def test_the_table_says_what_hardware_a_method_needs(accepted, accuracy):
    words = accepted(*accuracy, "--patterns", "2:4", "--mitigations", "none,var").words
    assert "var needs moments, epilogue" in words
    assert "dense: perplexity" in words


def test_a_dense_pattern_is_the_dense_model(accepted, accuracy):
    data = json.loads(accepted(*accuracy, "--patterns", "dense", "--json").out)
    assert data["rows"][0]["perplexity"] == data["dense"]["perplexity"]


def test_layers_can_be_left_out_by_flag_or_policy(accepted, accuracy, tmp_path):
    policy = tmp_path / "policy.yaml"
    policy.write_text('schema: 1\nlayers: {"*.up_proj": dense, "*.o_proj": dense}\n')
    pruned = ("--patterns", "2:4", "--json")
    (by_flag,) = rows_of(accepted(*accuracy, *pruned, "--exclude", "*.up_proj,*.o_proj"))
    (by_policy,) = rows_of(accepted(*accuracy, *pruned, "--policy", policy))
    assert by_policy["perplexity"] == by_flag["perplexity"]
    assert by_policy["layers"]["model.layers.0.mlp.up_proj"]["output_error_ratio"] == 0
    (everything,) = rows_of(accepted(*accuracy, *pruned))
    assert everything["perplexity"] != by_flag["perplexity"]


def test_a_shipped_policy_of_thresholds_is_calibrated_as_its_pattern_is(accepted, accuracy):
    policy = Path(__file__).parents[2] / "arch_configs/policies/teal_40.yaml"
    (by_policy,) = rows_of(accepted(*accuracy, "--policy", policy, "--json"))
    (by_pattern,) = rows_of(accepted(*accuracy, "--patterns", "greedy-threshold:0.4", "--json"))
    assert by_policy["perplexity"] == by_pattern["perplexity"]
    assert by_policy["dropped_squared_magnitude_ratio"] > 0


def test_a_policy_that_prunes_nothing_is_refused(refused, accuracy, tmp_path):
    policy = tmp_path / "policy.yaml"
    policy.write_text("schema: 1\n")
    assert "prunes nothing" in refused(*accuracy, "--policy", policy)


def test_what_was_learned_can_be_kept(accepted, accuracy, tmp_path):
    kept, method = tmp_path / "c.npz", ("--patterns", "2:4", "--mitigations", "ls", "--json")
    (first,) = rows_of(accepted(*accuracy, *method, "--save-calibration", kept))
    (again,) = rows_of(accepted(*accuracy, *method, "--load-calibration", kept))
    assert again["perplexity"] == first["perplexity"]


def test_sensitivity_prunes_kinds_and_blocks_alone(accepted, accuracy):
    data = json.loads(accepted(*accuracy, "--patterns", "2:4", "--sensitivity", "--json").out)
    names = [(probe["group"], probe["name"]) for probe in data["sensitivity"]]
    assert ("kind", "down_proj") in names
    assert names[-2:] == [("block", "model.layers.0"), ("block", "model.layers.1")]
    assert len(data["rows"]) == 1
    words = accepted(*accuracy, "--patterns", "2:4", "--sensitivity").words
    assert "Pruned alone" in words
    assert "peak: largest" in words


def test_the_heat_map_is_a_picture(accepted, accuracy, tmp_path):
    picture = tmp_path / "h.png"
    accepted(*accuracy, "--patterns", "2:4", "--heatmap", picture)
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_csv_has_a_line_a_row(accepted, accuracy, tmp_path):
    table = tmp_path / "t.csv"
    accepted(*accuracy, "--patterns", "2:4,4:8", "--csv", table)
    with table.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["pattern"] for row in rows] == ["2:4", "4:8"]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--patterns", "5:4"], "pattern 5:4"),
        (["--criteria", "acts"], "unknown criterion 'acts' (did you mean 'act'?)"),
        (["--mitigations", "rsparse"], "unknown mitigation 'rsparse'"),
        (["--precision", "int5"], "unknown precision 'int5'; allowed: float"),
        (["--phase", "both"], "unknown phase 'both'"),
        (["--stride", "33"], "stride 33: must be 1 to seq_len 32"),
        (["--seq-len", "4096"], "positions"),
        (["--layers", "nope"], "no linear layer matches 'nope'"),
        (["--exclude", "*"], "no linear layer is left to prune"),
        (["--device", "cuda:77"], "device 'cuda:77' is not available"),
        (["--model", "./nope"], "no such model folder"),
        (["--text", "nope.txt"], "nope.txt: cannot read the text"),
        (["--load-calibration", "README.md"], "not a calibration file"),
        (["--csv", "nope/t.csv"], "nope/t.csv: cannot write here: no such folder"),
        (["--heatmap", "h.gif", "--patterns", "2:4"], "h.gif: figures are written as .png"),
        (["--patterns", "2:4,4:8", "--sensitivity"], "look at one combination; there are 2"),
        (["--patterns", "threshold:0.5", "--criteria", "clact"], "nothing to evaluate"),
    ],
)
def test_bad_input_is_one_clear_line(cli, accuracy, flags, said):
    outcome = cli(*accuracy, *flags)
    assert (outcome.code, outcome.out) == (2, "")
    assert said in outcome.err
    assert "Traceback" not in outcome.err


def test_a_text_cannot_calibrate_itself(refused, accuracy, texts):
    said = refused(*accuracy, "--mitigations", "ls", "--calibration", texts / "text.txt")
    assert "is evaluated and calibrates" in said


# Policy search -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def workload(model, texts, tmp_path_factory):
    """A trace of the same model."""
    out = tmp_path_factory.mktemp("trace") / "t.npz"
    capture_pretrained(
        str(model), texts / "text.txt", tokens=64, out=out, seq_len=32, layers="*.layers.*"
    )
    return out


@pytest.fixture
def search(model, texts, workload, arch, tmp_path):
    """The command with everything but a budget."""
    return (
        *("policy", "search", arch("nm816"), "--trace", workload, "--model", model),
        *("--text", texts / "text.txt", "--calibration", texts / "calibration.txt"),
        *("--seq-len", 32, "--device", "cpu", "--out", tmp_path / "policy.yaml"),
    )


def test_the_policy_keeps_its_budget_where_it_is_run(accepted, search, workload, arch, tmp_path):
    data = json.loads(accepted(*search, "--budget", "cycles=0.97", "--json").out)
    dense, unpruned, found, everything = data["rows"]
    assert dense["cycles_ratio"] == 1 < unpruned["energy_ratio"]
    assert everything["cycles_ratio"] < found["cycles_ratio"] <= 0.97
    assert 0 < data["pruned_layers"] < data["layers"] == 14
    policy = tmp_path / "policy.yaml"
    run = ("run", arch("nm816"), "--trace", workload, "--json", "--layers", "isolated", "--policy")
    ran = json.loads(accepted(*run, policy).out)
    dense_run = ran["baseline"]["totals"]
    for total, ratio in (("cycles", "cycles_ratio"), ("energy_pj", "energy_ratio")):
        assert ran["totals"][total] / dense_run[total] == pytest.approx(found[ratio])
    assert dense["perplexity"] > 1


def test_the_policy_is_judged_as_accuracy_does(accepted, search, accuracy, tmp_path):
    data = json.loads(accepted(*search, "--budget", "energy=0.97", "--json").out)
    policy = tmp_path / "policy.yaml"
    (row,) = rows_of(accepted(*accuracy, "--policy", policy, "--precision", "int8", "--json"))
    assert row["perplexity"] == pytest.approx(data["rows"][2]["perplexity"], rel=1e-6)
    assert policy.read_text().startswith("# Found by `accelsim policy search`: energy=0.97")


def test_a_budget_of_perplexity_is_measured(accepted, search):
    data = json.loads(accepted(*search, "--budget", "perplexity=1.5", "--json").out)
    assert data["rows"][2]["increase"] <= 0.5


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--budget", "cycles=0.1"], "budget cycles=0.1: not in reach"),
        (["--budget", "cycles"], "budget 'cycles': write cycles=R"),
        (["--budget", "area=0.5"], "budget 'area=0.5': write cycles=R"),
        (["--budget", "perplexity=0.0001"], "budget perplexity=0.0001: not in reach"),
        (["--budget", "cycles=0.9", "--proxy", "guess"], "--proxy 'guess': allowed: output_error"),
    ],
)
def test_a_search_without_an_answer_says_why(cli, search, tmp_path, flags, said):
    outcome = cli(*search, *flags)
    assert (outcome.code, outcome.out) == (2, "")
    assert said in outcome.err
    assert not (tmp_path / "policy.yaml").exists()


def test_a_dense_machine_has_nothing_to_choose(refused, search, arch):
    said = refused(*search[:2], arch("dense"), *search[3:], "--budget", "cycles=0.9")
    assert "a dense machine has nothing to choose" in said


def test_a_search_adds_up_isolated_layers_only(cli, search):
    with pytest.raises(InputError, match="isolated"):
        policy_search.search(*[None] * 7, calibration_text=None, simulation={"layers": "chained"})
    outcome = cli(*search, "--budget", "cycles=0.9", "--layers", "chained")
    assert outcome.code == 2
    assert "--layers" in outcome.err
