"""Keys that are set on a shipped machine, so that each part is once the narrow one, by name."""

from __future__ import annotations

# Keys of nm816 that are set; prefill, and decode with 4 sequences where that is another path.
VARIANTS = {
    # Selectors, crossbars, formats, patterns
    "bitonic": "selector.kind=bitonic",
    "cascade": "selector.kind=cascade",
    "cascade_pipelined": "selector={kind: cascade, pipelined: true, instances: 2}",
    "radix": "selector.kind=radix",
    "radix_pipelined": "selector={kind: radix, pipelined: true, instances: 4}",
    "selector_by_hand": "selector={kind: rank, instances: 3, extra_stages: 2, step_cycles: 2}",
    "window": "crossbar.kind=window",
    "logshift": "crossbar.kind=logshift",
    "hierarchical": "crossbar.kind=hierarchical",
    "crossbar_by_hand": "crossbar={kind: full, pipeline_stages: 3}",
    "index": "format=index",
    "pattern_1_4": "pattern=1:4 format=index",
    "pattern_3_5": "pattern=3:5",
    "pattern_32_64": "pattern=32:64 crossbar.kind=logshift",
    "pattern_8_8": "pattern=8:8",
    # Precisions, technology, clocks, arrays
    "fp8": "precision=fp8",
    "bf16": "precision=bf16",
    "fp16": "precision=fp16",
    "node_65": "technology.node_nm=65",
    "node_16": "technology.node_nm=16",
    "node_7": "technology.node_nm=7 clock_mhz=2000",
    "clock_50": "clock_mhz=50",
    "clock_3000": "clock_mhz=3000",
    "clock_2000_cascade": "clock_mhz=2000 selector.kind=cascade crossbar.kind=hierarchical",
    "array_3_5_7": "mac_array={rows: 3, columns: 5, lanes: 7}",
    "array_32_16_64": "mac_array={rows: 32, columns: 16, lanes: 64, stage_cycles: 2}",
    "hbm3e": "dram={standard: hbm3e, bandwidth_gb_per_s: 819, latency_ns: 60, burst_bytes: 32}",
    # Methods
    "amber": "criterion=amber",
    "clact": "criterion=clact",
    "clact_fp16": "criterion=clact precision=fp16",
    "dpts": "mitigation=dpts",
    "spts": "mitigation=spts",
    "lpts": "mitigation=lpts",
    "ls": "mitigation=ls",
    "var": "mitigation=var",
    "rsparse64": "mitigation=rsparse64",
    "amber_dpts": "criterion=amber mitigation=dpts",
    "clact_rsparse16": "criterion=clact mitigation=rsparse16",
    "narrow_clact_var": "criterion=clact mitigation=var statistics={lanes: 1}"
    " pre_scaler={lanes: 2} moments={lanes: 3} epilogue={lanes: 1}",
    "narrow_dpts": "mitigation=dpts statistics={lanes: 1} pre_shifter={lanes: 2, table_kib: 4}",
    "given_units": "moments={} epilogue={} pre_shifter={kinds: [channel]}",
    # Cramped machines
    "slow_dram": "dram.bandwidth_gb_per_s=1",
    "far_dram": "dram.latency_ns=5000 dram.burst_bytes=256",
    "store_lag_0": "dram.store_lag_tiles=0 dram.bandwidth_gb_per_s=4",
    "store_lag_32": "dram.store_lag_tiles=32 dram.bandwidth_gb_per_s=4",
    "small_buffers": "buffers.activations.capacity_kib=2 buffers.weights.capacity_kib=4"
    " buffers.outputs.capacity_kib=1 buffers.compressed.capacity_kib=1",
    "single_buffers": "buffers.activations.double_buffered=false"
    " buffers.weights.double_buffered=false buffers.outputs.double_buffered=false"
    " buffers.compressed.double_buffered=false",
    "narrow_activations": "buffers.activations.port_bytes=4",
    "narrow_weights": "buffers.weights.port_bytes=16",
    "narrow_outputs": "buffers.outputs.port_bytes=4",
    "narrow_compressed": "buffers.compressed={capacity_kib: 3, port_bytes: 5, banks: 2}",
    "one_selector": "selector.instances=1",
    "tokens_outer": "tiling={tokens: 24, reduction: 128, columns: 40}",
    "columns_outer": "tiling={tokens: 24, reduction: 128, columns: 40, order: columns_outer}",
    "cramped": "tiling={tokens: 8, reduction: 64, columns: 16} dram.bandwidth_gb_per_s=1"
    " dram.store_lag_tiles=1 selector.instances=1 buffers.outputs.port_bytes=4",
    "cramped_method": "tiling={tokens: 16, reduction: 64, columns: 24, order: columns_outer}"
    " criterion=clact mitigation=rsparse16 dram.bandwidth_gb_per_s=1 buffers.weights.port_bytes=8",
}
ALSO_DECODE = (
    *("cascade", "radix_pipelined", "hierarchical", "pattern_1_4", "pattern_3_5", "fp8"),
    *("clock_3000", "array_3_5_7", "amber", "clact", "dpts", "lpts", "var", "rsparse64"),
    *("narrow_clact_var", "slow_dram", "store_lag_0", "single_buffers", "narrow_weights"),
    *("tokens_outer", "columns_outer", "cramped", "cramped_method"),
)
# For `accelsim area`, which sees no trace: tables of units have a size of its own.
ALSO_AREA = (
    *("radix_pipelined", "hierarchical", "fp16", "node_7", "clock_3000", "array_32_16_64"),
    *("narrow_compressed", "amber_dpts", "narrow_clact_var", "clact_rsparse16"),
)

# Keys of `dense` that are set; both phases.
DENSE_VARIANTS = {
    "slow_dram": "dram.bandwidth_gb_per_s=1 dram.store_lag_tiles=0",
    "bf16": "precision=bf16 technology.node_nm=16",
    "columns_outer": "tiling={tokens: 24, reduction: 100, columns: 40, order: columns_outer}",
    "small_buffers": "buffers.activations.capacity_kib=2 buffers.weights.capacity_kib=4"
    " buffers.outputs.capacity_kib=1",
}
