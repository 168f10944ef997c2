"""Random pruning methods on random machines."""

from hypothesis import strategies as st

from accelsim.sparsity.criteria import CRITERIA
from accelsim.sparsity.mitigations import MITIGATIONS
from tests.helpers.random_machines import PATTERNS, machines
from tests.helpers.small import changed

CRITERION_NAMES = sorted(name for name in CRITERIA if not CRITERIA[name].ranks_weights)
MITIGATION_NAMES = sorted(
    f"{n}3" if n == "rsparse" else n
    for n in MITIGATIONS
    if n != "residual"  # fp4 only
)
SPARSE = tuple(pattern for pattern in PATTERNS if pattern != "dense")
# A machine makes one pass over X; these two want one each.
METHODS = [
    (criterion, mitigation)
    for criterion in CRITERION_NAMES
    for mitigation in MITIGATION_NAMES
    if (criterion, mitigation) != ("clact", "dpts")
]


@st.composite
def pruning_machines(draw, methods=METHODS):
    """A random sparse machine with a method, whose units may be the narrow ones."""
    arch = draw(machines(SPARSE))
    criterion, mitigation = draw(st.sampled_from(methods))
    arch = with_method(arch, criterion, mitigation)
    lanes = {f"{key}.lanes": draw(st.integers(1, 70)) for key in arch.method_units}
    return changed(arch, lanes)


def with_method(arch, criterion, mitigation):
    """Return a machine with a method, and the units that it asks for."""
    arch = changed(arch, {"criterion": criterion, "mitigation": mitigation})
    return arch.equipped([arch.method])
