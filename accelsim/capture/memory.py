"""Whether a model fits into memory, before its weights are loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from accelsim.capture.extra import require

_WORKING_SHARE = 1.1  # of the weights: activations and what libraries hold beside them
_CGROUP = Path("/sys/fs/cgroup")


def parameters_of(architecture: Any, config: Any) -> int:
    """Return the parameters of a model, shared ones once, without making any of them."""
    torch = require("torch")
    with torch.device("meta"):
        from_config = getattr(architecture, "from_config", None)
        model = from_config(config) if from_config else architecture(config)
    return sum(weight.numel() for weight in model.parameters())


def needed_bytes(parameters: int, bytes_per_parameter: int) -> int:
    """Return the memory that a model takes while it runs on short sequences."""
    return int(_WORKING_SHARE * parameters * bytes_per_parameter)


def available_bytes(device: str) -> int | None:
    """Return the memory that is free on a device; None if nobody knows."""
    if device.startswith("cuda"):
        free, _ = require("torch").cuda.mem_get_info(device)
        return int(free)
    known = [size for size in (_free_of_machine(), _left_of_cgroup()) if size is not None]
    return min(known, default=None)


def _free_of_machine() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:  # not Linux
        return None
    sizes = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(sizes[0]) * 1024 if sizes else None


def _left_of_cgroup() -> int | None:
    """Return the bytes that a container may still use."""
    try:
        limit = (_CGROUP / "memory.max").read_text(encoding="ascii").strip()
        used = (_CGROUP / "memory.current").read_text(encoding="ascii")
        parts = dict(line.split() for line in (_CGROUP / "memory.stat").read_text().splitlines())
    except OSError:
        return None
    files = int(parts.get("inactive_file", 0))  # cached, and given up when memory runs short
    return None if limit == "max" else max(0, int(limit) - int(used) + files)
