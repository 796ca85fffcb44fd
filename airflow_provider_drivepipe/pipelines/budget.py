"""What a run may have from the models at most, and what each row takes of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from airflow_provider_drivepipe.contracts import Stage
from airflow_provider_drivepipe.pipelines.stage_tables import ModelPart, StageTables, parts_of_todo
from airflow_provider_drivepipe.scenario.options import SelectionOptions, StageOptions

BUDGET_MESSAGE = "not tried: beyond max_rows or max_calls of the run; the next run takes it up"


@dataclass(frozen=True)
class Budget:
    """Caps of a run, each None without one.

    :param rows: most rows that go to models.
    :param calls: most calls, counted as if every label needed all of its repair rounds: whether it does is
        known only after the answer, and a cap has to hold.
    :param calls_per_row: by the name of a model part, what a row takes.
    """

    rows: int | None
    calls: int | None
    calls_per_row: Mapping[str, int]

    @classmethod
    def of(cls, selection: SelectionOptions, options: StageOptions, tables: StageTables) -> Budget | None:
        """Return the budget of a run, None when nothing is capped or no model is called."""
        if (selection.max_rows is None and selection.max_calls is None) or not tables.parts:
            return None
        takes = {part.name: calls_per_row(part.stage, options) for part in tables.parts}
        return cls(selection.max_rows, selection.max_calls, takes)

    def calls_of(self, parts: Iterable[ModelPart]) -> int:
        """Return the calls that a row takes which lacks these parts."""
        return sum(self.calls_per_row[part.name] for part in parts)

    def rows_left(self, todo: Mapping[str, int], parts: Iterable[ModelPart]) -> int:
        """Return how many new rows, which lack all ``parts``, are in budget beside the rows of ``todo``."""
        left = []
        if self.rows is not None:
            left.append(self.rows - sum(todo.values()))
        if self.calls is not None:
            spent = sum(n * self.calls_of(parts_of_todo(work)) for work, n in todo.items())
            left.append((self.calls - spent) // self.calls_of(parts))
        return max(0, min(left))


def calls_per_row(stage: Stage, options: StageOptions) -> int:
    """Return the calls of a stage that one row takes at most."""
    labels = options.labels
    if stage is Stage.LABEL and labels is not None and labels.label_schema is not None:
        return 1 + labels.repair_rounds
    return 1
