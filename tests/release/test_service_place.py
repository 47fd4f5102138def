"""The place of the stack's service, as the environment names it."""

from __future__ import annotations

from pathlib import Path

import pytest

from ml_tasks.errors import ConfigError, StageSkipped
from ml_tasks.release.service_place import ServicePlace

HERE = Path("/mammo/statistics")
NAMED = {"MAMMO_SERVICE_NETWORK": "mammography_default"}


def test_without_a_network_there_is_nothing_to_do() -> None:
    with pytest.raises(StageSkipped, match="MAMMO_SERVICE_NETWORK is not set"):
        ServicePlace.from_environment({"MAMMO_SHARED_HOST": "/srv/shared"}, HERE)


def test_the_folder_is_named_as_the_engines_machine_knows_it() -> None:
    there = ServicePlace.from_environment(NAMED | {"MAMMO_SHARED_HOST": "/srv/shared"}, HERE)
    assert (there.network, there.statistics) == (
        "mammography_default",
        Path("/srv/shared/statistics"),
    )
    assert ServicePlace.from_environment(NAMED, HERE).statistics == HERE
    with pytest.raises(ConfigError, match=r"is 'shared'; set it to the absolute path"):
        ServicePlace.from_environment(NAMED | {"MAMMO_SHARED_HOST": "shared"}, HERE)


def test_the_folder_may_lie_deeper_but_not_beside_the_shared_volume() -> None:
    here = NAMED | {"MAMMO_SHARED_HOST": "/srv/shared", "MAMMO_CONFIG": "/mammo/config.yaml"}
    deeper = Path("/mammo/monitoring/statistics")
    place = ServicePlace.from_environment(here, deeper)
    assert place.statistics == Path("/srv/shared/monitoring/statistics")
    with pytest.raises(ConfigError, match=r"/data/statistics, which is not on the shared volume"):
        ServicePlace.from_environment(here, Path("/data/statistics"))


def test_the_services_own_settings_are_handed_on_and_others_are_not() -> None:
    """Changed, they make another mark: the service is then started anew."""
    given = {"MAMMO_API_KEY": "k3y", "MAMMO_REGISTRY_PASSWORD": "x", "MAMMO_QUEUE": ""}
    place = ServicePlace.from_environment(NAMED | given, HERE)
    assert place.settings == {"MAMMO_API_KEY": "k3y"} and "k3y" not in repr(place)
    assert place.mark != ServicePlace.from_environment(NAMED, HERE).mark
    assert place.mark == ServicePlace.from_environment(NAMED | given, HERE).mark
