# The front door: each line calls the real tool.
.PHONY: demo stop setup test test-full lint bench peers lock

demo: setup       ## the whole pipeline on this machine, from data to an answering image
	@.venv/bin/mammo demo $(if $(DATA),--data "$(DATA)")

stop:             ## ends everything that `make demo` started
	@if [ -x .venv/bin/mammo ]; then .venv/bin/mammo stop; else echo "nothing was started here"; fi

setup:            ## the environment .venv from the locks
	@./setup_ml.sh

test: setup lint  ## what CI runs
	.venv/bin/python -m pytest -m "not full" $(ARGS)

test-full: setup lint  ## full counts, the slowest tests too; adds its results to docs/test-results.md
	-MAMMO_FULL=1 .venv/bin/python -m pytest --junitxml=.local/test-full.xml $(ARGS)
	.venv/bin/python -m tests.results .local/test-full.xml

lint: setup
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

bench: setup peers  ## ours and others' speed and memory, in turn; writes docs/benchmarks*.md
	.venv/bin/python -m benchmarks --write

peers: setup      ## LitServe, BentoML, OpenVINO in .local/peers, which the service is measured against
	@[ -x .local/peers/bin/pip ] || .venv/bin/python -m venv .local/peers
	@.local/peers/bin/pip install --quiet --require-hashes -r requirements/peers.txt

lock:             ## compiles requirements/*.txt anew; UPGRADE=--upgrade takes the newest versions
	requirements/lock.sh $(UPGRADE)
