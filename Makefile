# `make run` and `make test` are all a newcomer needs. Everything is installed into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The CPU build of torch is a tenth of the size of the default one on Linux, so its index is tried
# first; where that cannot be reached, whatever pip is set up to find is taken.
TORCH ?= torch==2.13.0
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
# As an entry of the path: found even where a script lies beside a clone called accelsim.
EDITABLE := --config-settings editable_mode=compat --editable
comma := ,
# Python compiles what it imports; to compile all 17,000 files that torch brings takes a minute.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile

.DEFAULT_GOAL := help
.PHONY: always help run test check lint types imports format bench bench-peers experiments readme schema capture-traces clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

run: $(VENV)/.run  ## install without torch and simulate 8:16 on the shipped Llama trace
	$(BIN)/accelsim run arch_configs/nm816.yaml --trace traces/llama.npz

test: $(VENV)/.dev  ## install test needs and run the whole suite
	@.ci/tools
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

check: lint types imports test  ## everything that the gate checks

lint: $(VENV)/.dev  ## style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev  ## static types
	$(BIN)/mypy

imports: $(VENV)/.dev  ## who may import whom
	$(BIN)/lint-imports --no-logo 2>/dev/null || $(BIN)/lint-imports

format: $(VENV)/.dev  ## rewrite the code in the house style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# QUICK=1 makes everything small: it shows that benchmarks run, not how fast anything is.
quick = $(if $(QUICK),--quick)
bench: $(VENV)/.dev  ## time engine, selection, commands, Llama-3-8B shapes and sweeps; ratios from one run
	$(BIN)/python -m pytest benchmarks --benchmark-only --benchmark-group-by=group -o addopts="" \
	  --benchmark-json=.benchmarks/speed.json --benchmark-columns=median,iqr,rounds $(quick)
	$(BIN)/python benchmarks/ratios.py .benchmarks/speed.json
	$(BIN)/python benchmarks/llama8b.py $(quick)
	$(BIN)/python benchmarks/sweep.py $(quick)

bench-peers: $(VENV)/.run  ## the same GEMM on other simulators from PyPI (minutes, gigabytes)
	$(BIN)/python benchmarks/peers/run.py

experiments: $(VENV)/.dev  ## draw every figure and write every table of experiments/ again (a quarter of an hour or more)
	$(BIN)/python experiments/run_all.py

readme: $(VENV)/.dev  ## write into the README and the guide what their commands print
	$(BIN)/python .ci/pages.py update

schema: $(VENV)/.run  ## write the JSON Schema and the tables of keys of architecture files
	$(BIN)/python .ci/schema.py update

capture-traces: $(VENV)/.dev  ## capture the shipped traces again from the shipped models
	$(BIN)/accelsim capture --model traces/models/llama-docs-16m --text traces/text/capture.txt \
	  --tokens 256 --seq-len 32 --layers '*.layers.*' --out traces/llama.npz
	$(BIN)/accelsim capture --model traces/models/llama-docs-16m-relu --text traces/text/capture.txt \
	  --tokens 256 --seq-len 32 --layers '*.layers.*' --out traces/llama_relu.npz

clean:  ## remove everything that was made here
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache *.egg-info

# Run by `make` each time: it makes .venv where none serves, and only then touches the file.
$(VENV)/.made: always
	@.ci/venv '$(PYTHON)' $(if $(filter file,$(origin PYTHON)),,asked)

# What is interrupted may leave halves of packages behind; what pip itself ends does not.
install = @trap 'exit 1' INT TERM; touch $(VENV)/.unfinished; $(1); \
  status=$$?; [ $$status -gt 127 ] || rm $(VENV)/.unfinished; exit $$status

$(VENV)/.run: $(VENV)/.made pyproject.toml
	$(call install,$(PIP) $(EDITABLE) .)
	@touch $@

$(VENV)/.dev: $(VENV)/.run
	$(call install,$(PIP) --retries 0 --timeout 10 --index-url $(TORCH_INDEX) $(TORCH) 2>/dev/null \
	  || $(PIP) $(TORCH))
	$(call install,$(PIP) $(EDITABLE) '.[capture$(comma)dev]')
	@touch $@
