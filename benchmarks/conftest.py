"""What `pytest benchmarks` takes beside its own options."""


def pytest_addoption(parser):
    parser.addoption(
        "--quick", action="store_true", help="one round on small arrays: shows that benchmarks run"
    )
