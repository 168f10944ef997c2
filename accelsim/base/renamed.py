"""Names of earlier versions, which are still written beside the new ones and still read.

In the next version: delete this module; of every `both(old, value)` the new name is left, of every
`with_new_names(record)` the record, of every `new_name(name)` the name.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

# Old to new: keys of JSON, columns of CSV and sweeps, facts of studies, values of options.
RENAMED = MappingProxyType(
    {
        "dropped_energy_ratio": "dropped_squared_magnitude_ratio",  # all but `accuracy`
        "lost_energy_ratio": "dropped_squared_magnitude_ratio",  # `accuracy`
        "lost_energy": "dropped_squared_magnitude",  # `policy search --proxy`
        "relative_drop": "perplexity_increase_ratio",  # this and the next two: `accuracy`
        "relative_drop_stderr": "perplexity_increase_ratio_stderr",
        "relative_drop_noise": "perplexity_increase_ratio_noise",
    }
)


def both(old: str, value: Any) -> dict[str, Any]:
    """Return a value under its old name and its new one, the old one first.

    >>> both("relative_drop", 0.25)
    {'relative_drop': 0.25, 'perplexity_increase_ratio': 0.25}
    """
    return {old: value, RENAMED[old]: value}


def new_name(name: str) -> str:
    """Return the name of today for one that may be old.

    >>> new_name("lost_energy"), new_name("output_error")
    ('dropped_squared_magnitude', 'output_error')
    """
    return RENAMED.get(name, name)


def with_new_names(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record that any version has written, its values under their new names as well.

    >>> with_new_names({"relative_drop": 0.25})
    {'relative_drop': 0.25, 'perplexity_increase_ratio': 0.25}
    """
    new = {RENAMED[old]: value for old, value in record.items() if old in RENAMED}
    return {**record, **{name: value for name, value in new.items() if name not in record}}
