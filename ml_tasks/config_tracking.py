"""Section `tracking` of config.yaml: whether and where runs and releases are noted in MLflow."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import Field, field_validator

from ml_tasks.config_section import Section

_SQLITE = "sqlite:///"
_SCHEMES = (_SQLITE, "http://", "https://", "postgresql://", "mysql+pymysql://")
_LOGIN = re.compile(r"://[^/@\s]*@")


class TrackingConfig(Section):
    """Where MLflow keeps what it is told; `uri` null: an SQLite file in paths.tracking."""

    enabled: bool = True
    uri: str | None = None
    experiment: str = Field("mammography", min_length=1, max_length=200)

    @field_validator("uri")
    @classmethod
    def _of_a_known_kind(cls, uri: str | None) -> str | None:
        if uri is None:
            return None
        if _LOGIN.search(uri):
            raise ValueError(
                "must hold no user and no password, which every run would copy; put the address "
                "with them into the environment variable MLFLOW_TRACKING_URI"
            )
        if not uri.startswith(_SCHEMES):
            raise ValueError(f"must begin with one of {', '.join(_SCHEMES)}")
        return uri

    def anchored(self, folder: Path) -> TrackingConfig:
        """The same with an SQLite file's path made absolute; a relative one starts at `folder`."""
        if self.uri is None or not self.uri.startswith(_SQLITE):
            return self
        path = folder / Path(self.uri.removeprefix(_SQLITE)).expanduser()
        return self.model_copy(update={"uri": f"{_SQLITE}{path}"})


def without_login(text: str) -> str:
    """The text with user and password taken out of every address in it."""
    return _LOGIN.sub("://", text)
