"""Secrets where those who build and push keep theirs: environment, Docker configuration."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

_SECRETS = {
    "AWS_SECRET_ACCESS_KEY": "planted-aws-key",
    "DOCKER_PASSWORD": "planted-docker-password",
    "MLFLOW_TRACKING_PASSWORD": "planted-mlflow-password",
    "HTTPS_PROXY": "http://user:planted-proxy-password@192.0.2.1:3128",
    "SOME_BUILD_ARGUMENT": "planted-build-argument",
}
_LOGIN = "planted-registry-login"


def plant_secrets(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Puts them in place until the test ends, the configuration into `folder`; gives them all."""
    for name, value in _SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("NO_PROXY", "*")
    login = base64.b64encode(f"user:{_LOGIN}".encode()).decode()
    content = {
        "auths": {"localhost:5000": {"auth": login}},
        # What the Docker SDK hands on to builds and containers, unless it is told not to.
        "proxies": {"default": {"httpProxy": _SECRETS["HTTPS_PROXY"]}},
    }
    place = folder / "docker-configuration"
    place.mkdir()
    (place / "config.json").write_text(json.dumps(content))
    monkeypatch.setenv("DOCKER_CONFIG", str(place))
    return [*_SECRETS.values(), _LOGIN, login]
