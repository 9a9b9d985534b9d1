# make demo : fuse an embedded scene, or your own pair with IR=... VI=... ; make test : everything that must hold
SHELL  := /bin/bash
PY     ?= python3
BIN    := .venv/bin
RUNS   ?= runs/demo
OUT    ?= $(RUNS)/fused
PRESET ?= smoke
CORES  ?= 2
PIP    := $(BIN)/python -m pip --disable-pip-version-check
comma  := ,
EXTRAS := dev$(if $(SMFNET_EXTRAS),$(comma)$(SMFNET_EXTRAS))

.PHONY: reproduce demo test docs companion clean help
help:  ## this list
	@grep -E '^[a-z.]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

# The stamp is as new as what the environment was made from.
.venv/.stamp-$(EXTRAS): settings.ini setup.py constraints.txt
	@test -x $(BIN)/python || $(PY) -m venv .venv
	@echo "installing smfnet and what it needs into .venv (a minute or two, once) ..."
	@$(PIP) install -q -c constraints.txt -e '.[$(EXTRAS)]' 2> .venv/install.log || { cat .venv/install.log; exit 1; }
	@touch $@

.venv: .venv/.stamp-$(EXTRAS)  ## the environment (SMFNET_EXTRAS=dev,docs,... for more)

demo: .venv/.stamp-$(EXTRAS)  ## fuse an embedded scene, or IR=file VI=file (or two folders)
	@mkdir -p $(RUNS)
	@$(BIN)/papermill --log-level WARNING nbs/fuse.ipynb $(RUNS)/fuse.ipynb -k python3 \
	    $(if $(IR),-r ir '$(IR)') $(if $(VI),-r vi '$(VI)') -r out '$(OUT)' 2> >(grep -v IPKernelApp >&2)
	@cat "$$(dirname '$(OUT)')/fuse.txt"; echo 'notebook: $(RUNS)/fuse.ipynb'

test: .venv/.stamp-$(EXTRAS)  ## notebooks and package in step, nbdev_test, pytest
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist worksteal --durations=8

reproduce:  ## Tables 4 and 5 again, PRESET=smoke|small|paper; finished runs are kept (CORES=2)
	@$(MAKE) --no-print-directory .venv SMFNET_EXTRAS='$(if $(findstring reproduce,$(SMFNET_EXTRAS)),$(SMFNET_EXTRAS),$(if $(SMFNET_EXTRAS),$(SMFNET_EXTRAS)$(comma))reproduce)'
	@mkdir -p runs/reproduce/$(PRESET)
	@$(BIN)/snakemake -s workflow/Snakefile --workflow-profile workflow/profiles/local --directory runs/reproduce/$(PRESET) --cores $(CORES) --config preset=$(PRESET)
	@echo "tables: runs/reproduce/$(PRESET)/ablation/ablation.md, runs/reproduce/$(PRESET)/medical/medical.md"

docs:  ## the documentation site, in docs/_build/html; with SMFNET_DATA also pictures of data sets
	@$(MAKE) -s .venv SMFNET_EXTRAS=$(or $(SMFNET_EXTRAS),docs)
	@OMP_NUM_THREADS=1 $(BIN)/python docs/build.py

companion: .venv/.stamp-$(EXTRAS)  ## sliders over the loss weights, in your browser
	@JUPYTER_PATH=docs/jupyter $(BIN)/voila --template=smfnet nbs/loss_weights.ipynb

clean:  ## remove the environment and every run
	rm -rf .venv runs/* build *.egg-info
