"""Shapes of public models: published counts, latent attention, experts and their tokens."""

import pytest

import accelsim as acs
from accelsim.base.errors import InputError
from accelsim.trace.shapes import model_shape, model_shapes
from accelsim.trace.synthetic import Routing

# Parameters as published, in 10⁹, and those of embedding and head (vocabulary × hidden, two of
# them unless tied), which are no layers of a trace.
PUBLISHED = {
    "llama-3-8b": (8.03, 2 * 128_256 * 4096),
    "llama-3-70b": (70.6, 2 * 128_256 * 8192),
    "llama-3.1-405b": (405.9, 2 * 128_256 * 16384),
    "qwen2.5-72b": (72.7, 2 * 152_064 * 8192),
    "mixtral-8x7b": (46.7, 2 * 32_000 * 4096),
    "deepseek-v3": (671.0, 2 * 129_280 * 7168),
    "gpt-oss-20b": (20.9, 2 * 201_088 * 2880),
}
ACTIVE = {  # parameters that a token runs, embedding apart
    "mixtral-8x7b": (12.9, 2 * 32_000 * 4096),
    "deepseek-v3": (36.6, 129_280 * 7168),
    "gpt-oss-20b": (3.6, 201_088 * 2880),
}


def synth(model, tmp_path, **options):
    options = {"tokens": 64, "distribution": "none"} | options
    return acs.synthesise(model, tmp_path / "t.npz", **options)


def weights(trace, rows=lambda _: 1):
    return sum(rows(one.input) * one.in_features * one.out_features for one in trace.linears)


@pytest.mark.parametrize("model", PUBLISHED)
def test_parameters_add_up_to_what_is_published(model):
    published, others = PUBLISHED[model]
    linears = model_shape(model).linears()
    parameters = sum(one.in_features * one.out_features for one in linears) + others
    assert parameters / 1e9 == pytest.approx(published, rel=2e-3)


@pytest.mark.parametrize("model", ACTIVE)
def test_a_token_runs_the_parameters_that_are_published(model, tmp_path):
    published, others = ACTIVE[model]
    layers = {"layers": 4} if model == "deepseek-v3" else {}  # 3 dense blocks and 1 of 58
    trace = synth(model, tmp_path, **layers)
    active = weights(trace, trace.meta.rows) / trace.tokens
    if layers:
        dense = weights(synth(model, tmp_path, layers=3))
        active = dense + 58 * (active - dense)
    assert (active + others) / 1e9 == pytest.approx(published, rel=0.01)


def test_every_model_says_where_its_numbers_are_from():
    assert all(len(shape.source) > 20 for shape in model_shapes().values())


def test_latent_attention_by_hand():
    found = {
        one.name.rsplit(".", 1)[-1]: (one.in_features, one.out_features)
        for one in model_shape("deepseek-v3").linears()
        if one.name.startswith("model.layers.0.self_attn")
    }
    assert found == {
        "q_a_proj": (7168, 1536),
        "q_b_proj": (1536, 128 * 192),
        "kv_a_proj_with_mqa": (7168, 576),
        "kv_b_proj": (512, 128 * 256),
        "o_proj": (128 * 128, 7168),
    }


def test_the_first_blocks_of_deepseek_have_no_experts(tmp_path):
    names = [one.name for one in synth("deepseek-v3", tmp_path, layers=4).linears]
    blocks = {name.split(".")[2] for name in names if ".experts." in name}
    assert blocks == {"3"}
    assert sum(".shared_experts." in name for name in names) == 3


# --- experts and their tokens --------------------------------------------------------------------


@pytest.mark.parametrize("lengths", [(64,), (10, 1, 7), (1,), (3, 8, 8, 9)])
@pytest.mark.parametrize(("experts", "per_token"), [(8, 2), (32, 4), (6, 4), (5, 3), (4, 4)])
def test_every_token_goes_to_as_many_experts(experts, per_token, lengths):
    routing, tokens = Routing(experts=experts, per_token=per_token), sum(lengths)
    numbers = [routing.numbers(expert, tokens).tolist() for expert in range(experts)]
    reached = [sum(token in own for own in numbers) for token in range(tokens)]
    assert reached == [per_token] * tokens
    assert max(map(len, numbers)) - min(map(len, numbers)) <= 1
    ends = [sum(lengths[: i + 1]) for i in range(len(lengths))]
    for expert, own in enumerate(numbers):
        starts = [end - length for end, length in zip(ends, lengths, strict=True)]
        counted = tuple(
            sum(start <= token < end for token in own)
            for start, end in zip(starts, ends, strict=True)
        )
        assert routing.lengths(expert, lengths) == counted


def test_experts_run_their_share_and_all_others_every_token(tmp_path):
    trace = synth("mixtral-8x7b", tmp_path, layers=1, tokens=60, seq_len=20)
    for one in trace.linears:
        assert trace.meta.rows(one.input) == (15 if ".experts." in one.name else 60)
    result = acs.simulate("arch_configs/nm816.yaml", trace)
    by_kind = {layer.name: layer.tokens for layer in result.layers}
    assert by_kind["model.layers.0.mlp.experts.7.up_proj"] == 15
    assert by_kind["model.layers.0.mlp.gate"] == 60


def test_experts_without_tokens_are_left_out(tmp_path):
    names = [one.name for one in synth("mixtral-8x7b", tmp_path, layers=1, tokens=3).linears]
    assert {name.split(".")[5] for name in names if ".experts." in name} == set("012345")


def test_a_decode_step_runs_the_experts_of_its_tokens(tmp_path):
    trace = synth("mixtral-8x7b", tmp_path, layers=1, tokens=8, seq_len=4, distribution="gaussian")
    result = acs.simulate("arch_configs/dense.yaml", trace, phase="decode", batch=2)
    tokens = {layer.name: layer.tokens for layer in result.layers}
    experts = [n for name, n in tokens.items() if name.endswith("up_proj")]
    assert sum(experts) == 2 * tokens["model.layers.0.self_attn.q_proj"] == 2 * 8


def test_values_of_an_expert_are_drawn_for_its_tokens(tmp_path):
    trace = synth("mixtral-8x7b", tmp_path, layers=1, tokens=8, distribution="laplace")
    key = "model.layers.0.mlp.experts.1.gate_proj"
    assert trace.values(key).shape == (2, 4096)
    assert trace.token_numbers(key).tolist() == [0, 4]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"layers": 62}, "1 to 61 blocks"),
        ({"layers": 0}, "1 to 61 blocks"),
        ({"tokens": 10**6, "seq_len": 1}, "take fewer sequences, or --layers"),
        ({"tokens": 2**31, "seq_len": 1}, "sequences; a trace holds at most"),
    ],
)
def test_more_than_a_trace_holds_is_refused_with_its_number(options, says, tmp_path):
    with pytest.raises(InputError, match=says):
        synth("deepseek-v3", tmp_path, **options)


def test_quantiles_that_a_model_has_no_array_for(tmp_path):
    import numpy as np

    names = ("attn_in", "o_proj_in", "mlp_in", "down_proj_in")
    table = np.tile(np.linspace(-1, 1, 5), (61, 1))
    np.savez(tmp_path / "q.npz", **dict.fromkeys(names, table))
    with pytest.raises(InputError, match="quantiles of 'q_b_proj'"):
        synth("deepseek-v3", tmp_path, layers=1, quantiles=tmp_path / "q.npz")
    trace = synth("mixtral-8x7b", tmp_path, layers=1, quantiles=tmp_path / "q.npz")
    assert abs(trace.values("model.layers.0.mlp.experts.0.gate_proj")).max() <= 1
