#!/usr/bin/env bash
# Pushes the current release by hand, by the same code as the DAG's last task.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
if [ ! -x .venv/bin/mammo ]; then
  echo "push_model.sh: there is no environment .venv here yet; run ./setup_ml.sh first" >&2
  exit 1
fi
exec .venv/bin/mammo release "$@"
