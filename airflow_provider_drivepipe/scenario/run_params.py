"""Params of a run: what a person may choose in the trigger form for this run alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from airflow_provider_drivepipe.scenario.options import Reprocess, SelectionOptions
from airflow_provider_drivepipe.stages.stage import Stage

MAX_LIMIT = 1_000_000_000


@dataclass(frozen=True)
class RunParams:
    """The params of a run that differ from the scenario; None for what was not given.

    :param reprocess: which input units are worked on.
    :param limit: only the first so many input units of each task.
    :param allow_shrink: partitions may lose any number of rows.
    :param allow_empty: a listing may find nothing.
    :param given: what was given, for the report, params of stages included.
    """

    reprocess: Reprocess | None = None
    limit: int | None = None
    allow_shrink: bool = False
    allow_empty: bool = False
    given: Mapping[str, Any] = field(default_factory=dict)

    def selection(self, scenario: SelectionOptions) -> SelectionOptions:
        """Return which units this run works on."""
        return replace(
            scenario,
            reprocess=self.reprocess or scenario.reprocess,
            limit=self.limit if self.limit is not None else scenario.limit,
        )


def read_params(
    params: Mapping[str, Any], stages: Sequence[Stage] = ()
) -> tuple[RunParams, tuple[Stage, ...]]:
    """Read and check a run's params; return them, and the stages as they want them.

    A param for something that no stage does has no effect. Raises ValueError that names every param that does
    not fit.
    """
    given: dict[str, Any] = {}
    problems: list[str] = []

    def read(name: str, check: Callable[[Any], Any]) -> Any:
        value = params.get(name)
        if value is None or value == "":
            return None
        try:
            checked = check(value)
        except ValueError as error:
            problems.append(f"param {name}={value!r}: {error}")
            return None
        if checked is not False:
            given[name] = value
        return checked

    reprocess, limit = read("reprocess", _reprocess), read("limit", _limit)
    allow_shrink, allow_empty = read("allow_shrink", _flag), read("allow_empty", _flag)
    wanted = []
    for stage in stages:
        param = stage.param()
        wanted.append((param and read(param.name, stage.with_param)) or stage)
    if problems:
        raise ValueError("; ".join(problems))
    return RunParams(reprocess, limit, bool(allow_shrink), bool(allow_empty), given), tuple(wanted)


def _reprocess(value: Any) -> Reprocess:
    try:
        return Reprocess(value)
    except ValueError as error:
        raise ValueError(f"one of {', '.join(Reprocess)}") from error


def _limit(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_LIMIT:
        raise ValueError("a whole number from 1 up")
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value
