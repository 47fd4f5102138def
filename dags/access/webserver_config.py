"""How people log in to Airflow: Flask's settings, which [fab] config_file leads to.

Nobody registers himself and nobody is let in without a login; both are off unless set here.
"""

from __future__ import annotations

import os

from flask_appbuilder.const import AUTH_DB
from flask_appbuilder.exceptions import PasswordComplexityValidationError

SHORTEST = 14


def long_enough(password: str) -> None:
    """Length is what makes a password hard to guess; rules of signs make it hard to remember.

    Raises:
        PasswordComplexityValidationError: it is shorter, or repeats a few signs.
    """
    if len(password) < SHORTEST or len(set(password)) < 6:
        raise PasswordComplexityValidationError(
            f"Take at least {SHORTEST} characters, six of them different: a few words will do."
        )


AUTH_TYPE = AUTH_DB
AUTH_USER_REGISTRATION = False
FAB_PASSWORD_COMPLEXITY_ENABLED = True
FAB_PASSWORD_COMPLEXITY_VALIDATOR = long_enough
SESSION_COOKIE_SECURE = os.environ.get("AIRFLOW__API__BASE_URL", "").startswith("https://")
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_HTTPONLY = True
