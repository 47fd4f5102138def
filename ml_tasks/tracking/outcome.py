"""How a registration went."""

from __future__ import annotations

from pydantic import Field

from ml_tasks.records import Record


class Outcome(Record):
    """What became of the runs that were to be registered."""

    where: str
    done: tuple[str, ...] = ()
    failed: dict[str, str] = Field(default_factory=dict)  # run id: why
    unreachable: str = ""  # why MLflow did not answer at all; runs in neither were not tried

    @property
    def complete(self) -> bool:
        """Whether MLflow has taken all of them."""
        return not (self.failed or self.unreachable)

    def summary(self) -> str:
        """What was taken and what was not, and why."""
        lines = [f"MLflow ({self.where}) holds: {', '.join(self.done) or 'nothing new'}"]
        lines += [f"not taken: {run_id}: {reason}" for run_id, reason in self.failed.items()]
        if self.unreachable:
            lines.append(f"not reached: {self.unreachable}")
        return "\n".join(lines)

    def reason(self, run_id: str) -> str:
        """Why MLflow lacks this run."""
        return self.failed.get(run_id) or self.unreachable

    def advice(self, run_id: str) -> str:
        """One line: what is missing, why, and that nothing is lost."""
        return (
            f"MLflow ({self.where}) has not taken this run: {self.reason(run_id)}. "
            "Nothing is lost: the next run will try again, and so does `mammo track`"
        )
