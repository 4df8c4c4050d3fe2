# Everything a newcomer needs is `make demo` and `make test`; `make help` lists the rest.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help

# RocksDB takes 13 to 20 minutes to compile. It is compiled once per machine, into a directory that
# outlives the checkout, and every profile links the same archive.
CACHE ?= $(HOME)/.cache/postrider
export CARGO_TARGET_DIR ?= $(CACHE)/target
include scripts/rocksdb.mk

FOR ?= 30s
RATE ?= 200

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 16

.PHONY: setup
setup: ## install what is missing: C++ compiler, libclang (needs root or sudo on Debian)
	@scripts/setup

.PHONY: build
build: setup $(ROCKSDB) ## build the binary
	cargo build --release --locked

.PHONY: demo
demo: build ## the whole product on one screen: FOR=30s RATE=200
	$(CARGO_TARGET_DIR)/release/postrider demo --for $(FOR) --rate $(RATE)

.PHONY: test
test: setup $(ROCKSDB) ## all tests: the pure core with its simulation and a part of its faults, then the engine with real parts
	cargo test --locked --no-default-features --lib --test sim --test tidy
	MUTANTS_EVERY=4 cargo test --locked --no-default-features --test mutants
	cargo test --locked --release

.PHONY: lint
lint: setup $(ROCKSDB) ## format, lints, licences and sources of dependencies
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	cargo clippy --locked --all-targets --no-default-features -- -D warnings
	if command -v cargo-deny > /dev/null; then cargo deny check bans licenses sources
	else echo 'cargo-deny is not installed: skipped (cargo install cargo-deny)'; fi

.PHONY: bench
bench: setup $(ROCKSDB) ## the benchmarks: figures, references, ratios
	cargo bench --locked --bench engine

.PHONY: load
load: setup $(ROCKSDB) ## a steady load and its delays, no coordinated omission: FOR=30s RATE=200
	SUSTAINED_RATE=$(RATE) SUSTAINED_FOR=$(patsubst %s,%,$(FOR)) cargo bench --locked --bench engine -- sustained

.PHONY: bench-compare
bench-compare: setup $(ROCKSDB) ## the same benchmarks of another commit and of this tree: OLD=main PARTS="deliveries secure"
	scripts/bench-compare '$(OLD)' $(PARTS)

.PHONY: sim
sim: ## the simulation with more seeds: SIM_SEEDS=10000
	SIM_SEEDS=$${SIM_SEEDS:-10000} cargo test --locked --no-default-features --test sim -- --nocapture

.PHONY: mutants
mutants: ## deliberate faults in the core, and what catches each: MUTANTS=watermark,breaker
	cargo test --locked --no-default-features --test mutants

.PHONY: fuzz
fuzz: setup ## fuzz every target for FOR each
	scripts/fuzz $(FOR)
