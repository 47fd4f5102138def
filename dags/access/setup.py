"""`python -m access.setup`: roles, the administrator and the pools, before anything else runs.

It may run at every start: it adds what is missing, and changes only what must not differ.
"""

from __future__ import annotations

import os
import sys

from access.accounts import ADMIN, accounts

PASSWORD = "AIRFLOW_ADMIN_PASSWORD"


def main() -> int:
    """Sets everything up; the administrator's password is what the settings say."""
    password = os.environ.get(PASSWORD, "")
    if not password:
        sys.stderr.write(f"{PASSWORD} is not set: it stands in .env, which `make up` writes\n")
        return 2
    with accounts() as kept:
        kept.set_roles()
        kept.ensure(ADMIN, "admin", password)
    make_pools()
    return 0


def make_pools() -> None:
    """The pools that the tasks name, unless they are there: an administrator may change slots."""
    from airflow.models.pool import Pool

    from ml_tasks.local_stack.airflow import POOLS

    for name, description in POOLS.items():
        if Pool.get_pool(name) is None:
            Pool.create_or_update_pool(name, 1, description, include_deferred=False)


if __name__ == "__main__":
    raise SystemExit(main())
