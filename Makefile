# The same targets people and CI run. `make up` starts a cluster, `make test` runs everything.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# An environment knows where it is and whose: after a move of the checkout, or of the machine to a newer Python, it is
# made anew.
ifneq "$(shell cat $(VENV)/.place 2>/dev/null)" "$(CURDIR) $(shell readlink -f $(BIN)/python)"
$(shell rm -f $(VENV)/.installed $(VENV)/.dev)
endif

.PHONY: up install dev check format test unit e2e bench update verify lock clean

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml requirements.lock
	@hack/make-venv $(PYTHON) $(VENV) requirements.lock
	@touch $@

dev: $(VENV)/.dev

$(VENV)/.dev: pyproject.toml requirements-dev.lock
	@hack/make-venv $(PYTHON) $(VENV) requirements-dev.lock
	@touch $@ $(VENV)/.installed

up: install
	@$(BIN)/pinnace up $(ARGS)

check: dev
	$(BIN)/ruff check src tests bench hack examples
	$(BIN)/ruff format --check src tests bench hack examples
	$(BIN)/mypy
	$(BIN)/lint-imports

format: dev
	$(BIN)/ruff check --fix src tests bench hack examples
	$(BIN)/ruff format src tests bench hack examples

test: dev
	@hack/run-tests

unit: dev
	$(BIN)/pytest tests/unit

e2e: dev
	$(BIN)/pytest tests/e2e

bench: dev
	$(BIN)/python -m bench $(ARGS)

# Generated tables. FACTS=DIR also takes in the lists of resources, roles and protobuf messages of that directory,
# RECORDED=FILE the answers recorded from a real kube-apiserver.
update: dev
	$(BIN)/python hack/update.py $(if $(FACTS),--facts $(FACTS))
	$(if $(FACTS),$(BIN)/python hack/update_bootstrap.py --facts $(FACTS))
	$(if $(FACTS),$(BIN)/python hack/update_protobuf.py $(FACTS))
	$(if $(FACTS),$(BIN)/python hack/update_messages.py $(FACTS))
	$(if $(RECORDED),$(BIN)/python hack/update_behaviour.py $(RECORDED))

verify: dev
	$(BIN)/python hack/update.py --verify

lock:
	hack/lock

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache
