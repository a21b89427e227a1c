# One word does each thing; the logic is in scripts/. `make help` lists them.
.DEFAULT_GOAL := help
.PHONY: help run test test-interop check check-cuda check-neon build bench bench-compress bench-peers fuzz docs clean

help: ## list the words
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

run: ## install what is missing, build, and serve on 127.0.0.1:3000
	@exec scripts/run.sh

test: ## install what the tests need, and run every check and test
	@exec scripts/test.sh

test-interop: ## what we write, loaded by the tools that define the formats
	@exec scripts/interop.sh

check: ## format, clippy, documentation, wasm: no tests
	@scripts/setup.sh test
	@exec scripts/check.sh

check-cuda: ## compile with the feature `cuda`; needs no CUDA and no GPU, but many minutes
	@scripts/setup.sh run
	@exec scripts/check-cuda.sh

check-neon: ## run the kernels' tests with NEON, under qemu where the machine is no ARM
	@exec scripts/check-neon.sh

build: ## the server and the site
	@scripts/setup.sh run
	@exec scripts/build.sh

bench: ## benchmarks of kernels and decoding
	@exec scripts/with-tools.sh cargo bench --workspace --exclude frontend --bench '*'

bench-compress: ## speed of compression and training beside PyTorch
	@exec scripts/bench-compress.sh

bench-peers: ## speed and memory beside llama.cpp, which is built for it
	@exec scripts/bench-peers.sh

fuzz: ## one minute of hostile model files
	@exec scripts/fuzz.sh

docs: ## documentation of every crate, in target/doc
	@exec scripts/with-tools.sh cargo doc --release --locked --workspace --exclude frontend --no-deps --document-private-items

clean: ## remove what was built; data, models and tools stay
	@scripts/with-tools.sh cargo clean
	@rm -rf end2end/test-results end2end/playwright-report end2end/screenshots
