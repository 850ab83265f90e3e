# Needs Python 3.11. `make demo` and `make test` set everything up themselves.
PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: help venv demo test test-faults lint bench interop interop-ci clean

help:
	@echo "make venv   create or refresh $(VENV), with everything installed through constraints.txt"
	@echo "make demo   train RELED on gridtown for five minutes and show what it learnt"
	@echo "make test   run the test suite"
	@echo "make test-faults  kill processes, fill disks and stop servers in the middle of training; takes minutes"
	@echo "make lint   check style, format and types"
	@echo "make bench  measure speed against the raw sumo binary and RLlib's PPO, what programs cost, and a device's start-up"
	@echo "make interop  run the environment in other libraries, all but RLlib in virtual environments under .interop"
	@echo "make interop-ci  the same for two of them, as CI does"
	@echo "make clean  remove $(VENV) and caches (not runs/)"

venv: $(VENV)/installed

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt setuptools wheel
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --editable '.[train,llm,plot,export,dev]'
	touch $@

demo: venv
	$(BIN)/sumo-marl import networks/gridtown.osm
	$(BIN)/reled train --scenario gridtown --demand moderate --agents 10 --llm offline/planner --minutes 5 --epochs 60

# Three files at a time: of the two cores each needs one now and then, while processes start and servers are waited for.
# The tests of one file share what is costly to set up, and small networks are slower with more threads.
test: venv
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

test-faults: venv
	$(BIN)/python -m pytest -m faults

lint: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: venv
	$(BIN)/python benchmarks/env_speed.py
	$(BIN)/python benchmarks/env_speed.py --isolated
	$(BIN)/python benchmarks/grid_speed.py
	$(BIN)/python benchmarks/epoch_cost.py
	$(BIN)/python benchmarks/ppo_curves.py
	$(BIN)/python benchmarks/program_overhead.py
	$(BIN)/python benchmarks/deployment.py

interop: venv
	$(BIN)/python examples/interop/run_all.py

# Quick: RLlib needs no environment of its own, and the one of Stable-Baselines3 is the smallest.
interop-ci: venv
	$(BIN)/python examples/interop/run_all.py --smoke rllib stable_baselines3

clean:
	rm -rf $(VENV) .interop .pytest_cache .ruff_cache .mypy_cache .hypothesis build dist *.egg-info
