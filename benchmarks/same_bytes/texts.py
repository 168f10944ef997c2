"""Files that runs read; `{tree}` is the checkout, `{out}` the folder of the run."""

from __future__ import annotations

METHODS_POLICY = """schema: 1
layers:
  "*.up_proj": dense
  "*.o_proj": {pattern: "2:4", criterion: clact}
  "*.down_proj": {pattern: "4:8", mitigation: rsparse16}
  "*.layers.0.*": {mitigation: dpts}
  "*.layers.1.*": {criterion: amber, mitigation: var}
"""

RATES_SWEEP = """schema: 1
name: rates
base: [{tree}/arch_configs/dense.yaml, {tree}/arch_configs/nm816.yaml]
traces: {tree}/traces/llama.npz
phases: [prefill, decode]
batches: [1, 4]
axes:
  dram.bandwidth_gb_per_s: [1, 64]
  dram.latency_ns: [10, 1000]
  dram.store_lag_tiles: [0, 4]
  buffers.weights.port_bytes: [16, 256]
  buffers.outputs.port_bytes: [4, 64]
"""
UNITS_SWEEP = """schema: 1
name: units
base: {tree}/arch_configs/nm816.yaml
traces: [{tree}/traces/llama.npz, {tree}/traces/llama_relu.npz]
linked:
  - pattern: ["2:4", "16:32"]
    selector.kind: [radix, cascade]
axes:
  selector.instances: [1, 8]
  crossbar.kind: [full, logshift]
  buffers.activations.port_bytes: [8, 128]
  buffers.compressed.port_bytes: [16, 160]
  mac_array.columns: [8, 12]
  clock_mhz: [500, 2500]
constraints: [area_um2 <= 6e6]
"""
POLICY_SWEEP = """schema: 1
name: policies
base: {tree}/arch_configs/nm816.yaml
traces: {tree}/traces/llama.npz
phases: [prefill, decode]
batches: [2]
policies: [none, {tree}/arch_configs/policies/but_up_and_o.yaml, {out}/methods.yaml]
axes:
  epilogue: [{lanes: 1}, {lanes: 8}]
  dram.bandwidth_gb_per_s: [1, 64]
  technology.node_nm: [45, 7]
"""
ISO_AREA_SWEEP = """schema: 1
name: iso_area
base: {tree}/arch_configs/nm816.yaml
traces: {tree}/traces/llama.npz
iso_area: {reference: {tree}/arch_configs/nm816_bf16.yaml, scale: columns}
axes:
  precision: [int8, fp8, bf16]
  mitigation: [none, var, spts]
  pre_scaler: [null, {lanes: 4}]
"""
SEARCH = """schema: 1
name: search
base: {tree}/arch_configs/nm816.yaml
traces: {tree}/traces/llama.npz
mode: optuna
points: 30
objectives: [area_um2, effective_tops]
search: {population: 10, against_random: true}
axes:
  mac_array.columns: [4, 8, 16]
  buffers.weights.capacity_kib: {from: 32, to: 512, factor: 2}
  dram.bandwidth_gb_per_s: {from: 8, to: 256, factor: 2}
"""
TINY_SHAPES = """name,in_features,out_features,tokens
first,100,48,20
second,64,130,20
third,17,3,20
"""
