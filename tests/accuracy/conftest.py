"""A tiny Llama with random weights, and ids for it to read."""

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from oracle.checkpoints import subject_of, tiny_llama  # noqa: E402


@pytest.fixture(scope="session")
def subject():
    """Return the tiny Llama as accuracy sees it; nothing may change it."""
    return subject_of(tiny_llama())


@pytest.fixture(scope="session")
def ids():
    """Return 200 random token ids."""
    return torch.randint(0, 64, (200,), generator=torch.Generator().manual_seed(1))
