"""`--policy`: what is run, what is said about it, and files that make no sense."""

import json

import pytest

GOOD = """\
schema: 1
layers:
  "*.0.linear": dense
  "*.1.linear": {pattern: "2:4", criterion: clact, mitigation: var}
"""


@pytest.fixture
def policy(tmp_path):
    """Write a policy file."""

    def _policy(text=GOOD):
        path = tmp_path / "policy.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return _policy


def test_run_says_which_policy_and_what_it_came_to(accepted, arch, trace, policy):
    path = policy()
    out = accepted("run", arch("nm816"), "--trace", trace, "--policy", path)
    assert f"policy {path}: 1 × dense, 1 × 2:4 clact var, 2 × 8:16" in out.words
    assert "pattern" in out.words
    plain = accepted("run", arch("nm816"), "--trace", trace)
    assert "policy" not in plain.words


def test_json_holds_the_policy_and_the_method_of_each_layer(accepted, arch, trace, policy):
    run = ("run", arch("nm816"), "--trace", trace, "--json")
    data = json.loads(accepted(*run, "--policy", policy(), "--verify").out)
    assert [layer["pattern"] for layer in data["layers"]] == ["dense", "2:4", "8:16", "8:16"]
    assert [layer["criterion"] for layer in data["layers"]] == ["act", "clact", "act", "act"]
    assert list(data["policy"]["layers"]) == ["*.0.linear", "*.1.linear"]
    assert data["verify"]["bit_exact"]
    assert data["units"]["moments"]["actions"]["moments"] > 0
    dense, *_ = json.loads(accepted(*run, "--baseline", "none").out)["layers"]
    assert dense["pattern"] == "8:16"


def test_compare_leaves_dense_machines_alone(accepted, arch, trace, policy):
    compare = ("compare", arch("dense"), arch("nm816"), "--trace", trace, "--json")
    with_rules = json.loads(accepted(*compare, "--policy", policy()).out)["rows"]
    without = json.loads(accepted(*compare).out)["rows"]
    assert with_rules[0] == without[0]
    assert with_rules[1]["macs_executed"] > without[1]["macs_executed"]


def test_timeline_and_waveform_show_the_new_units(accepted, arch, trace, policy, tmp_path):
    timeline, vcd = tmp_path / "t.json", tmp_path / "w.vcd"
    accepted(
        *("run", arch("nm816"), "--trace", trace, "--policy", policy()),
        *("--timeline", timeline, "--vcd", vcd),
    )
    names = {
        event["args"]["name"]
        for event in json.loads(timeline.read_text())["traceEvents"]
        if event["name"] == "thread_name"
    }
    assert {"prologue_dma", "statistics", "pre_scaler", "moments", "epilogue"} <= names
    assert "prologue_dma_state" in vcd.read_text()


def test_area_shows_them(accepted, arch):
    flags = ("--set", "criterion=clact", "--set", "mitigation=var")
    out = accepted("area", arch("nm816"), *flags)
    units = json.loads(accepted("area", arch("nm816"), *flags, "--json").out)["units"]
    for name in ("statistics", "pre_scaler", "moments", "epilogue"):
        assert name in out.words
        assert units[name]["area_um2"] > 0


def test_area_says_which_tables_it_assumes(accepted, arch):
    flags = ("--set", "criterion=clact", "--set", "mitigation=spts", "--json")
    fixed = ("--set", "pre_scaler.table_kib=3")
    notes = json.loads(accepted("area", arch("nm816"), *flags, *fixed).out)["warnings"]
    assumed = [note for note in notes if "a table of 32 KiB is assumed; a run sizes it" in note]
    assert [note.partition(":")[0] for note in assumed] == ["statistics", "pre_shifter", "epilogue"]
    assert "statistics.table_kib fixes it" in assumed[0]
    assert "table" not in accepted("area", arch("nm816"), "--set", "mitigation=var").words


def test_a_table_that_is_too_slow_is_warned_of(accepted, arch):
    slow = {"criterion": "amber", "pre_scaler.table_kib": 4096, "pre_scaler.lanes": 32}
    flags = [part for key, value in slow.items() for part in ("--set", f"{key}={value}")]
    for extra, expected in (((), 1), (("--set", "clock_mhz=100"), 0)):
        notes = json.loads(accepted("area", arch("nm816"), *flags, *extra, "--json").out)
        found = [note for note in notes["warnings"] if note.startswith("warning: pre_scaler")]
        assert len(found) == expected
    assert "use a smaller table_kib, or more lanes" in str(
        json.loads(accepted("area", arch("nm816"), *flags, "--json").out)["warnings"]
    )


def test_rtl_is_of_plain_machines_only(refused, arch, tmp_path):
    for key, value, allowed in (("criterion", "clact", "act"), ("mitigation", "ls", "none")):
        message = refused(
            "rtl", arch("nm816"), "--set", f"{key}={value}", "--out", tmp_path / "rtl"
        )
        assert f"{key} '{value}' has no RTL; with RTL: {allowed}" in message
    message = refused("rtl", arch("nm816"), "--set", "moments={}", "--out", tmp_path / "rtl")
    assert "'moments' has no RTL" in message
    assert not (tmp_path / "rtl").exists()


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("schema: 1\nlayer: {}\n", [":2", "unknown key 'layer'", "did you mean 'layers'?"]),
        (
            'schema: 1\nlayers:\n  "*": {patern: dense}\n',
            [":3", "unknown key 'patern'", "did you mean 'pattern'?"],
        ),
        ('schema: 1\nlayers:\n  "*.up": dense\n', ["no layer matches '*.up'", "layers.0.linear"]),
        (
            'schema: 1\nlayers:\n  "*.2.linear": "16:32"\n',
            [
                "nm816, layer 'layers.2.linear': pattern '16:32' does not run",
                "pattern '8:16'; allowed: dense, 8:16",
            ],
        ),
        ('schema: 1\nlayers:\n  "*": 1:30\n', ["pattern '1:30' does not run"]),
        ("schema: 1\npattern: 1_6\n", [":2", "unknown pattern '1_6'"]),
        ('schema: 1\npattern: "topk:0.5"\n', ["pattern 'topk:0.5' does not run"]),
        ("schema: 1\ncriterion: wt\n", ["layers.0.linear", "criterion 'wt' prunes weights"]),
        ("schema: 1\nmitigation: magic\n", [":2", "unknown mitigation 'magic'"]),
        ("schema: [\n", ["YAML"]),
        ("pattern: dense\n", ["key 'schema' is missing; write schema: 1"]),
        ("schema: true\n", [":1", "schema: must be 1"]),
        ('schema: 1\nlayers:\n  "*":\n', [":3", "layers.*: a rule that says nothing"]),
        ("schema: 1\nlayers: dense\n", [":2", "layers: must be globs and rules"]),
    ],
)
def test_a_bad_policy_is_one_clear_line(refused, arch, trace, policy, text, parts):  # noqa: PLR0917
    for command in ("run", "compare"):
        message = refused(command, arch("nm816"), "--trace", trace, "--policy", policy(text))
        assert all(part in message for part in parts)


def test_a_policy_is_not_for_a_dense_machine(refused, arch, trace, policy):
    message = refused("run", arch("dense"), "--trace", trace, "--policy", policy())
    assert "--policy: is for machines that are not dense" in message


def test_a_table_that_does_not_fit_is_one_clear_line(refused, arch, trace):
    message = refused(
        *("run", arch("nm816"), "--trace", trace, "--set", "criterion=amber"),
        *("--set", "pre_scaler={table_kib: 0.0625}"),
    )
    assert "nm816, layer 'layers.1.linear': its table of 100 bytes must fit in" in message


@pytest.mark.parametrize(
    ("flag", "value", "said"),
    [
        ("--batch", "-1", "--batch -1: must be at least 1"),
        ("--phase", "train", "--phase 'train': allowed: prefill, decode"),
        ("--proxy", "harm", "--proxy 'harm': allowed: output_error, dropped_squared_magnitude"),
        ("--text", "none.txt", "none.txt: cannot read the text"),
    ],
)
def test_searches_check_flags_before_the_model(refused, arch, trace, flag, value, said, tmp_path):  # noqa: PLR0917
    pytest.importorskip("torch")
    needed = ("--budget", "cycles=1", "--out", tmp_path / "p.yaml", "--model", tmp_path / "none")
    line = refused("policy", "search", arch("nm816"), "--trace", trace, *needed, flag, value)
    assert said in line


def test_the_old_name_of_a_proxy_is_taken(refused, arch, trace, tmp_path):
    pytest.importorskip("torch")
    flags = ("--budget", "cycles=1", "--out", tmp_path / "p.yaml", "--text", "none.txt")
    run = ("policy", "search", arch("nm816"), "--trace", trace, *flags)
    assert "cannot read the text" in refused(*run, "--proxy", "lost_energy")


@pytest.mark.parametrize("sparsity", ["0", "1", "-0.5"])
def test_levels_drop_a_share(refused, sparsity, tmp_path):
    out = tmp_path / "levels.yaml"
    message = refused("policy", "levels", f"--sparsity={sparsity}", "--out", out)
    assert message == f"error: --sparsity {sparsity}: must be above 0 and below 1\n"
    assert not out.exists()
