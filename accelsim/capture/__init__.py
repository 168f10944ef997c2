"""Capture: run a model and keep what enters its linear layers.

The only package that uses torch and transformers. Both are imported when a function needs them,
so importing this package works without them; using it then raises `MissingExtraError`.
"""

from accelsim.capture.module import capture
from accelsim.capture.pretrained import capture_pretrained
from accelsim.capture.run import Progress

__all__ = ["Progress", "capture", "capture_pretrained"]
