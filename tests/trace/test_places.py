"""Where layers stand in models of several kinds, told from their names and shapes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim.trace.places import grid, places

BERT = [
    *("attention.self.query", "attention.self.key", "attention.self.value"),
    *("attention.output.dense", "intermediate.dense", "output.dense"),
]
LLAMA = ["self_attn.q_proj", "self_attn.o_proj", "mlp.up_proj", "mlp.down_proj"]


def kinds_of(layers):
    return {name: place.kind for name, place in places(layers).items()}


def test_bert_has_a_kind_a_layer_of_a_block():
    names = [f"encoder.layer.{i}.{name}" for i in range(12) for name in BERT] + ["pooler.dense"]
    found = places(names)
    wanted = ["query", "key", "value", "attention.output.dense", "intermediate.dense"]
    wanted += ["layer.output.dense", "pooler.dense"]
    assert list(dict.fromkeys(place.kind for place in found.values())) == wanted
    blocks, kinds, at = grid({name: place[:2] for name, place in found.items()})
    assert (blocks, kinds) == ([*map(str, range(12)), "-"], wanted)
    assert {len(members) for members in at.values()} == {1}
    assert found["encoder.layer.3.output.dense"].label == "3.layer.output.dense"


def test_llama_keeps_the_last_part_of_its_names():
    names = [f"model.layers.{i}.{name}" for i in range(2) for name in LLAMA] + ["lm_head"]
    assert [place.kind for place in places(names).values()] == [
        *("q_proj", "o_proj", "up_proj", "down_proj") * 2,
        "lm_head",
    ]
    assert places(names)["model.layers.1.mlp.up_proj"] == ("1", "up_proj", "1.up_proj")


def test_experts_of_a_block_are_of_one_kind_and_keep_their_own_labels():
    names = [f"layers.{i}.mlp.experts.{e}.w1" for i in range(2) for e in range(3)]
    found = places([*names, "layers.0.mlp.shared.w1"])
    assert {found[name].kind for name in names} == {"experts.w1"}
    assert found["layers.1.mlp.experts.2.w1"].label == "1.2.experts.w1"
    _, _, at = grid({name: place[:2] for name, place in found.items()})
    assert at["1", "experts.w1"] == names[3:]


def test_equal_names_of_other_shapes_in_a_block_are_other_kinds():
    # A mixer: 0 mixes tokens, 1 mixes channels, in every block.
    shapes = {f"b.{i}.{part}.fc": (8 << part, 64) for i in range(2) for part in range(2)}
    assert list(kinds_of(shapes).values()) == ["0.fc", "1.fc"] * 2
    assert set(kinds_of(list(shapes)).values()) == {"fc"}  # names alone do not tell


@pytest.mark.parametrize(
    ("names", "kinds"),
    [
        (["0", "2"], ["0", "2"]),  # nn.Sequential
        (["h.0.mlp.0", "h.0.mlp.2", "h.1.mlp.0"], ["mlp.0", "mlp.2", "mlp.0"]),
        (["h.0.attn.c_proj", "h.0.mlp.c_proj", "head"], ["attn.c_proj", "mlp.c_proj", "head"]),
        (["fc", "a.fc", "b.a.fc"], ["fc", "a.fc", "b.a.fc"]),  # each ends as the one before
        (
            ["encoder.block.0.q", "decoder.block.0.q", "decoder.block.0.k"],
            ["encoder.block.q", "decoder.block.q", "k"],
        ),
    ],
)
def test_a_kind_is_as_much_of_the_end_as_tells_it_apart(names, kinds):
    assert list(kinds_of(names).values()) == kinds


parts = st.sampled_from(["a", "b", "0", "1", "fc"])
dotted = st.lists(parts, min_size=1, max_size=5).map(".".join)


@given(names=st.lists(dotted, min_size=1, max_size=12, unique=True))
def test_labels_are_unique_and_kinds_differ_where_names_differ(names):
    found = places(names)
    assert len({place.label for place in found.values()}) == len(names)

    def without_numbers(name):
        *inner, last = name.split(".")
        return [part for part in inner if not part.isdigit()] + [last]

    for one in names:
        for other in names:
            same = without_numbers(one) == without_numbers(other)
            assert (found[one].kind == found[other].kind) == same
