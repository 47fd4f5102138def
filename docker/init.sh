#!/bin/sh
# What the service init runs before every other: tables, roles, the administrator, pools.
# It may run at each start; a change of .env or of the roles takes effect by it.
set -eu
airflow db migrate
exec python3 -m access.setup
