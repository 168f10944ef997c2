"""`synth`: of a public model or of a file of shapes, not of both, and what it says of experts."""

import json

import pytest

CSV = "name,tokens,in_features,out_features\na,5,64,64\nb,,64,32\n"


@pytest.fixture
def shapes(tmp_path):
    (tmp_path / "s.csv").write_text(CSV, encoding="utf-8")
    return tmp_path / "s.csv"


def test_a_file_of_shapes(accepted, shapes, tmp_path, arch):
    out = tmp_path / "t.npz"
    done = accepted("synth", "--shapes", shapes, "--tokens", 8, "--out", out, "--json")
    about = json.loads(done.out)
    assert (about["model"], about["linears"], about["tokens"]) == ("s.csv", 2, 8)
    layers = json.loads(accepted("run", arch("nm816"), "--trace", out, "--json").out)["layers"]
    assert [layer["macs_dense"] for layer in layers] == [5 * 64 * 64, 8 * 64 * 32]


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ((), "give --model for a public model, or --shapes"),
        (("--model", "llama-3-8b", "--shapes", "s.csv"), "give --model"),
        (("--model", "llama-3-8b"), "--model needs --tokens"),
        (("--shapes", "s.csv", "--layers", 1), "--layers is for public models"),
        (("--shapes", "s.csv", "--quantiles", "q.npz"), "--quantiles is for public models"),
        (
            ("--shapes", "s.csv", "--tokens", 4, "--distribution", "quantiles"),
            "is for public models",
        ),
        (
            ("--shapes", "s.csv", "--tokens", 4, "--distribution", "gausian"),
            "did you mean 'gaussian'",
        ),
        (("--shapes", "s.csv"), "'b' has no tokens"),
        (("--shapes", "s.csv", "--tokens", 0), "at least 1"),
        (("--shapes", "s.csv", "--tokens", 2**32), "a trace holds at most 2147483648"),
        (("--model", "mixtral-8x22b", "--tokens", 1), "did you mean 'mixtral-8x7b'"),
    ],
)
def test_what_does_not_go_together(refused, shapes, monkeypatch, flags, says):
    monkeypatch.chdir(shapes.parent)
    assert says in refused("synth", *flags, "--out", "t.npz")
    assert not (shapes.parent / "t.npz").exists()


def test_it_says_how_tokens_are_routed(accepted, tmp_path):
    flags = ("--tokens", 8, "--layers", 1, "--distribution", "none", "--out", tmp_path / "t.npz")
    assert (
        "tokens go to 2 of 8 experts in turn"
        in accepted("synth", "--model", "mixtral-8x7b", *flags).words
    )
    assert "experts" not in accepted("synth", "--model", "llama-3-8b", *flags).words
