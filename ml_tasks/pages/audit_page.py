"""The page of the audit log: who did what to which release, when and why."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ml_tasks.errors import AuditError
from ml_tasks.pages.answer import Answer
from ml_tasks.pages.frame import framed
from ml_tasks.pages.reading import shown_time
from ml_tasks.pages.site import Site
from ml_tasks.release.audit import AuditEntry, read_audit

ENTRIES = 8  # on the page Models
_WHOLE = 1000  # on the page of its own

_MAIN = """<h1>Audit log</h1>
<p>Who did what to which run or release, and why; the newest first. Each line is chained to the one
before it, so that none can be edited or taken out unseen: <code>mammo audit</code> verifies it.</p>
{% if audit.problem %}<p class="bad told" role="alert">{{ audit.problem }}</p>
{% elif audit.entries %}<div class="scroll" role="region" aria-label="Table" tabindex="0"><table>
<tr><th scope="col">When (UTC)</th><th scope="col">Who</th><th scope="col">Did</th>
<th scope="col">What</th><th scope="col">Why</th></tr>
{% for entry in audit.lines %}<tr><td>{{ entry.when }}</td><td>{{ entry.who }}</td>
<td>{{ entry.deed }}</td><td>{{ entry.subject }}{% if entry.digest %}<br>
<code>{{ entry.digest }}</code>{% endif %}</td><td>{{ entry.why }}</td></tr>{% endfor %}
</table></div>{% if audit.older %}<p class="quiet">And {{ audit.older }} older: <code>mammo
audit</code>.</p>{% endif %}{% else %}<p>Nothing was noted yet.</p>{% endif %}
"""


@dataclass(frozen=True)
class Line:
    """One entry for people."""

    when: str
    who: str
    deed: str
    subject: str
    why: str
    digest: str | None

    def __str__(self) -> str:
        why = f": {self.why}" if self.why else ""
        return f"{self.when}, {self.who}: {self.deed} {self.subject}{why}"


@dataclass(frozen=True)
class Audit:
    """The newest entries, or why they cannot be shown."""

    lines: tuple[Line, ...] = ()
    older: int = 0
    problem: str = ""

    @property
    def entries(self) -> tuple[str, ...]:
        return tuple(str(line) for line in self.lines)


def audit_shown(releases: Path, most: int) -> Audit:
    """The newest `most` entries, the newest first; a damaged log is said, never hidden."""
    try:
        entries = read_audit(releases)
    except (AuditError, OSError, ValueError) as error:
        return Audit(problem=f"The audit log cannot be shown: {error}")
    shown = entries[-most:][::-1]
    return Audit(tuple(_line(entry) for entry in shown), len(entries) - len(shown))


def audit(site: Site) -> Answer:
    """The whole log."""
    return framed(
        site, "Audit log", _MAIN, {"audit": audit_shown(site.config.paths.releases, _WHOLE)}
    )


def _line(entry: AuditEntry) -> Line:
    return Line(
        when=shown_time(entry.at),
        who=entry.who,
        deed=entry.deed.value,
        subject=entry.subject,
        why=entry.why,
        digest=entry.digest,
    )
