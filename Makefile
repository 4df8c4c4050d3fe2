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

# Built once per machine, as the store is: 75 seconds of CPU.
DENY_VERSION := 0.20.2
DENY_ROOT := $(CACHE)/tools/cargo-deny-$(DENY_VERSION)
DENY := $(DENY_ROOT)/bin/cargo-deny

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
	cargo test --locked --no-default-features --lib --test sim --test threads --test tidy
	MUTANTS_EVERY=4 cargo test --locked --no-default-features --test mutants
	cargo test --locked --release

$(DENY):
	echo 'building cargo-deny $(DENY_VERSION): once per machine, 75 seconds of CPU'
	env -u CARGO_TARGET_DIR CARGO_PROFILE_DEV_DEBUG=0 CARGO_INCREMENTAL=0 \
	  cargo install --debug --locked --version $(DENY_VERSION) --root '$(DENY_ROOT)' cargo-deny

.PHONY: lint
lint: setup $(ROCKSDB) $(DENY) ## format, lints; versions, licences and sources of dependencies
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	cargo clippy --locked --all-targets --no-default-features -- -D warnings
	$(DENY) --locked check bans licenses sources
	$(DENY) --locked --config deny.toml --manifest-path fuzz/Cargo.toml check sources

.PHONY: audit
audit: $(DENY) ## known vulnerabilities in what is depended on; fails on a finding alone
	scripts/audit $(DENY)

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

.PHONY: power
power: setup $(ROCKSDB) ## power cuts at more moments: POWER_CUTS=5000
	POWER_CUTS=$${POWER_CUTS:-5000} cargo test --locked --release --test power -- --nocapture

.PHONY: miri
miri: ## the hand-off between threads under Miri (a nightly toolchain with miri): SEEDS=64
	MIRIFLAGS="-Zmiri-disable-isolation -Zmiri-many-seeds=0..$${SEEDS:-64}" \
	  cargo +nightly miri test --locked --no-default-features --test threads

.PHONY: fuzz
fuzz: setup ## fuzz every target: FOR=30s each, or RUNS=10000000; KEEP=1 makes its seeds anew
	scripts/fuzz $(FOR)
