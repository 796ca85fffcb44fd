"""What a run may have from the models at most."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from airflow_provider_drivepipe.lifecycle.tables import StageTables
from airflow_provider_drivepipe.scenario.options import SelectionOptions

BUDGET_MESSAGE = "not tried: beyond max_rows or max_calls of the run; the next run takes it up"


@dataclass(frozen=True)
class Budget:
    """Caps of a run, each None without one.

    :param rows: most rows that go to models.
    :param calls: most calls, counted as if every answer needed all of its repair rounds: whether it does is
        known only after the answer, and a cap has to hold.
    :param calls_of: by stage, what a row takes that lacks its part.
    """

    rows: int | None
    calls: int | None
    calls_of: Mapping[str, int]

    @classmethod
    def of(cls, selection: SelectionOptions, tables: StageTables) -> Budget | None:
        """Return the budget of a run, None when nothing is capped or no model is called."""
        calls_of = {part.stage: part.calls for part in tables.parts}
        if (selection.max_rows is None and selection.max_calls is None) or not any(calls_of.values()):
            return None
        return cls(selection.max_rows, selection.max_calls, calls_of)

    def rows_left(self, rows: int, needs: Mapping[str, int]) -> int:
        """Return how many new rows, which lack all parts, are in budget beside rows that lack some.

        :param rows: how many of these there are.
        :param needs: by stage, how many of them lack its part.
        """
        left = []
        if self.rows is not None:
            left.append(self.rows - rows)
        if self.calls is not None:
            spent = sum(n * self.calls_of[stage] for stage, n in needs.items())
            left.append((self.calls - spent) // sum(self.calls_of.values()))
        return max(0, min(left))
