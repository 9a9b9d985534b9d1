# make demo : fuse the pair of the package, or your own, with IR=... VI=... ; make test : what must hold ; make help : the rest
SHELL  := /bin/bash
PY     ?= python3
BIN    := .venv/bin
RUNS   ?= runs/demo
OUT    ?= $(RUNS)/fused
PRESET ?= smoke
CORES  ?= 2
PIP    := $(BIN)/python -m pip --disable-pip-version-check
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q
QUICK  := tests/core tests/network tests/losses tests/metrics/test_paper.py tests/test_architecture.py
comma  := ,
quote   = '$(subst ','\'',$(1))'
MORE   := $(if $(SMFNET_EXTRAS),$(comma)$(SMFNET_EXTRAS))

.PHONY: .venv demo quick test everything lint reproduce docs companion clean help
help:  ## this list
	@grep -E '^[a-z.]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

# One stamp for each set of extras, as new as what the environment was made from.
.venv/.stamp-%: settings.ini setup.py constraints.txt
	@test -x $(BIN)/python || $(PY) -m venv .venv
	@echo "installing smfnet[$*] into .venv (a minute or two, once) ..."
	@$(PIP) install -q -c constraints.txt -e '.[$*]' 2> .venv/install.log || { cat .venv/install.log; exit 1; }
	@touch $@

.venv: .venv/.stamp-dev$(MORE)  ## the environment of a developer (SMFNET_EXTRAS=docs,onnx,... for more)

demo: .venv/.stamp-notebooks$(MORE)  ## fuse the pair of the package, or IR=file VI=file (or two folders)
	@mkdir -p $(RUNS)
	@$(BIN)/papermill --log-level WARNING nbs/fuse.ipynb $(RUNS)/fuse.ipynb -k python3 \
	    $(if $(IR),-r ir $(call quote,$(IR))) $(if $(VI),-r vi $(call quote,$(VI))) -r out $(call quote,$(OUT)) 2> >(awk '/IPKernelApp/ {next} /^Traceback/ {t=1} t==1 && /^[A-Za-z0-9_.]+: ./ {t=2} t!=1 {print} /[^ ]/ {last=$$0} END {if (t==1) print last}' >&2)
	@cat $(call quote,$(if $(suffix $(OUT)),$(OUT)_report,$(OUT)/report)/fuse.txt); echo 'notebook: $(RUNS)/fuse.ipynb'

quick: .venv/.stamp-dev$(MORE)  ## the heart of the tests, under a minute, stops at the first failure
	@SMFNET_DATA= $(PYTEST) -n 2 --dist worksteal -x -m 'not slow' --ignore-glob='*release*' $(QUICK)

test: .venv/.stamp-dev$(MORE)  ## notebooks and package in step, nbdev_test, pytest
	@$(PYTEST) -n 2 --dist worksteal --durations=8 -m 'not release'

everything: .venv/.stamp-dev$(MORE)  ## what test runs, and wheel and sdist in a fresh environment
	@$(PYTEST) -n 2 --dist worksteal --durations=8

lint: .venv/.stamp-dev$(MORE)  ## ruff
	@$(BIN)/ruff check .

reproduce: .venv/.stamp-reproduce$(MORE)  ## Tables 4 and 5 again, PRESET=smoke|small|paper; finished runs are kept (CORES=2)
	@mkdir -p runs/reproduce/$(PRESET)
	@$(BIN)/snakemake -s workflow/Snakefile --workflow-profile workflow/profiles/local --directory runs/reproduce/$(PRESET) --cores $(CORES) --config preset=$(PRESET)
	@echo "tables: runs/reproduce/$(PRESET)/ablation/ablation.md, runs/reproduce/$(PRESET)/medical/medical.md"

docs: .venv/.stamp-dev,docs$(MORE)  ## the documentation site, in docs/_build/html; with SMFNET_DATA also pictures of data sets
	@OMP_NUM_THREADS=1 $(BIN)/python docs/build.py

companion: .venv/.stamp-companion,notebooks$(MORE)  ## fuse by dropping two files, and sliders over the loss weights, in your browser
	@JUPYTER_PATH=docs/jupyter $(BIN)/voila . --template=smfnet --VoilaConfiguration.file_allowlist='docs/_build/html/.*' \
	    --MappingKernelManager.cull_idle_timeout=600 --MappingKernelManager.cull_interval=60

clean:  ## remove the environment and every run
	rm -rf .venv runs/* build dist *.egg-info
