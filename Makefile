# The front door: each line calls the real tool.
.PHONY: demo stop up down logs scale user backup restore bundle install-bundle images base-images \
        setup test test-full lint bench peers lock

demo: setup       ## the whole pipeline on this machine, from data to an answering image
	@.venv/bin/mammo demo $(if $(DATA),--data "$(DATA)")

stop:             ## ends everything that `make demo` started
	@if [ -x .venv/bin/mammo ]; then .venv/bin/mammo stop; else echo "nothing was started here"; fi

# The stack of docker-compose.yaml: these need Python and docker compose, nothing installed.
STACK = @python3 -m ml_tasks.deployment

up:               ## images, secrets and folders where they are missing, and the whole stack
	$(STACK) up

down:             ## ends the stack; its data stay
	$(STACK) down

logs:             ## follows the logs; SERVICE=worker those of one
	$(STACK) logs $(SERVICE)

scale:            ## WORKERS=3 and GPU=2 workers, for good
	$(STACK) scale $(if $(WORKERS),--workers $(WORKERS)) $(if $(GPU),--gpu $(GPU))

user:             ## NAME=anna ROLE=viewer|operator|admin: a login with a password of its own
	$(STACK) user $(NAME) $(if $(ROLE),--role $(ROLE)) $(ARGS)

backup:           ## TO=DIR: database, releases, registry, audit log and settings in one archive
	$(STACK) backup "$(TO)" $(ARGS)

restore:          ## FROM=ARCHIVE: into an empty stack; ARGS=--replace into one that is there
	$(STACK) restore "$(FROM)" $(ARGS)

bundle:           ## TO=FILE: all that a machine without a network needs
	$(STACK) bundle "$(TO)"

install-bundle:   ## FROM=FILE: sets the stack up without a network
	$(STACK) install-bundle "$(FROM)"

images: setup     ## the images of the stack, built where anything changed
	.venv/bin/mammo images

base-images: setup  ## Python, Postgres, Redis, registry, nginx: pulled, else of Debian's packages
	.venv/bin/mammo base_images

setup:            ## the environment .venv from the locks
	@./setup_ml.sh

# Two processes: the tests of one Airflow go to one of them, those of the engine too, the rest
# file by file (tests/conftest.py names the groups).
PYTEST = .venv/bin/python -m pytest --numprocesses 2 --dist loadgroup --durations 40

test: setup lint  ## what CI runs
	$(PYTEST) -m "not full" $(ARGS)

test-full: setup lint  ## full counts, the slowest tests too; adds its results to docs/test-results.md
	-MAMMO_FULL=1 $(PYTEST) --junitxml=.local/test-full.xml $(ARGS)
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
