"""A good architecture file, and variations of it."""

from pathlib import Path

import pytest

from accelsim.base.errors import InputError
from accelsim.config import load_arch

ROOT = Path(__file__).parents[2]
NM816 = (ROOT / "arch_configs" / "nm816.yaml").read_text(encoding="utf-8")
DENSE = (ROOT / "arch_configs" / "dense.yaml").read_text(encoding="utf-8")


class Edited:
    """The text of an architecture file with one passage replaced, and the line it stands on."""

    def __init__(self, path, text, line):
        self.path, self.text, self.line = path, text, line

    def load(self, *overrides):
        return load_arch(self.path, overrides)

    def refused(self, *parts, line=None, overrides=()):
        """Load; return the message: one line that names the file, `line`, and all `parts`."""
        with pytest.raises(InputError) as caught:
            load_arch(self.path, overrides)
        message = str(caught.value)
        assert "\n" not in message
        where = f"{self.path}:{line}: " if line else f"{self.path}"
        assert message.startswith(where)
        for part in parts:
            assert part in message
        return message


@pytest.fixture
def write(tmp_path):
    """Write an architecture file with any contents."""

    def _write(contents):
        path = tmp_path / "a.yaml"
        path.write_bytes(contents if isinstance(contents, bytes) else contents.encode())
        return Edited(path, contents, None)

    return _write


@pytest.fixture
def edit(write):
    """Replace one passage of the 8:16 (or dense) machine, and remember its line."""

    def _edit(old, new, *, base="nm816"):
        text = {"nm816": NM816, "dense": DENSE}[base]
        assert text.count(old) == 1, f"{old!r} must stand once in {base}.yaml"
        edited = write(text.replace(old, new))
        edited.line = text[: text.index(old)].count("\n") + 1
        return edited

    return _edit
