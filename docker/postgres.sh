#!/bin/sh
# PostgreSQL of the stack, as user 999 in any image that has its programs on PATH: makes the
# database in $PGDATA on the first start, then becomes the server.
# Wants POSTGRES_PASSWORD; POSTGRES_USER, POSTGRES_DB and PGDATA have the values below otherwise;
# POSTGRES_MORE_DBS names further databases of that user.
# Arguments go to the server:  sh postgres.sh -c max_connections=200
set -eu
: "${PGDATA:=/var/lib/postgresql/data/pgdata}"
: "${POSTGRES_USER:=airflow}"
: "${POSTGRES_DB:=$POSTGRES_USER}"
export PGDATA

# Made beside its place and renamed: a first start that is killed leaves no half database, and the
# next one begins anew.
make_database() {
  : "${POSTGRES_PASSWORD:?set it: the password of the database user $POSTGRES_USER}"
  new="$(dirname "$PGDATA")/.new-database"
  rm -rf "$new"
  # The file and not the word: a command line is seen by all.
  secret=$(mktemp)
  printf '%s\n' "$POSTGRES_PASSWORD" >"$secret"
  initdb --pgdata="$new" --username="$POSTGRES_USER" --pwfile="$secret" \
    --auth=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8 --data-checksums
  rm -f "$secret"
  echo 'host all all all scram-sha-256' >>"$new/pg_hba.conf"
  for name in "$POSTGRES_DB" ${POSTGRES_MORE_DBS:-}; do
    [ "$name" = postgres ] || echo "CREATE DATABASE \"$name\";" |
      postgres --single -D "$new" postgres >/dev/null
  done
  sync
  mv "$new" "$PGDATA"
}

if [ ! -s "$PGDATA/PG_VERSION" ]; then
  if [ -d "$PGDATA" ] && [ -n "$(ls -A "$PGDATA")" ]; then
    echo "postgres.sh: $PGDATA holds files but no database; move them away" >&2
    exit 1
  fi
  [ ! -d "$PGDATA" ] || rmdir "$PGDATA"
  make_database
fi
unset POSTGRES_PASSWORD
# The socket lies in /tmp, which a read-only root has as a tmpfs.
exec postgres -c listen_addresses='*' -c unix_socket_directories=/tmp \
  -c password_encryption=scram-sha-256 "$@"
