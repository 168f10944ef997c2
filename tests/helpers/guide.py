"""The examples of the guide as modules, so that tests are of what the page shows."""

import re
import sys
from contextlib import ExitStack, contextmanager
from types import ModuleType
from unittest.mock import patch

from accelsim.dataflows import DATAFLOWS
from accelsim.hardware import UNITS
from tests.helpers.small import ROOT

PAGE = ROOT / "docs" / "guide" / "extend.md"


@contextmanager
def examples(*files):
    """Run files of the page, in order, as modules of the package; forget them afterwards.

    Yields:
        One namespace with what all of them define.
    """
    text, found = PAGE.read_text(encoding="utf-8"), {}
    with ExitStack() as forgotten:
        for registry in (UNITS, DATAFLOWS):
            forgotten.enter_context(patch.dict(registry._known))
        for file in files:
            (body,) = re.findall(
                rf"^```python file={re.escape(file)}\n(.*?)^```$", text, re.M | re.S
            )
            name = file.removesuffix(".py").replace("/", ".")
            module = sys.modules[name] = ModuleType(name)
            forgotten.callback(sys.modules.pop, name)
            exec(compile(body, file, "exec"), vars(module))
            found |= vars(module)
        yield found
