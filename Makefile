# Everything a developer runs; CI runs the same (.ci/run). `make help` lists the targets.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

CARGO ?= cargo
# CI sets this to --locked, so that Cargo.lock is what is tested.
LOCKED ?=
# Tests that run at the same time. Most of them wait for servers, so there are more than processors.
export NEXTEST_TEST_THREADS ?= $(shell echo $$(( $$(getconf _NPROCESSORS_ONLN) * 3 / 2 )))
# The tests with a registry behind them that do not run on both stores by themselves: they run once for each kind.
ON_BOTH_STORES = package(agentnet-cli) and kind(test) and not test(/^(chaos|mesh)::/) or package(agentnet) and kind(test) and test(/^(sessions|attacks)::/)

# Guides whose commands are run, and whose outputs are compared.
GUIDES = docs/NETWORK_CLI_GUIDE.md docs/UI_BACKEND_MAPPING.md

.PHONY: help tools postgres shells chromium aimock llm llm-local llm-sdks mesh-demo mesh-reference words deny docs links package python python-peer python-test python-versions python-bench python-lint typescript typescript-test typescript-lint typescript-long typescript-runtimes typescript-docs typescript-bench build demo test all-tests chaos guide settings latency bench bench-quick lint arch compose fmt clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

tools: ## Fetch the pinned nats-server into .tools/bin (nothing to do when it is there)
	@scripts/tools.sh

postgres: ## Find PostgreSQL for the tests; on Debian as root, install it
	@scripts/postgres.sh

shells: ## Find zsh and fish for the tests of the completions; on Debian as root, install them
	@scripts/shells.sh

chromium: ## Find Chromium for the tests of the browser page; on Debian as root, install it
	@scripts/chromium.sh

aimock: ## Fetch the scripted provider of language models that the tests of the mesh use (.tools/aimock)
	@scripts/aimock.sh

llm-sdks: ## Make the Python environment with the SDKs of OpenAI, Anthropic and MCP, which the tests of the mesh use (.tools/llm-sdks)
	@scripts/llm-sdks.sh

llm: ## Fetch a small language model and its server (.tools/llm, 130 MB); the tests use it where it is
	@scripts/llm-local.sh install

# PORT=8081 serves it elsewhere.
llm-local: ## Serve that model on this machine, with the APIs of OpenAI and Anthropic, until Ctrl-C
	@scripts/llm-local.sh serve $(PORT)

mesh-demo: tools llm build ## Start a network, let two language models talk, let agents of a YAML file answer, read the threads back
	@scripts/mesh-demo.sh

build: ## Build everything, examples included
	$(CARGO) build $(LOCKED) --workspace --bins --examples

demo: tools build ## Start a network, let two agents talk, read the thread back
	@scripts/demo.sh

python-peer: ## Make the Python environment of the foreign agent that the tests run (.tools/python)
	@scripts/python-peer.sh

# PYTHON_PROFILE=dev builds faster, and slower code.
PYTHON_PROFILE ?= release

python: ## Build the wheels of the Python package and of the command (bindings/python/dist)
	@PROFILE=$(PYTHON_PROFILE) LOCKED=$(LOCKED) scripts/python-wheel.sh

python-test: ## Build the wheels, install them in a fresh environment and run the package's tests
	@PROFILE=$(PYTHON_PROFILE) LOCKED=$(LOCKED) scripts/python-test.sh

python-versions: ## The same tests on every other CPython, from 3.10 on, that this machine has
	@PROFILE=$(PYTHON_PROFILE) LOCKED=$(LOCKED) scripts/python-test.sh versions

python-bench: ## How fast the Python package is, beside the same on nats-py (release build)
	@PROFILE=release LOCKED=$(LOCKED) scripts/python-test.sh bench

typescript: ## Build the TypeScript package (sdks/typescript/dist)
	@scripts/typescript.sh build

# CARGO_TARGET_DIR is where the tests look for the programs.
typescript-test: tools chromium python-peer ## Build the TypeScript package, lint it and run all its tests
	$(CARGO) build $(LOCKED) --workspace --bins
	$(CARGO) build $(LOCKED) -p agentnet-protocol --example wire_oracle
	@PROFILE=dev LOCKED=$(LOCKED) scripts/python-test.sh env
	@scripts/typescript.sh test

typescript-lint: ## Formatting, lint, layers and imports of the TypeScript package
	@scripts/typescript.sh lint

typescript-long: tools ## Compare the TypeScript package with the Rust one in 100,000 random cases; its memory over 200,000 messages
	$(CARGO) build $(LOCKED) --workspace --bins
	$(CARGO) build $(LOCKED) -p agentnet-protocol --example wire_oracle
	@AGENTNET_FUZZ_CASES=100000 scripts/typescript.sh test fuzz soak

typescript-docs: ## The reference of the TypeScript package, by TypeDoc (target/typescript-docs)
	@scripts/typescript.sh docs

typescript-bench: tools ## How fast the TypeScript package is, beside plain nats.js (release build)
	$(CARGO) build $(LOCKED) --release -p agentnet-cli
	@scripts/typescript.sh bench

typescript-runtimes: tools ## Run the tests of TypeScript nodes on Node.js 22 and 26, Deno and Bun (fetched into .tools)
	$(CARGO) build $(LOCKED) --workspace --bins
	@scripts/typescript.sh runtimes

guide: tools ## Run the commands of the guides in docs/ again and renew what they print
	$(CARGO) build $(LOCKED) --workspace --bins
	@for guide in $(GUIDES); do python3 scripts/guide.py target/debug/agentnet $$guide --write; done

mesh-reference: ## Renew the reference of mesh.yaml in docs/MESH.md
	AGENTNET_WRITE_DOCS=1 $(CARGO) test $(LOCKED) -q -p agentnet-mesh --test it docs::

settings: ## Renew the table of the registry's settings in docs/SETTINGS.md
	AGENTNET_WRITE_DOCS=1 $(CARGO) test $(LOCKED) -q -p agentnet-registry --lib the_page_of_the_documentation

# The doc tests and those of the Python and TypeScript packages come first, so that the last line is the summary of the main run.
test: tools postgres shells chromium python-peer aimock llm-sdks ## Set up what the tests need and run all of them
	$(CARGO) test $(LOCKED) --workspace --doc
	$(CARGO) build $(LOCKED) --workspace --bins
	$(CARGO) build $(LOCKED) -p agentnet-protocol --example wire_oracle
	@PROFILE=dev LOCKED=$(LOCKED) scripts/python-test.sh
	@scripts/typescript.sh test
	@for guide in $(GUIDES); do python3 scripts/guide.py target/debug/agentnet $$guide || exit 1; done
	@if $(CARGO) nextest --version >/dev/null 2>&1; then \
	    set -x; \
	    AGENTNET_TEST_STORE=postgres $(CARGO) nextest run $(LOCKED) --workspace -E '$(ON_BOTH_STORES)'; \
	    $(CARGO) nextest run $(LOCKED) --workspace; \
	else \
	    set -x; \
	    AGENTNET_TEST_STORE=postgres $(CARGO) test $(LOCKED) -p agentnet -p agentnet-cli --tests; \
	    $(CARGO) test $(LOCKED) --workspace --lib --bins --tests --examples; \
	fi

# What takes too long for every commit: an hour on two cores. `python` builds the wheels of a release.
all-tests: test chaos python-versions python package typescript-long typescript-runtimes typescript-docs typescript-bench ## All tests, the long ones too: a minute of chaos, every CPython, wheels of a release

package: ## Package the library crates and build each from its package
	$(CARGO) package $(LOCKED) --workspace --exclude agentnet-cli --exclude agentnet-bench

# The tests run shortened forms of these. CHAOS_ROUNDS says how often the matrices of kills are run.
chaos: tools postgres ## Kill every part in turn while agents talk, for a minute (CHAOS_SECONDS); then between each two steps of a message's and of a task's way
	AGENTNET_CHAOS_SECONDS=$${CHAOS_SECONDS:-60} $(CARGO) test $(LOCKED) -p agentnet-cli --test it chaos:: -- --nocapture
	AGENTNET_MAILBOX_KILLS=all AGENTNET_MAILBOX_KILL_ROUNDS=$${CHAOS_ROUNDS:-1} $(CARGO) test $(LOCKED) -p agentnet-cli --test it mailbox_kills:: -- --nocapture
	AGENTNET_TASK_KILLS=all AGENTNET_TASK_KILL_ROUNDS=$${CHAOS_ROUNDS:-1} $(CARGO) test $(LOCKED) -p agentnet-cli --test it task_kills:: -- --nocapture

latency: tools ## How long list, profile and threads take as whole processes (release build)
	$(CARGO) build $(LOCKED) --release -p agentnet-cli
	@python3 scripts/cli_latency.py target/release/agentnet

bench: tools postgres ## Measure everything beside the raw limits into bench/results (a quarter of an hour)
	$(CARGO) build $(LOCKED) --release -p agentnet-bench -p agentnet-cli --bins
	$(CARGO) build $(LOCKED) --release -p agentnet --example rpc_worker
	target/release/agentnet-bench set --json bench/results/$$(date +%Y-%m-%d).json

bench-quick: tools postgres ## The same with shorter runs and smaller tables; writes nothing
	$(CARGO) build $(LOCKED) --release -p agentnet-bench -p agentnet-cli --bins
	$(CARGO) build $(LOCKED) --release -p agentnet --example rpc_worker
	target/release/agentnet-bench set --quick

lint: arch links words deny compose python-lint ## Formatting, clippy, documentation, architecture, words and dependencies, without a warning
	$(CARGO) fmt --all --check
	$(CARGO) clippy $(LOCKED) --workspace --all-targets -- -D warnings
	$(CARGO) clippy $(LOCKED) -p agentnet --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc $(LOCKED) --workspace --no-deps

# The target directory is the workspace's, so that what both need is built once.
python-lint: export CARGO_TARGET_DIR = $(CURDIR)/target
python-lint: ## Formatting and clippy of the Python package's native part
	cd bindings/python && $(CARGO) fmt --check -- --config-path ../../rustfmt.toml
	cd bindings/python && CLIPPY_CONF_DIR=../.. $(CARGO) clippy $(LOCKED) --all-targets -- -D warnings

arch: ## Check the dependencies between crates, and the size of the files
	@scripts/arch.sh

links: ## Check that every link of the documents leads somewhere, and that docs/SUMMARY.md lists every page
	@python3 scripts/check_links.py

words: ## Check the spelling (typos; exceptions are in _typos.toml)
	@"$$(scripts/lint-tools.sh)/typos"

deny: ## Check licences, sources and versions of dependencies (deny.toml), and that each is used
	@tools=$$(scripts/lint-tools.sh) && PATH="$$tools:$$PATH" && \
	    $(CARGO) deny $(LOCKED) check --hide-inclusion-graph licenses bans sources && \
	    $(CARGO) machete

docs: ## Build the documentation as one searchable book (target/book/html), with mdBook
	@scripts/docs.sh

compose: tools ## Check docker/ against the schema of compose files, .env.example and the binary
	$(CARGO) build $(LOCKED) --workspace --bins
	@scripts/compose-check.sh

fmt: ## Format the code
	$(CARGO) fmt --all
	cd bindings/python && $(CARGO) fmt -- --config-path ../../rustfmt.toml

clean: ## Remove everything that was built or fetched
	$(CARGO) clean
	rm -rf .tools sdks/typescript/node_modules sdks/typescript/dist sdks/typescript/.test-build
