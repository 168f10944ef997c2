"""Traces of matrix products from a file: YAML and CSV say the same, and bad rows are named."""

import pytest

import accelsim as acs
from accelsim.base.errors import InputError

YAML = """
gemms:
  - {name: qkv, in_features: 64, out_features: 96, count: 2}
  - {name: expert, tokens: 3, in_features: 64, out_features: 32}
"""
CSV = """\
name, tokens, in_features, out_features, count
qkv,, 64, 96, 2
expert, 3, 64, 32,
"""


@pytest.fixture
def made(tmp_path):
    def _made(text, suffix=".yaml", **options):
        file = tmp_path / f"shapes{suffix}"
        file.write_text(text, encoding="utf-8")
        return acs.synthesise_gemms(file, tmp_path / "t.npz", **options)

    return _made


@pytest.mark.parametrize(("text", "suffix"), [(YAML, ".yaml"), (CSV, ".csv"), (CSV, ".CSV")])
def test_rows_become_layers(made, text, suffix):
    trace = made(text, suffix, tokens=8)
    assert [(one.name, one.in_features, one.out_features) for one in trace.linears] == [
        ("0.qkv", 64, 96),
        ("1.qkv", 64, 96),
        ("expert", 64, 32),
    ]
    assert [trace.meta.rows(one.input) for one in trace.linears] == [8, 8, 3]
    result = acs.simulate("arch_configs/nm816.yaml", trace)
    assert [layer.macs_dense for layer in result.layers] == [8 * 64 * 96, 8 * 64 * 96, 3 * 64 * 32]


def test_tokens_of_the_file_are_enough_if_every_row_has_them(made):
    text = "name,tokens,in_features,out_features\na,5,64,64\nb,7,64,64\n"
    trace = made(text, ".csv")
    assert trace.tokens == 7
    assert [trace.meta.rows(one.input) for one in trace.linears] == [5, 7]


def test_decode_needs_rows_that_are_tokens(made):
    plain = made("gemms: [{name: a, in_features: 64, out_features: 64}]", tokens=4, seq_len=2)
    assert acs.simulate("arch_configs/nm816.yaml", plain, phase="decode", batch=2).cycles
    own = made(YAML, tokens=8, seq_len=4)
    with pytest.raises(InputError, match="'expert' has 3 rows that are not tokens"):
        acs.simulate("arch_configs/dense.yaml", own, phase="decode", batch=2)


ROW = "gemms: [{{name: {}, in_features: {}, out_features: {}, count: {}}}]"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("gemms: []", "has no rows"),
        ("gemms: {a: 1}", "needs 'gemms', a list"),
        ("layers: []", "unknown key 'layers'; allowed: gemms"),
        ("gemms: [3]", r"gemms\[0\]: must be a mapping"),
        ("gemms: [{name: a, in_features: 4}]", r"gemms\[0\]: 'out_features' is missing"),
        (
            "gemms: [{name: a, in_feature: 4, out_features: 4}]",
            r"gemms\[0\]: unknown key 'in_feature' \(did you mean 'in_features'\?\)",
        ),
        (ROW.format("a", 0, 4, 1), "in_features 0: .*greater than 0"),
        (ROW.format("a", -4, 4, 1), "in_features -4"),
        (ROW.format("a", 4.5, 4, 1), "in_features 4.5: .*integer"),
        (ROW.format("a", "yes", 4, 1), "in_features .*integer"),
        (ROW.format("a", 2**40, 4, 1), "less than or equal to 2147483648"),
        (ROW.format("a", 4, 4, 10**9), "count 1000000000"),
        (ROW.format('"a b"', 4, 4, 1), "name 'a b'"),
        (ROW.format('"a\\e[31m"', 4, 4, 1), r"name 'a\\x1b\[31m'"),
        (
            "gemms: [{name: a, in_features: 4, out_features: 4}, {name: a, in_features: 4, "
            "out_features: 4}]",
            "2 layers are called 'a'; use count",
        ),
        (
            "gemms:\n" + 2 * "- {name: a, in_features: 4, out_features: 4, count: 65536}\n",
            "131072 layers; at most 65536",
        ),
    ],
)
def test_bad_yaml_names_the_row(made, text, says):
    with pytest.raises(InputError, match=says) as caught:
        made(text, tokens=4)
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "has no rows"),
        ("name,in_features,out_features\n", "has no rows"),
        ("name,in_features\na,4\n", r"\.csv:2: 'out_features' is missing"),
        ("name,in_features,out_features\na,4\n", r"\.csv:2: must have the columns"),
        ("name,in_features,out_features\na,4,5,6\n", r"\.csv:2: must have the columns"),
        ("name,in_features,out_features\na,4,x\n", r"\.csv:2: out_features 'x'"),
        ("name,in_features,out_features\na,4,1e3\n", r"\.csv:2: out_features '1e3'"),
        ("name,in_features,out_features\n,4,5\n", r"\.csv:2: 'name' is missing"),
        ("name,k,out_features\na,4,5\n", r"\.csv:2: unknown key 'k'"),
    ],
)
def test_bad_csv_names_the_line(made, text, says):
    with pytest.raises(InputError, match=says):
        made(text, ".csv", tokens=4)


def test_files_that_cannot_be_read(made, tmp_path):
    with pytest.raises(InputError, match="cannot read"):
        acs.synthesise_gemms("/dev/zero", tmp_path / "t.npz", tokens=1)
    with pytest.raises(InputError, match="cannot read"):
        acs.synthesise_gemms(tmp_path / "none.csv", tmp_path / "t.npz", tokens=1)
    with pytest.raises(InputError, match="'qkv' has no tokens"):
        made(YAML)
    (tmp_path / "b.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not UTF-8"):
        acs.synthesise_gemms(tmp_path / "b.csv", tmp_path / "t.npz", tokens=1)
