"""Exact arithmetic: float64 throughout, the same digits whatever kernels torch picks."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.checkpoints import subject_of, tiny_llama

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from accelsim.accuracy.arithmetic import jittered, running  # noqa: E402
from accelsim.accuracy.hooks import rows_of, watching  # noqa: E402
from accelsim.accuracy.perplexity import measure, rounding_noise  # noqa: E402
from accelsim.accuracy.pruning import DENSE, Pruner  # noqa: E402
from accelsim.accuracy.windows import sliding_windows  # noqa: E402
from accelsim.sparsity import parse_pattern  # noqa: E402
from accelsim.sparsity.policy import Method, Policy  # noqa: E402

ROOT = Path(__file__).parents[2]
EIGHT = Policy(Method(parse_pattern("8:16"), "act", "none"))
KERNELS = ({"ATEN_CPU_CAPABILITY": "default"}, {"ATEN_CPU_CAPABILITY": "avx2"}, {})


@pytest.fixture(scope="module")
def exact():
    return subject_of(tiny_llama().double())


def test_no_value_of_an_exact_model_is_shorter_than_float64(exact, ids):
    seen = {}

    def look(_, __, output):
        for tensor in output if isinstance(output, tuple) else (output,):
            if isinstance(tensor, torch.Tensor) and tensor.is_floating_point():
                # Of a tensor that was float32 on its way, the last 29 bits are zero.
                bits = tensor.view(torch.int64) & (2**29 - 1)
                seen.setdefault(str(tensor.dtype), []).append(bool(bits.any()))

    handles = [module.register_forward_hook(look) for module in exact.model.modules()]
    with running(exact.model):
        exact.model(input_ids=ids[None, :32], use_cache=False)
    for handle in handles:
        handle.remove()
    assert seen.keys() == {"torch.float64"}
    # All but the embedding, which passes float32 weights on.
    assert seen["torch.float64"].count(False) == 1
    assert len(seen["torch.float64"]) > 20


def test_a_hook_gets_the_types_that_it_asks_for(exact, ids):
    kinds = []

    def look(_, *arguments):
        rows = rows_of(*arguments)
        kinds.append((rows.dtype, rows.float().dtype))

    modules = {name: linear.module for name, linear in exact.linears.items()}
    with running(exact.model), watching(modules, look):
        exact.model(input_ids=ids[None, :8], use_cache=False)
    assert set(kinds) == {(torch.float64, torch.float32)}


def test_exact_and_float32_agree_where_nothing_is_dropped(subject, exact, ids):
    windows = sliding_windows(len(ids), 64, 32)
    single, double = (
        measure(one.model, ids, windows, Pruner(one.linears, Policy(DENSE)))
        for one in (subject, exact)
    )
    assert double.mean == pytest.approx(single.mean, rel=1e-5)
    assert double.mean != single.mean


def test_noise_is_far_below_the_loss_dense_and_larger_pruned(subject, ids):
    windows = sliding_windows(len(ids), 16, 16)
    noises = []
    for policy in (Policy(DENSE), EIGHT):
        pruner = Pruner(subject.linears, policy, precision="int8")
        found = measure(subject.model, ids, windows, pruner)
        seen = (subject.model, ids, windows, pruner, found)
        assert rounding_noise(*seen, repeats=0) is found
        noises.append(rounding_noise(*seen, repeats=2).perplexity_noise / found.perplexity)
        assert rounding_noise(*seen, repeats=2).perplexity_noise / found.perplexity == noises[-1]
    assert 0 < noises[0] < 0.05
    assert 0 < noises[1] < 0.05


def test_jitter_is_a_millionth_of_the_embeddings_and_goes_away(subject, ids):
    embed = subject.model.get_input_embeddings()
    plain = embed(ids)
    with jittered(subject.model, 0):
        moved = embed(ids)
    ratio = (moved / plain - 1).abs()[plain.abs() > 1e-3]
    assert 0.5e-6 < ratio.min() <= ratio.max() < 2e-6
    assert torch.equal(embed(ids), plain)


def accuracy(kernels, *arguments):
    command = [sys.executable, "-m", "accelsim", "accuracy", "--json", *arguments]
    environment = {**os.environ, **kernels}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=True)
    report = json.loads(done.stdout)
    return [report["dense"]["perplexity"], *(row["perplexity"] for row in report["rows"])]


@pytest.mark.slow
def test_exact_perplexities_of_the_shipped_model_are_those_of_any_processor():
    asked = ["--exact", "--tokens", "160", "--repeats", "0", "--precision", "int8"]
    asked += ["--patterns", "2:4,8:16", "--mitigations", "none,var"]
    first, *others = (accuracy(kernels, *asked) for kernels in KERNELS)
    for other in others:
        assert other == pytest.approx(first, rel=1e-12)
