"""The rules of units and dataflows, for those that you write: no test framework is needed.

    >>> from accelsim.testing import check_unit
    >>> from accelsim.hardware import Statistics
    >>> check_unit(Statistics)

Each call raises AssertionError with one sentence for each rule that is broken. The tests of the
package hold its own units and dataflows to the same rules.
"""

from accelsim.testing.harness import check_dataflow, check_unit

__all__ = ["check_dataflow", "check_unit"]
