"""The alerts, by promtool: sound, unit-tested, each one tested, each one explained."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import PROJECT

ALERTS = PROJECT / "docker" / "alerts.yml"
UNIT_TESTS = PROJECT / "tests" / "deployment" / "alerts_test.yml"
PAGE = PROJECT / "docs" / "metrics.md"


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(ALERTS.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def run(promtool: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([promtool, *arguments], capture_output=True, text=True, timeout=300)


def test_promtool_accepts_the_configuration(promtool: Path) -> None:
    checked = run(promtool, "check", "config", str(PROJECT / "docker" / "prometheus.yml"))
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert f"{len(rules())} rules found" in checked.stdout


def test_the_unit_tests_of_the_alerts_pass(promtool: Path) -> None:
    tested = run(promtool, "test", "rules", str(UNIT_TESTS))
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_a_weaker_alert_fails_them(promtool: Path, tmp_path: Path) -> None:
    """Else the unit tests would say nothing."""
    weaker = ALERTS.read_text().replace("> 0.05", "> 0.5").replace("< 0.03", "< 0.003")
    (tmp_path / "alerts.yml").write_text(weaker)
    content = yaml.safe_load(UNIT_TESTS.read_text())
    content["rule_files"] = ["alerts.yml"]
    content["tests"] = [
        test for test in content["tests"] if re.search("disk fills|one in ten", test["name"])
    ]
    (tmp_path / "tests.yml").write_text(yaml.safe_dump(content))
    tested = run(promtool, "test", "rules", str(tmp_path / "tests.yml"))
    assert tested.returncode != 0
    text = tested.stdout + tested.stderr
    assert "ServiceErrors" in text and "DiskFull" in text


@pytest.mark.parametrize("name", [rule["alert"] for rule in rules()])
def test_each_alert_is_seen_firing_and_is_explained(name: str) -> None:
    """That all are quiet where all is well is the first of the unit tests."""
    tests = yaml.safe_load(UNIT_TESTS.read_text())["tests"]
    cases = [case for test in tests for case in test.get("alert_rule_test", ())]
    assert any(case.get("exp_alerts") for case in cases if case["alertname"] == name)
    assert re.search(rf"^\| `{name}` \|", PAGE.read_text(), re.M), f"{PAGE.name} lacks {name}"
