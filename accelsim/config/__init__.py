"""Architecture files: strict YAML to a typed machine."""

from accelsim.config.architecture import Architecture
from accelsim.config.loader import load_arch

__all__ = ["Architecture", "load_arch"]
