"""A tiny Llama with random weights, and ids for it to read."""

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from tests.helpers.checkpoints import subject_of, tiny_llama  # noqa: E402


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    """Threads that wait for each other are slower than one for matrices this small."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def subject():
    """Return the tiny Llama as accuracy sees it; nothing may change it."""
    return subject_of(tiny_llama())


@pytest.fixture(scope="session")
def ids():
    """Return 200 random token ids."""
    return torch.randint(0, 64, (200,), generator=torch.Generator().manual_seed(1))
