"""Every wrong architecture file is one line: file, line, key, what is wrong, what is allowed."""

import pytest

from accelsim.base.errors import InputError
from accelsim.config import load_arch

# --- the file ------------------------------------------------------------------------------------


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match=r"none\.yaml: cannot read: No such file"):
        load_arch(tmp_path / "none.yaml")


def test_a_folder(write):
    edited = write("")
    edited.path = edited.path.parent
    edited.refused("Is a directory")


@pytest.mark.parametrize("text", ["", "# nothing\n", "- a\n- b\n", "just text", "3", "~"])
def test_not_a_mapping(write, text):
    write(text).refused("must be a mapping")


@pytest.mark.parametrize("data", [b"\xff\xfe\x00\x81", b"\x80abc", "é: 1".encode("latin-1")])
def test_not_utf8(write, data):
    write(data).refused("not a text file in UTF-8")


@pytest.mark.parametrize("data", [b"\x00\x01\x02", b"a: \x07\n", b"name: \x1b[31m\n"])
def test_control_characters(write, data):
    write(data).refused("YAML")


def test_much_too_large(write):
    write("a: 1\n" + "#" * 2**20).refused("larger than", "not an architecture file")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: [1,\n", 2),
        ("a: 1\nb: }\n", 2),
        ("a: 1\n\tb: 2\n", 2),
        ("a: 1\nb: *nothing\n", 2),
        ("a: 1\n  b: 2\n", 2),
        ('a: 1\nb: "open\n', 3),
    ],
)
def test_yaml_syntax(write, text, line):
    write(text).refused("YAML", line=line)


def test_another_version_of_yaml(write):
    write("%YAML 1.1\n---\nclock_mhz: 01000\n").refused("read as YAML 1.2", line=1)
    write("%YAML 1.2\n---\na: 1\n").refused("unknown key 'a'", line=3)


@pytest.mark.parametrize("text", ["a: 1\n---\nb: 2\n"])
def test_two_documents(write, text):
    write(text).refused("another document")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: 1\nb: !!python/object:os.system {}\n", 2),
        ("a: 1\nb: !tag 3\n", 2),
        ("a: 1\n? [1, 2]\n: 3\n", 2),
    ],
)
def test_yaml_that_cannot_be_built(write, text, line):
    write(text).refused("YAML", line=line)


@pytest.mark.parametrize(
    "text", ["a: " + "[" * 3000, "a: &x {b: *x}\n", "a: &x [*x]\n"], ids=["deep", "map", "list"]
)
def test_yaml_without_an_end(write, text):
    write(text).refused()


def test_a_key_given_twice(edit):
    edited = edit("precision: int8", "precision: int8\nclock_mhz: 2")
    edited.refused("key 'clock_mhz' is given twice (first on line 5)", line=edited.line + 1)


def test_a_nested_key_given_twice(edit):
    edited = edit("{standard: lpddr4,", "{standard: lpddr4, standard: hbm2,")
    edited.refused("key 'dram.standard' is given twice", line=edited.line)


# --- unknown and missing keys --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "key", "nearest"),
    [
        ("tiling: auto", "tilling: auto", "tilling", "tiling"),
        ("format: bitmask", "fromat: bitmask", "fromat", "format"),
        (
            "kind: full",
            "kind: full, pipeline_stage: 2",
            "crossbar.pipeline_stage",
            "pipeline_stages",
        ),
        ("instances: 4", "instance: 4", "selector.instance", "instances"),
        ("latency_ns: 100", "latency: 100", "dram.latency", "latency_ns"),
        ("{table: nangate45}", "{table: nangate45, node: 45}", "technology.node", "node_nm"),
        (
            "port_bytes: 256",
            "port_bytes: 256, double_bufered: true",
            "buffers.weights.double_bufered",
            "double_buffered",
        ),
        (
            "tiling: auto",
            "tiling: {tokens: 8, columns: 8, reduction: 16, ordr: tokens_outer}",
            "tiling.ordr",
            "order",
        ),
    ],
)
def test_an_unknown_key_is_named_with_the_nearest(edit, old, new, key, nearest):
    edited = edit(old, new)
    message = edited.refused(f"unknown key '{key}'", line=edited.line)
    assert f"(did you mean '{nearest}'?); allowed: " in message


@pytest.mark.parametrize(
    ("old", "new", "key", "nearest"),
    [
        ("clock_mhz: 1000", "clok_mhz: 1000", "clok_mhz", "clock_mhz"),
        ("pattern:", "patern:", "patern", "pattern"),
        ("buffers:", "bufers:", "bufers", "buffers"),
        ("  weights:", "  weigths:", "buffers.weigths", "weights"),
        ("port_bytes: 256", "port_byte: 256", "buffers.weights.port_byte", "port_bytes"),
        ("bandwidth_gb_per_s", "bandwidth_gbps", "dram.bandwidth_gbps", "bandwidth_gb_per_s"),
        ("lanes: 16", "lane: 16", "mac_array.lane", "lanes"),
        (
            "tiling: auto",
            "tiling: {tokens: 8, colums: 8, reduction: 16}",
            "tiling.colums",
            "columns",
        ),
    ],
)
def test_a_misspelt_required_key_is_an_unknown_key_first(edit, old, new, key, nearest):
    # "clock_mhz is missing" would be true, but the reader sees clok_mhz in the file.
    edited = edit(old, new)
    edited.refused(f"unknown key '{key}' (did you mean '{nearest}'?)", line=edited.line)


def test_an_unknown_key_like_nothing_lists_what_is_allowed(edit):
    edited = edit("tiling: auto", "zzz: 1")
    message = edited.refused("unknown key 'zzz'; allowed: buffers, clock_mhz,", line=edited.line)
    assert "schema_" not in message


def test_a_key_that_is_not_a_text(edit):
    edited = edit("tiling: auto", "7: 1")
    edited.refused("'7'", line=edited.line)


@pytest.mark.parametrize(
    ("old", "key", "line_of"),
    [
        ("name: nm816\n", "name", None),
        ("clock_mhz: 1000\n", "clock_mhz", None),
        ("mac_array: {rows: 8, columns: 8, lanes: 16}\n", "mac_array", None),
        (", lanes: 16", "mac_array.lanes", "mac_array"),
        (", port_bytes: 256", "buffers.weights.port_bytes", "  weights"),
        (" bandwidth_gb_per_s: 64,", "dram.bandwidth_gb_per_s", "dram"),
    ],
)
def test_a_missing_key_is_named_with_the_section_that_lacks_it(edit, old, key, line_of):
    edited = edit(old, "")
    line = None
    if line_of:
        lines = edited.text.splitlines()
        line = next(i for i, text in enumerate(lines, 1) if text.startswith(f"{line_of}:"))
    edited.refused(f"key '{key}' is missing", line=line)


def test_a_missing_number_says_its_unit(edit):
    edit(" bandwidth_gb_per_s: 64,", "").refused("a number in GB/s")


# --- wrong values --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "key", "allowed"),
    [
        ("clock_mhz: 1000", "clock_mhz: 1 GHz", "clock_mhz", "a number in MHz"),
        ("clock_mhz: 1000", 'clock_mhz: "1000"', "clock_mhz", "number"),
        ("clock_mhz: 1000", "clock_mhz: true", "clock_mhz", "number"),
        ("clock_mhz: 1000", "clock_mhz: 0", "clock_mhz", "greater than 0"),
        ("clock_mhz: 1000", "clock_mhz: .inf", "clock_mhz", "finite"),
        ("clock_mhz: 1000", "clock_mhz: [1]", "clock_mhz", "number"),
        ("clock_mhz: 1000", "clock_mhz:", "clock_mhz", "number"),
        ("clock_mhz: 1000", "clock_mhz: 5e-324", "clock_mhz", "greater than 0.001"),
        ("_gb_per_s: 64", "_gb_per_s: 1.7e308", "dram.bandwidth_gb_per_s", "less than or equal"),
        ("_gb_per_s: 64", "_gb_per_s: 64 GB/s", "dram.bandwidth_gb_per_s", "a number in GB/s"),
        ("_gb_per_s: 64", "_gb_per_s: 0", "dram.bandwidth_gb_per_s", "greater than"),
        ("_gb_per_s: 64", "_gb_per_s: -64", "dram.bandwidth_gb_per_s", "greater than"),
        ("_gb_per_s: 64", "_gb_per_s: .inf", "dram.bandwidth_gb_per_s", "finite"),
        ("_gb_per_s: 64", "_gb_per_s: .nan", "dram.bandwidth_gb_per_s", "finite"),
        ("latency_ns: 100", "latency_ns: -1", "dram.latency_ns", "greater than or equal to 0"),
        ("burst_bytes: 64", "burst_bytes: 0", "dram.burst_bytes", "greater than 0"),
        ("burst_bytes: 64", "burst_bytes: 64.5", "dram.burst_bytes", "integer"),
        ("burst_bytes: 64", "burst_bytes: 64 B", "dram.burst_bytes", "a number in bytes"),
        ("lanes: 16", "lanes: 16.5", "mac_array.lanes", "integer"),
        ("lanes: 16", "lanes: 0", "mac_array.lanes", "greater than 0"),
        ("lanes: 16", "lanes: 1000000", "mac_array.lanes", "1024"),
        ("instances: 4", "instances: four", "selector.instances", "integer"),
        ("instances: 4", "instances: -4", "selector.instances", "greater than 0"),
        ("capacity_kib: 256", "capacity_kib: 256 KiB", "buffers.weights.capacity_kib", "in KiB"),
        ("capacity_kib: 256", "capacity_kib: 1e300", "buffers.weights.capacity_kib", ""),
        ("port_bytes: 256", "port_bytes: 0", "buffers.weights.port_bytes", "greater than 0"),
        ("schema: 1", "schema: 2", "schema", "should be 1"),
        ("schema: 1", 'schema: "1"', "schema", "should be 1"),
        ("name: nm816", "name: 5", "name", "string"),
        ("name: nm816", 'name: ""', "name", ""),
        ("precision: int8", "precision: int5", "precision", "allowed: bf16, fp16, fp8, int4, int8"),
        ("precision: int8", "precision: 8", "precision", "allowed: bf16, fp16, fp8, int4, int8"),
        ("precision: int8", "precision:", "precision", "allowed: bf16, fp16, fp8, int4, int8"),
        ("format: bitmask", "format: bitmap", "format", "did you mean 'bitmask'"),
        (
            "format: bitmask",
            "format: combinadic",
            "format",
            "no machine stores format 'combinadic'",
        ),
        ("kind: full", "kind: ful", "crossbar", "did you mean 'full'"),
        ("kind: rank", "kind: rnak", "selector", "did you mean 'rank'"),
        (
            "kind: rank, ",
            "",
            "selector",
            "needs a 'kind'; allowed: bitonic, cascade, pairs, radix, rank",
        ),
        ("kind: rank", "kind: 3", "selector", "allowed: bitonic, cascade, pairs, radix, rank"),
        ("kind: rank", "kind: [rank]", "selector", "allowed: bitonic, cascade, pairs, radix, rank"),
        (
            "tiling: auto",
            "tiling: {tokens: 8, columns: 8, reduction: -16}",
            "tiling.reduction",
            "greater than 0",
        ),
        (
            "tiling: auto",
            "tiling: {tokens: 8, columns: 8, reduction: 16, order: inner}",
            "tiling.order",
            "'reduction_outer' or 'reduction_columns_outer'",
        ),
    ],
)
def test_a_wrong_value_names_the_key_and_what_is_allowed(edit, old, new, key, allowed):
    edited = edit(old, new)
    message = edited.refused(f"key '{key}'", line=edited.line)
    assert allowed in message


@pytest.mark.parametrize(
    ("field", "value"),
    [("double_buffered", '"yes"'), ("double_buffered", "1"), ("double_buffered", "2")],
)
def test_a_switch_is_true_or_false(edit, field, value):
    edited = edit("port_bytes: 256", f"port_bytes: 256, {field}: {value}")
    edited.refused(f"key 'buffers.weights.{field}'", line=edited.line)


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("{kind: rank, instances: 4}", "rank", "selector"),
        ("{kind: full}", "full", "crossbar"),
        ("{rows: 8, columns: 8, lanes: 16}", "8x8x16", "mac_array"),
        ("{table: nangate45}", "45", "technology"),
    ],
)
def test_a_value_where_a_section_belongs_says_so_without_class_names(edit, old, new, key):
    edited = edit(old, new)
    message = edited.refused(f"key '{key}'", line=edited.line)
    assert "instance of" not in message  # Python classes mean nothing to the reader


@pytest.mark.parametrize(
    "tiling",
    ["automatic", "{}", "{objectve: cycles}", "{objective: cycles, tokens: 8}", "[auto]", "null"],
)
def test_a_tiling_that_is_neither_says_what_there_is(edit, tiling):
    edited = edit("tiling: auto", f"tiling: {tiling}")
    message = edited.refused("key 'tiling': ", "auto", "an objective alone", line=edited.line)
    assert "TilingChoice" not in message


# --- patterns ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ('"9:8"', "1 <= N <= M <= 64"),
        ('"8:128"', "1 <= N <= M <= 64"),
        ('"0:4"', "1 <= N <= M <= 64"),
        ('"8/16"', "allowed: dense, or N:M"),
        ("sparse", "allowed: dense, or N:M"),
        ('""', "allowed: dense, or N:M"),
        ("1:300", "1 <= N <= M <= 64"),
        ("1:30.5", "allowed: dense, or N:M"),
        ("true", "allowed: dense, or N:M"),
        ("", "allowed: dense, or N:M"),
        ("[8, 16]", "allowed: dense, or N:M"),
        ("8.5", "allowed: dense, or N:M"),
    ],
)
def test_a_wrong_pattern(edit, pattern, said):
    edited = edit('pattern: "8:16"', f"pattern: {pattern}")
    edited.refused("key 'pattern': ", said, line=edited.line)


# --- parts that do not fit together --------------------------------------------------------------


def test_an_unknown_dram_standard(edit):
    edited = edit("standard: lpddr4", "standard: lpdr4")
    edited.refused("dram.standard", "'lpdr4' (did you mean 'lpddr4'?)", "hbm2", line=edited.line)


def test_an_unknown_technology_table(edit):
    edited = edit("table: nangate45", "table: nangate54")
    edited.refused("technology.table", "'nangate54' (did you mean 'nangate45'?)", line=edited.line)


@pytest.mark.parametrize("node", [3, 6.9, 65.1, 450])
def test_a_node_out_of_range(edit, node):
    edited = edit("{table: nangate45}", f"{{table: nangate45, node_nm: {node}}}")
    edited.refused("technology.node_nm", f"{node:g}", "7 to ", line=edited.line)


def test_a_sparse_machine_needs_a_selector(edit):
    edit("selector: {kind: rank, instances: 4}", "").refused(
        "pattern '8:16' needs 'selector', which is missing"
    )


def test_a_sparse_machine_needs_a_compressed_buffer(edit):
    edit("  compressed: {", "  # {").refused(
        "pattern '8:16' needs 'buffers.compressed', which is missing"
    )


def test_a_sparse_machine_needs_a_crossbar(edit):
    edited = edit("{kind: full}", "{kind: none}")
    edited.refused("crossbar", "needs a crossbar that routes", line=edited.line)


def test_a_sparse_machine_without_a_word_on_the_crossbar(edit):
    edit("crossbar: {kind: full}", "").refused("needs a crossbar that routes")


@pytest.mark.parametrize(
    ("key", "extra"),
    [
        ("selector", "selector: {kind: rank}"),
        ("crossbar", "crossbar: {kind: full}"),
    ],
)
def test_a_dense_machine_has_no_sparse_parts(edit, key, extra):
    edited = edit("tiling: auto", extra, base="dense")
    edited.refused(key, "pattern 'dense'", line=edited.line)


def test_a_dense_machine_has_no_compressed_buffer(edit):
    edited = edit(
        "  outputs:", "  compressed: {capacity_kib: 64, port_bytes: 160}\n  outputs:", base="dense"
    )
    edited.refused("buffers.compressed", "pattern 'dense'", line=edited.line)


def test_keeping_one_of_one_is_dense_and_the_message_says_what_was_written(edit):
    edit('pattern: "8:16"', 'pattern: "1:1"').refused("1:1")


@pytest.mark.parametrize("macros", [3, 1000])
def test_a_port_that_does_not_divide(edit, macros):
    edited = edit("port_bytes: 160, macros: 4", f"port_bytes: 160, macros: {macros}")
    edited.refused(
        "key 'buffers.compressed'",
        f"port_bytes 160 must divide by macros {macros}",
        line=edited.line,
    )


def test_a_clock_that_asks_for_more_stages_than_there_are(edit):
    edited = edit("clock_mhz: 1000", "clock_mhz: 1e6")
    edited.refused("clock_mhz: it asks for crossbar.pipeline_stages ", "64", line=edited.line)


# --- --set ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("clock_mhz", "write key=value"),
        ("=3", "write key=value"),
        ("", "write key=value"),
        ("clock_mhz.x=2", "'clock_mhz' is a value, not a section"),
        ("dram.bandwidth_gb_per_s=[", "YAML"),
        ("dram.bandwith_gb_per_s=3", "did you mean 'bandwidth_gb_per_s'"),
        ("clok_mhz=3", "did you mean 'clock_mhz'"),
        ("clock_mhz=-1", "greater than 0"),
        ("clock_mhz=fast", "a number in MHz"),
        ("pattern=9:8", "1 <= N <= M <= 64"),
        ("selector.kind=rnak", "did you mean 'rank'"),
        ("dram.standard=lpdr4", "did you mean 'lpddr4'"),
        ("a.b.c=1", "unknown key"),
        ("dram.=1", "unknown key"),
        ("selector=null", "needs 'selector'"),
    ],
)
def test_a_wrong_override_says_so(edit, text, said):
    # The file is right, so its line would mislead: the message names the flag as well.
    edited = edit("name: nm816", "name: nm816")
    with pytest.raises(InputError) as caught:
        edited.load(text)
    message = str(caught.value)
    assert "\n" not in message
    assert said in message
    assert f"--set {text}" in message


@pytest.mark.parametrize(
    ("texts", "path", "value"),
    [
        (["clock_mhz=500"], ("clock_mhz",), 500),
        (["dram.bandwidth_gb_per_s=12.8"], ("dram", "bandwidth_gb_per_s"), 12.8),
        (
            ["buffers.weights.double_buffered=false"],
            ("buffers", "weights", "double_buffered"),
            False,
        ),
        (["pattern=4:8"], ("pattern",), "4:8"),
        (['pattern="4:8"'], ("pattern",), "4:8"),
        (["pattern='4:8'"], ("pattern",), "4:8"),
        (["clock_mhz=500", "clock_mhz=700"], ("clock_mhz",), 700),
        ([" clock_mhz = 500"], ("clock_mhz",), 500),
        (["selector={kind: radix, pipelined: true}"], ("selector", "pipelined"), True),
        (["tiling={tokens: 8, columns: 8, reduction: 16}"], ("tiling", "order"), "tokens_outer"),
        (["format=index"], ("format",), "index"),
        (["name=a=b"], ("name",), "a=b"),
        (["crossbar.pipeline_stages=3"], ("crossbar", "pipeline_stages"), 3),
    ],
)
def test_overrides_replace_or_add_keys(edit, texts, path, value):
    resolved = edit("name: nm816", "name: nm816").load(*texts).resolved()
    for key in path:
        resolved = resolved[key]
    assert resolved == value


def test_an_override_can_repair_a_file(edit):
    edited = edit("clock_mhz: 1000", "clock_mhz: fast")
    assert edited.load("clock_mhz=900").clock_mhz == 900


def test_an_override_does_not_change_the_file(edit):
    edited = edit("name: nm816", "name: nm816")
    before = edited.path.read_text()
    edited.load("clock_mhz=900")
    assert edited.path.read_text() == before
    assert edited.load().clock_mhz == 1000
