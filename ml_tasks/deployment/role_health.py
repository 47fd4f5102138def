"""Whether the Airflow role of this container lives: asked by the health checks in compose.

`airflow jobs check` and `celery inspect` tell the same, but load all of Airflow for it, seconds of
processor time at each look.
"""

from __future__ import annotations

import os
import socket
import sys

_PATIENCE = 120  # seconds since the latest heartbeat
_ANSWER_SECONDS = 10
_LATEST = (
    "SELECT EXTRACT(EPOCH FROM now() - max(latest_heartbeat)) FROM job "
    "WHERE job_type = %s AND hostname = %s AND state = 'running'"
)


def role_lives(job_type: str) -> bool:
    """Whether this container's job (SchedulerJob, TriggererJob, DagProcessorJob) had a heartbeat
    in the last two minutes, as the database knows it.
    """
    import psycopg2

    address = os.environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].replace("+psycopg2", "")
    connection = psycopg2.connect(address, connect_timeout=_ANSWER_SECONDS)
    try:
        with connection.cursor() as cursor:
            cursor.execute(_LATEST, (job_type, socket.getfqdn()))
            (seconds,) = cursor.fetchone()
    finally:
        connection.close()
    return seconds is not None and seconds < _PATIENCE


def worker_lives() -> bool:
    """Whether this container's Celery worker answers by the broker."""
    from celery import Celery

    app = Celery(broker=os.environ["AIRFLOW__CELERY__BROKER_URL"])
    name = f"celery@{socket.gethostname()}"
    return bool(app.control.ping(destination=[name], timeout=_ANSWER_SECONDS, limit=1))


if __name__ == "__main__":
    role = sys.argv[1]
    sys.exit(not (worker_lives() if role == "worker" else role_lives(role)))
