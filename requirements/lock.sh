#!/usr/bin/env bash
# Compiles every lock from pyproject.toml's extras. Pins that still fit are kept; new ones:
# requirements/lock.sh --upgrade
set -euo pipefail
cd "$(dirname "$0")/.."
uv=.venv/bin/uv
[ -x "$uv" ] || uv=$(command -v uv) || { echo "no uv found: run ./setup_ml.sh first" >&2; exit 1; }

common=(--generate-hashes --no-emit-index-url --no-annotate --no-header --quiet "$@")
universal=(--universal --python-version 3.11)

compile() { # compile NAME ARGUMENTS...
  local name=$1
  shift
  echo "requirements/$name.txt"
  "$uv" pip compile "${common[@]}" "$@" -o "requirements/$name.txt"
}

compile all pyproject.toml --extra data --extra training --extra release \
  --extra tracking --extra scoring --extra monitoring --extra orchestration --extra kubernetes \
  --extra serving --extra benchmarks --extra dev "${universal[@]}"
# The other locks are held to the versions of the first, so that every image runs what was tested.
same=(-c requirements/all.txt)
compile bootstrap requirements/bootstrap.in "${same[@]}" "${universal[@]}"
compile airflow pyproject.toml --extra data --extra release --extra tracking \
  --extra scoring --extra monitoring --extra orchestration \
  "${same[@]}" "${universal[@]}"
compile kubernetes pyproject.toml --extra data --extra release --extra tracking \
  --extra scoring --extra monitoring --extra orchestration --extra kubernetes \
  "${same[@]}" "${universal[@]}"
compile cpu pyproject.toml --extra data --extra training --extra tracking --extra orchestration \
  "${same[@]}" "${universal[@]}"
compile gpu pyproject.toml requirements/gpu.in --extra data --extra training \
  --extra tracking --extra orchestration "${same[@]}" "${universal[@]}"
compile serving pyproject.toml --extra serving "${same[@]}" \
  --python-version 3.11 --python-platform x86_64-manylinux_2_28
# The peers of benchmarks/ need versions of their own; what is ours there is as in the service.
compile peers requirements/peers.in -c requirements/serving.txt \
  --python-version 3.11 --python-platform x86_64-manylinux_2_28
