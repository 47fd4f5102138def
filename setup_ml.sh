#!/usr/bin/env bash
# Makes the isolated environment .venv from the hashed locks in requirements/, and installs
# ml_tasks into it. Safe to run again: when nothing changed it ends at once.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

say() { printf 'setup: %s\n' "$*"; }
fail() {
  printf 'setup: %s\n' "$*" >&2
  exit 1
}

mkdir -p .local/logs
log=.local/logs/setup.log
exec 9>.local/setup.lock
if command -v flock >/dev/null; then flock 9; fi # two makes at once must not mix

# step WORDS COMMAND...: runs it silently; one line with its seconds, or the end of its output.
step() {
  local words=$1 start=$SECONDS
  shift
  if "$@" >"$log" 2>&1 9>&-; then
    say "$words ($((SECONDS - start)) s)"
  else
    say "$words: failed after $((SECONDS - start)) s" >&2
    tail -n 15 "$log" >&2
    return 1
  fi
}

suitable() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'; }

# Every name on PATH is run, not only found: a version manager's shim may lead nowhere.
find_python() {
  local name candidate
  for name in ${PYTHON:-} python3.11 python3.12 python3.13 python3 python; do
    for candidate in $(type -aP "$name"); do
      if suitable "$candidate" >/dev/null 2>&1; then
        echo "$candidate"
        return
      fi
    done
  done
  return 1
}

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

can_install() {
  command -v apt-get >/dev/null || return 1
  [ "$(id -u)" = 0 ] || { command -v sudo >/dev/null && sudo -n true 2>/dev/null; }
}

apt_install() {
  local apt=(env DEBIAN_FRONTEND=noninteractive apt-get)
  as_root "${apt[@]}" update && as_root "${apt[@]}" install -y --no-install-recommends "$@"
}

has_venv() { "$1" -c 'import ensurepip, venv' 2>/dev/null; }

with_virtualenv() { # without a system-wide trace: a private folder holds virtualenv
  "$1" -m pip install --quiet --target .local/virtualenv virtualenv &&
    PYTHONPATH=.local/virtualenv "$1" -m virtualenv --clear .venv
}

make_venv() {
  local python=$1 package
  package=$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
  if ! has_venv "$python" && can_install; then
    step "installed $package, which this machine lacked" apt_install "$package" || true
  fi
  if has_venv "$python"; then
    step "made .venv with $python" "$python" -m venv --clear .venv && return
  fi
  if "$python" -m pip --version >/dev/null 2>&1; then
    step "made .venv with virtualenv" with_virtualenv "$python" && return
  fi
  fail "$python cannot make environments; run: sudo apt-get install -y $package, then this again"
}

usable_venv() {
  suitable .venv/bin/python >/dev/null 2>&1 || return 1
  .venv/bin/python -m pip --version >/dev/null 2>&1 ||
    .venv/bin/python -m ensurepip >/dev/null 2>&1
}

# uv does not read pip's configuration: an index or a certificate set there is handed on.
hand_on_pip_settings() {
  local index cert
  index=${PIP_INDEX_URL:-$(.venv/bin/python -m pip config get global.index-url 2>/dev/null || true)}
  cert=${PIP_CERT:-$(.venv/bin/python -m pip config get global.cert 2>/dev/null || true)}
  if [ -n "$index" ]; then export UV_DEFAULT_INDEX=${UV_DEFAULT_INDEX:-$index}; fi
  if [ -n "$cert" ]; then export SSL_CERT_FILE=${SSL_CERT_FILE:-$cert}; fi
}

install_packages() {
  local pip=(.venv/bin/python -m pip --disable-pip-version-check)
  step "installed pip, uv and setuptools" \
    "${pip[@]}" install --require-hashes -r requirements/bootstrap.txt
  hand_on_pip_settings
  local count
  count=$(grep -c '^[a-z0-9]' requirements/all.txt)
  say "installing the $count locked packages; on a new machine this takes minutes"
  step "installed requirements/all.txt" .venv/bin/uv pip install --python .venv/bin/python \
    --require-hashes --compile-bytecode -r requirements/all.txt && return
  say "uv could not; pip, which reads its own configuration, tries the same lock"
  step "installed requirements/all.txt with pip" \
    "${pip[@]}" install --require-hashes -r requirements/all.txt
}

stamp() { # what the environment depends on
  sha256sum requirements/bootstrap.txt requirements/all.txt pyproject.toml
  .venv/bin/python -c 'import sys; print(sys.version, sys.prefix)'
}

begin=$SECONDS
if ! usable_venv; then
  python=$(find_python) ||
    fail "no Python 3.11, 3.12 or 3.13 found; run: sudo apt-get install -y python3 python3-venv"
  make_venv "$python"
fi
if [ -x .venv/bin/mammo ] && [ "$(cat .venv/.locked 2>/dev/null)" = "$(stamp)" ]; then
  say "the environment .venv is up to date"
  exit 0
fi
install_packages
# Nothing is downloaded for this: the build backend came with the bootstrap lock.
step "installed ml_tasks (development form) and the command mammo" \
  .venv/bin/python -m pip --disable-pip-version-check install \
  --no-deps --no-build-isolation --no-index -e .
stamp >.venv/.locked
say "the environment .venv is ready ($((SECONDS - begin)) s)"
