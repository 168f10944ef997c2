"""Policies: which layer is pruned how, read from a file, with errors that say where."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from accelsim.base.errors import InputError
from accelsim.capture.linears import select
from accelsim.report.window import Window
from accelsim.sparsity import parse_pattern
from accelsim.sparsity.criteria import CRITERIA
from accelsim.sparsity.policy import Method, Policy, load_policy
from accelsim.trace import Linear

FALLBACK = Method(parse_pattern("8:16"))
LAYERS = [
    "model.layers.0.mlp.up_proj",
    "model.layers.0.mlp.down_proj",
    "model.layers.1.mlp.up_proj",
]


def method(pattern, criterion="act", mitigation="none"):
    return Method(parse_pattern(pattern), criterion, mitigation)


@pytest.fixture
def load(tmp_path):
    """Read a policy from text."""

    def _load(text, default=FALLBACK):
        path = tmp_path / "p.yaml"
        path.write_text(text, encoding="utf-8")
        return load_policy(path, default)

    return _load


def test_a_file_by_hand(load):
    policy = load(
        "schema: 1\n"
        'pattern: "2:4"\n'
        "mitigation: var\n"
        "layers:\n"
        '  "*.up_proj": dense\n'
        '  "*.down_proj": {pattern: "topk:0.5", criterion: amber}\n'
        '  "*.1.*": {mitigation: none}\n'
    )
    assert policy.default == method("2:4", "act", "var")
    # What a rule does not say is as for all other layers, not as in an earlier rule.
    assert policy.of(LAYERS[0]) == method("dense", "act", "var")
    assert policy.of(LAYERS[1]) == method("topk:0.5", "amber", "var")
    assert policy.of(LAYERS[2]) == method("2:4", "act", "none")  # the last rule that matches
    assert policy.of("lm_head") == policy.default
    assert policy.name.endswith("p.yaml")


def test_what_a_file_does_not_say_is_the_default(load):
    default = method("4:8", "clact", "dpts")
    assert load("schema: 1\n", default) == Policy(default, (), load("schema: 1\n").name)
    assert load("schema: 1\ncriterion: act\n", default).default == method("4:8", "act", "dpts")
    rule = load('schema: 1\nlayers: {"a": "2:4"}\n', default)
    assert rule.of("a") == method("2:4", "clact", "dpts")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("pattern: dense\n", r"p\.yaml: key 'schema' is missing; write schema: 1$"),
        ("schema: 2\n", r"p\.yaml:1: schema: Input should be 1"),
        ("schema: true\n", r"p\.yaml:1: schema: must be 1, not True"),
        ('schema: "1"\n', r"p\.yaml:1: schema: must be 1, not '1'"),
        ("schema:\n", r"p\.yaml:1: schema: must be 1, not None"),
        ("schema: 1\nlayers:\n  a:\n", r"p\.yaml:3: layers\.a: a rule that says nothing; write"),
        ("schema: 1\nlayers:\n  a: {}\n", r"p\.yaml:3: layers\.a: a rule that says nothing"),
        (
            "schema: 1\nlayers:\n  a: {pattern: }\n",
            r"p\.yaml:3: layers\.a\.pattern: has no value; leave the key out",
        ),
        ("schema: 1\ncriterion:\n", r"p\.yaml:2: criterion: has no value"),
        ("schema: 1\nmitigation:\n", r"p\.yaml:2: mitigation: has no value"),
        ("schema: 1\nlayers:\n", r"p\.yaml:2: layers: must be globs and rules"),
        ("schema: 1\nlayers: [dense]\n", r"p\.yaml:2: layers: must be globs and rules"),
        (
            "schema: 1\npatern: dense\n",
            r"p\.yaml:2: .*unknown key 'patern' \(did you mean 'pattern'",
        ),
        ('schema: 1\npattern: "8:99"\n', r"p\.yaml:2: pattern: pattern 8:99: N:M needs"),
        ("schema: 1\npattern: 816\n", r"p\.yaml:2: pattern: a pattern is a text like 8:16, not"),
        ("schema: 1\nlayers:\n  a: 8.16\n", r"p\.yaml:3: .*a text like 8:16, not 8\.16"),
        ("schema: 1\nlayers:\n  a: sparse\n", r"p\.yaml:3: layers\.a: unknown pattern 'sparse'"),
        ("schema: 1\ncriterion: amper\n", r"p\.yaml:2: .*'amper' \(did you mean 'amber'\?\)"),
        ("schema: 1\nlayers:\n  a: {criterion: x}\n", r"p\.yaml:3: .*unknown criterion 'x'"),
        ("schema: 1\nmitigation: rsparse0\n", r"p\.yaml:2: .*unknown mitigation 'rsparse0'"),
        (
            "schema: 1\nlayers:\n  a: {layers: {}}\n",
            "unknown key 'layers'.*pattern, criterion, mit",
        ),
        ("schema: 1\nlayers: dense\n", r"p\.yaml:2: layers: "),
        ("- dense\n", r"p\.yaml"),
        ("schema: [\n", r"p\.yaml"),
        ("", r"p\.yaml"),
    ],
)
def test_mistakes_are_one_line_with_file_and_place(load, text, message):
    with pytest.raises(InputError, match=message) as error:
        load(text)
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match="none"):
        load_policy(tmp_path / "none.yaml", FALLBACK)


def test_a_rule_for_no_layer_is_refused():
    policy = Policy(FALLBACK, (("*.up_proj", FALLBACK), ("*.upproj", FALLBACK)), "p.yaml")
    with pytest.raises(
        InputError, match=r"p\.yaml: no layer matches '\*\.upproj'.*; there are mod"
    ):
        policy.check(LAYERS)
    Policy(FALLBACK, (("*.up_proj", FALLBACK),)).check(LAYERS)
    Policy(FALLBACK).check([])


patterns = st.sampled_from(["dense", "2:4", "8:16", "topk:0.5", "threshold:0.25"])
mitigations = st.sampled_from(["none", "var", "dpts", "spts", "lpts", "ls", "rsparse7"])
methods = st.builds(method, patterns, st.sampled_from(sorted(CRITERIA)), mitigations)
globs = st.sampled_from(["*", "*.up_proj", "model.layers.0.*", "*.down_*", "?", "[ab]*"])


@given(default=methods, rules=st.dictionaries(globs, methods), other=methods)
def test_writing_a_policy_and_reading_it_again_changes_nothing(
    tmp_path_factory, default, rules, other
):
    policy = Policy(default, tuple(rules.items()))
    path = tmp_path_factory.mktemp("policy") / "p.yaml"
    path.write_text(yaml.safe_dump(policy.to_dict(), sort_keys=False), encoding="utf-8")
    again = load_policy(path, other)
    assert (again.default, again.rules) == (policy.default, policy.rules)


@given(default=methods, rules=st.lists(st.tuples(globs, methods), max_size=5))
def test_the_last_rule_that_matches_counts(default, rules):
    policy = Policy(default, tuple(rules))
    for layer in [*LAYERS, "a", "zz"]:
        expected = default
        for glob, chosen in rules:
            if with_one_rule(glob, layer):
                expected = chosen
        assert policy.of(layer) == expected
    assert policy.methods[0] == default
    assert set(policy.methods) == {default, *(chosen for _, chosen in rules)}
    assert len(set(policy.methods)) == len(policy.methods)


def with_one_rule(glob, layer):
    """Whether one of the globs used here matches, said without globs."""
    return {
        "*": True,
        "*.up_proj": layer.endswith(".up_proj"),
        "model.layers.0.*": layer.startswith("model.layers.0."),
        "*.down_*": ".down_" in layer,
        "?": len(layer) == 1,
        "[ab]*": layer[0] in "ab",
    }[glob]


def test_a_method_is_written_without_what_goes_without_saying():
    assert str(method("8:16")) == "8:16"
    assert str(method("8:16", "clact")) == "8:16 clact"
    assert str(method("8:16", "act", "rsparse64")) == "8:16 rsparse64"
    assert str(method("topk:0.5", "amber", "var")) == "topk:0.5 amber var"


# --- names that look like globs ------------------------------------------------------------------

LIST = ["blk[0].up", "blk[0].down", "blk[1].up"]


def test_a_rule_that_spells_out_a_name_is_for_that_layer():
    dense, half = method("dense"), method("2:4")
    policy = Policy(FALLBACK, (("blk[0].up", dense), ("blk[[]1*", half)))
    policy.check(LIST)
    assert [policy.of(name) for name in LIST] == [dense, FALLBACK, half]


def test_a_name_that_is_a_glob_for_another_layer_is_ambiguous():
    policy = Policy(FALLBACK, (("blk[0].up", method("dense")),), "p.yaml")
    with pytest.raises(InputError, match=r"p\.yaml: 'blk\[0\]\.up' is a layer, .*'blk0\.up' as"):
        policy.check([*LIST, "blk0.up"])
    policy.check(["blk0.up", "blk1.up"])  # a glob


def test_flags_that_name_layers_read_names_before_globs():
    assert select(LIST, "blk[0].up,*.down") == {"blk[0].up", "blk[0].down"}
    assert select([*LIST, "blk0.up"], "blk[0].up") == {"blk[0].up"}
    assert select(["blk0.up"], "blk[0].up") == {"blk0.up"}
    linear = Linear(name="blk[0].up", input="x", in_features=4, out_features=4)
    assert Window(("blk[0].up",)).shows(linear)
    assert not Window(("blk[1].up",)).shows(linear)
