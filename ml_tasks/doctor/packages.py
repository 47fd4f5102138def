"""Python and the installed packages, against the lock that they come from."""

from __future__ import annotations

import sys
from importlib.metadata import distributions
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from pydantic import Field

from ml_tasks.doctor.findings import Finding, note, ok, to_mend
from ml_tasks.doctor.place import Place
from ml_tasks.records import Record

PYTHON, PACKAGES = "Python", "packages"
_SHOWN = 3
_OLDEST, _NEWEST = (3, 11), (3, 13)


class PackageFacts(Record):
    """What is installed, and how it differs from requirements/all.txt."""

    python: str
    locked: int | None  # packages of the lock; None where there is no lock to compare with
    whole: bool = False  # this is .venv of setup_ml.sh, which installs all of them
    other: dict[str, str] = Field(default_factory=dict)  # name: "1.2 instead of 1.3"
    missing: tuple[str, ...] = ()


def look(place: Place) -> PackageFacts:
    """Reads the lock and the metadata of every installed package."""
    python = ".".join(map(str, sys.version_info[:3]))
    try:
        text = (place.project / "requirements" / "all.txt").read_text(encoding="utf-8")
    except OSError:
        return PackageFacts(python=python, locked=None)
    wanted = locked_versions(text)
    there: dict[str, str] = {
        canonicalize_name(each.metadata["Name"]): each.version
        for each in distributions()
        if each.metadata["Name"]
    }
    return PackageFacts(
        python=python,
        locked=len(wanted),
        whole=Path(sys.prefix).resolve() == (place.project / ".venv").resolve(),
        other={
            name: f"{there[name]} instead of {version}"
            for name, version in wanted.items()
            if name in there and there[name] != version
        },
        missing=tuple(name for name in wanted if name not in there),
    )


def judge(facts: PackageFacts) -> list[Finding]:
    """One line for Python, one for the packages."""
    return [_python(facts.python), _packages(facts)]


def locked_versions(text: str) -> dict[str, str]:
    """{package: version} of a lock's lines that hold for this Python."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        if "==" not in line or line.startswith((" ", "#", "-")):
            continue
        try:
            requirement = Requirement(line.rstrip("\\ "))
        except InvalidRequirement:
            continue
        if requirement.marker is None or requirement.marker.evaluate():
            version = next(iter(requirement.specifier)).version
            found[canonicalize_name(requirement.name)] = version
    return found


def _python(version: str) -> Finding:
    number = tuple(int(part) for part in version.split(".")[:2])
    if _OLDEST <= number <= _NEWEST:
        return ok(PYTHON, version)
    return to_mend(
        PYTHON, f"{version} is not 3.11, 3.12 or 3.13", "install one, then ./setup_ml.sh"
    )


def _packages(facts: PackageFacts) -> Finding:
    if facts.locked is None:
        return note(PACKAGES, "not looked at: there is no requirements/all.txt here")
    absent = facts.missing if facts.whole else ()  # the image of one role holds fewer
    if not facts.other and not absent:
        count = facts.locked - len(facts.missing)
        return ok(PACKAGES, f"{count} of the {facts.locked} locked are installed as locked")
    differ = [f"{name} {what}" for name, what in sorted(facts.other.items())]
    differ += [f"{name} is missing" for name in absent]
    more = f", and {len(differ) - _SHOWN} more" if len(differ) > _SHOWN else ""
    return to_mend(PACKAGES, f"{'; '.join(differ[:_SHOWN])}{more}", "run ./setup_ml.sh")
