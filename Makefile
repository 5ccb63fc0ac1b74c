# The one way in: `make demo` dresses somebody, `make test` proves it, from a bare checkout.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# torch 2.13.0 is the version CI has as a CPU build; other CPU builds do as well.
TORCH ?= torch==2.13.0

.PHONY: demo test check venv venv-demo kernels clean

demo: venv-demo
	@mkdir -p out
	$(BIN)/fuw-run examples/person_1.jpg examples/garment_1.jpg -o out/demo.jpg --sheet out/demo_sheet.jpg
	@echo "picture: out/demo.jpg   every stage: out/demo_sheet.jpg"

test: venv
	$(MAKE) check

check:
	$(BIN)/ruff check .
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -p no:cacheprovider -n auto --dist loadfile

# The demo installs the runtime alone: no torch.
venv-demo: $(VENV)/.demo
$(VENV)/.demo: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --upgrade pip setuptools wheel
	PYTHONWARNINGS=ignore $(BIN)/pip install -q -e '.[cpu]'
	@touch $@

venv: $(VENV)/.dev
$(VENV)/.dev: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --upgrade pip setuptools wheel
	$(BIN)/pip install -q '$(TORCH)'
	PYTHONWARNINGS=ignore $(BIN)/pip install -q -e '.[cpu,export,dev]'
	$(BIN)/pip install -q --no-deps carvekit
	@touch $@

# Needs nvcc; the fatbin is committed with the hash of its sources.
kernels:
	$(PYTHON) kernels/build.py

clean:
	rm -rf $(VENV) build dist out
