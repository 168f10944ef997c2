"""Tiny models whose activations can be computed by hand, and a way to save tiny checkpoints."""

import pytest

torch = pytest.importorskip("torch")


def scaled(features, factor):
    """A linear layer that multiplies by `factor`, without bias."""
    layer = torch.nn.Linear(features, features, bias=False)
    layer.weight = torch.nn.Parameter(factor * torch.eye(features))
    return layer


@pytest.fixture
def doubling():
    """Three layers in a row, each times two: inputs x, 2x and 4x."""
    return torch.nn.Sequential(*(scaled(2, 2.0) for _ in range(3)))


@pytest.fixture
def out(tmp_path):
    """A path for the trace in a folder of its own, so that nothing else should lie there."""
    folder = tmp_path / "out"
    folder.mkdir()
    return folder / "t.npz"


@pytest.fixture
def text(tmp_path):
    """40 words of a 15-word vocabulary; each is one token."""
    path = tmp_path / "text.txt"
    path.write_text(" ".join(f"w{index * 7 % 15}" for index in range(40)), encoding="utf-8")
    return path


@pytest.fixture
def save(tmp_path):
    """Save a model with a word tokenizer (16 entries) and return the folder."""
    pytest.importorskip("tokenizers")
    pytest.importorskip("transformers")
    from tests.helpers.checkpoints import save_checkpoint

    return lambda model, name="tiny": save_checkpoint(model, tmp_path / name)
