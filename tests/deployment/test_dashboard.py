"""The Grafana dashboard, held to Grafana's own schema, and what brings it into a Grafana."""

from __future__ import annotations

import enum
import json
import typing
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard
from pydantic import ConfigDict, TypeAdapter, ValidationError

from tests.conftest import PROJECT
from tests.deployment import dashboard

PROVISIONING = PROJECT / "docker" / "grafana" / "provisioning"
COLUMNS = 24


@pytest.fixture(scope="module", autouse=True)
def panel_types() -> None:
    """Without them the options of a panel, and its queries, would pass unread."""
    register_default_plugins()


@pytest.fixture
def content() -> dict[str, Any]:
    return dashboard.load()


def wrong_values(part: object, place: str = "dashboard") -> Iterator[str]:
    """Every value, at any depth, that is not of the type which the schema gives its field."""
    if isinstance(part, list):
        for number, item in enumerate(part):
            yield from wrong_values(item, f"{place}[{number}]")
        return
    if not type(part).__module__.startswith("grafana_foundation_sdk") or isinstance(
        part, enum.Enum
    ):
        return
    for name, kind in typing.get_type_hints(type(part)).items():
        value = getattr(part, name)
        try:
            TypeAdapter(kind, config=ConfigDict(arbitrary_types_allowed=True)).validate_python(
                value
            )
        except ValidationError as error:
            yield f"{place}.{name} is {value!r}: {error.errors()[0]['msg']}"
        yield from wrong_values(value, f"{place}.{name}")


def understood(content: dict[str, Any]) -> Any:
    """What Grafana's typed classes keep of a dashboard."""
    return json.loads(JSONEncoder().encode(Dashboard.from_json(content)))


def test_grafanas_classes_keep_every_word_of_it(content: dict[str, Any]) -> None:
    """A field that the schema does not have is lost on the way."""
    assert understood(content) == content


def test_every_value_is_of_the_schemas_type(content: dict[str, Any]) -> None:
    assert list(wrong_values(Dashboard.from_json(content))) == []


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("refresh",), 30),
        (("graphTooltip",), 7),
        (("panels", 1, "gridPos", "w"), "wide"),
        (("panels", 1, "fieldConfig", "defaults", "thresholds", "mode"), "absolutely"),
    ],
)
def test_a_wrong_value_is_found(
    content: dict[str, Any], place: tuple[Any, ...], value: Any
) -> None:
    part: Any = content
    for step in place[:-1]:
        part = part[step]
    part[place[-1]] = value
    assert len(list(wrong_values(Dashboard.from_json(content)))) == 1


@pytest.mark.parametrize(
    "place", [(), ("panels", 1), ("panels", 7, "options"), ("panels", 7, "targets", 0)]
)
def test_an_unknown_field_is_found(content: dict[str, Any], place: tuple[Any, ...]) -> None:
    part: Any = content
    for step in place:
        part = part[step]
    part["colour"] = "red"
    assert understood(content) != content


def test_panels_lie_side_by_side_and_cover_nothing(content: dict[str, Any]) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in content["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= COLUMNS, panel["title"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, f"{panel['title']} covers another panel"
        taken |= cells


def test_panels_have_a_number_a_title_and_say_what_they_show(content: dict[str, Any]) -> None:
    numbers = [panel["id"] for panel in content["panels"]]
    assert len(set(numbers)) == len(numbers)
    for panel in content["panels"]:
        assert panel["title"]
        assert panel["type"] == "row" or panel["description"], panel["title"]


def test_it_asks_the_data_source_that_its_reader_chooses(content: dict[str, Any]) -> None:
    (first, *_) = content["templating"]["list"]
    assert (first["name"], first["type"], first["query"]) == (
        "datasource", "datasource", "prometheus",
    )  # fmt: skip
    for panel in content["panels"]:
        for target in panel.get("targets", ()):
            assert target["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


def test_the_provisioned_data_source_is_the_stacks_prometheus() -> None:
    source = yaml.safe_load((PROVISIONING / "datasources" / "prometheus.yaml").read_text())
    (only,) = source["datasources"]
    assert (only["type"], only["url"]) == ("prometheus", "http://prometheus:9090")
    scrapes = yaml.safe_load((PROJECT / "docker" / "prometheus.yml").read_text())
    assert only["jsonData"]["timeInterval"] == scrapes["global"]["scrape_interval"]
