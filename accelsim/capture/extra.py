"""The optional dependencies of this package, imported on use."""

from __future__ import annotations

import importlib
from typing import Any

from accelsim.base.errors import MissingExtraError


def require(module: str) -> Any:
    """Import and return a module of the `capture` extra; raise MissingExtraError without it."""
    package = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != package:
            raise  # installed, but itself broken: that story is told by the original error
        raise MissingExtraError(package, "capture") from error
