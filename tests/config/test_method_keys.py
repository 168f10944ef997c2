"""Keys of pruning methods in an architecture file."""

import pytest

PATTERN = 'pattern: "8:16"'


@pytest.mark.parametrize(
    ("added", "parts"),
    [
        ("criterion: wt", ["criterion 'wt' prunes weights", "allowed: act, amber, clact"]),
        ("criterion: clat", ["unknown criterion 'clat'", "did you mean 'clact'?"]),
        ("mitigation: vari", ["unknown mitigation 'vari'", "allowed: ", "var"]),
        ("mitigation: rsparse0", ["unknown mitigation 'rsparse0'"]),
        ("statistics: {kinds: [mean]}", ["unknown kind 'mean'", "allowed: columns, median"]),
        ("epilogue: {lanes: 0}", ["epilogue.lanes", "greater than 0"]),
        ("pre_scaler: {lane: 3}", ["unknown key 'pre_scaler.lane'", "did you mean 'lanes'?"]),
        ("moments: {table_kib: 3}", ["unknown key 'moments.table_kib'", "allowed: kinds, lanes"]),
        ("moments: 3", ["'moments'", "must be a section with the keys lanes, kinds"]),
        ("statistics: {table_kib: 0.25}", ["statistics.table_kib: 0.25 KiB is less than one"]),
    ],
)
def test_a_wrong_value_names_its_line_and_what_is_allowed(edit, added, parts):
    edited = edit(PATTERN, f"{PATTERN}\n{added}")
    edited.refused(*parts, line=edited.line + 1)


def test_two_passes_over_x_are_refused(edit):
    edited = edit(PATTERN, f"{PATTERN}\ncriterion: clact\nmitigation: dpts")
    edited.refused("'clact' and mitigation 'dpts' each need a pass", line=edited.line + 2)


@pytest.mark.parametrize("added", ["criterion: clact", "mitigation: var", "moments: {}"])
def test_a_dense_machine_has_no_method(edit, added):
    edited = edit('pattern: "dense"', f'pattern: "dense"\n{added}', base="dense")
    key = added.partition(":")[0]
    edited.refused(f"pattern 'dense' drops nothing and needs no '{key}'", line=edited.line + 1)


@pytest.mark.parametrize("pattern", ["topk:0.5", "threshold:0.5", "greedy-threshold:0.25"])
def test_a_pattern_without_groups_is_refused(edit, pattern):
    edited = edit(PATTERN, f'pattern: "{pattern}"')
    edited.refused(
        f"no machine runs pattern '{pattern}'", "allowed: dense, or N:M", line=edited.line
    )


def test_a_pattern_without_a_selector_is_refused(edit):
    edited = edit(PATTERN, 'pattern: "greedy-threshold:0.5"')
    edited.refused("whose levels need a model", line=edited.line)


def test_two_ranks_need_their_selector(edit):
    edited = edit(PATTERN, 'pattern: "2:4x4:8"')
    edited.refused("does not select by '2:4x4:8'; allowed: selector.kind two_rank")


def test_pairs_are_for_a_selector_of_pairs(edit):
    edited = edit(PATTERN, 'pattern: "pairs-4:8"')
    edited.refused("selector 'rank'", "does not select by 'pairs-4:8'", line=edited.line)


def test_a_residual_is_refused_where_values_have_no_scales_of_blocks(edit):
    edited = edit(PATTERN, f"{PATTERN}\nmitigation: residual")
    edited.refused("'residual'", "precision 'int8'", "allowed: mxfp4, nvfp4", line=edited.line + 1)


def test_what_a_method_asks_for_is_made_and_what_is_given_is_kept(edit):
    arch = edit(PATTERN, f"{PATTERN}\nmitigation: dpts\nepilogue: {{lanes: 3}}").load()
    assert (arch.epilogue.lanes, arch.epilogue.kinds) == (3, ("scale", "add"))
    assert (arch.pre_shifter.lanes, arch.pre_shifter.kinds) == (64, ("token",))
    assert arch.statistics.kinds == ("median",)
    assert arch.pre_scaler is arch.moments is None


def test_a_resolved_machine_is_the_same_machine(edit, write):
    import yaml

    arch = edit(PATTERN, f"{PATTERN}\ncriterion: clact\nmitigation: var").load()
    assert write(yaml.safe_dump(arch.resolved())).load() == arch
