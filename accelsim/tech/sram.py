from dataclasses import dataclass

NATIVE_NODES_NM = (45, 32, 22)


@dataclass(frozen=True, slots=True)
class SramCost:
    read_pj: float
    write_pj: float
    leakage_mw: float
    area_um2: float
    cycle_time_ns: float


def sram_cost(*, capacity_bytes: int, width_bytes: int, banks: int, node_nm: float) -> SramCost:
    return SramCost(1.0 * width_bytes, 1.0 * width_bytes, 1.0, capacity_bytes * 8 * 0.5, 1.0)
