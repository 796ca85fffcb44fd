"""Params of a run: what a person may choose in the trigger form for this run alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from airflow_provider_drivepipe.scenario.frame_rate import check_frame_rate
from airflow_provider_drivepipe.scenario.options import Reprocess, SelectionOptions, StageOptions

PROMPT_OF_RUN = "param:label_prompt"
MAX_LIMIT = 1_000_000_000
_MAX_PROMPT = 20_000


@dataclass(frozen=True)
class RunParams:
    """The params of a run that differ from the scenario; None for what was not given.

    :param reprocess: which input units are worked on.
    :param limit: only the first so many input units of each task.
    :param frame_fps: frames per second.
    :param label_prompt: text of the prompt.
    :param allow_shrink: partitions may lose any number of rows.
    :param allow_empty: a listing may find nothing.
    """

    reprocess: Reprocess | None = None
    limit: int | None = None
    frame_fps: str | None = None
    label_prompt: str | None = None
    allow_shrink: bool = False
    allow_empty: bool = False

    @classmethod
    def read(cls, params: Mapping[str, Any]) -> RunParams:
        """Read and check a run's params; other params are left alone.

        Raises ValueError that names every param that does not fit.
        """
        readers: dict[str, Callable[[Any], Any]] = {
            "reprocess": _reprocess,
            "limit": _limit,
            "frame_fps": check_frame_rate,
            "label_prompt": _prompt,
            "allow_shrink": _flag,
            "allow_empty": _flag,
        }
        values, problems = {}, []
        for name, read in readers.items():
            given = params.get(name)
            if given is None or given == "":
                continue
            try:
                values[name] = read(given)
            except ValueError as error:
                problems.append(f"param {name}={given!r}: {error}")
        if problems:
            raise ValueError("; ".join(problems))
        return cls(**values)

    def to_json(self) -> dict[str, Any]:
        """Return what was given, for the report."""
        return {name: value for name, value in asdict(self).items() if value not in (None, False)}

    def selection(self, scenario: SelectionOptions) -> SelectionOptions:
        """Return which units this run works on."""
        return replace(
            scenario,
            reprocess=self.reprocess or scenario.reprocess,
            limit=self.limit if self.limit is not None else scenario.limit,
        )

    def options(self, scenario: StageOptions) -> StageOptions:
        """Return what this run does; a param for something that the stage does not do has no effect."""
        frames, labels = scenario.frames, scenario.labels
        if frames is not None and self.frame_fps is not None:
            frames = replace(frames, fps=self.frame_fps, sample_count=None)
        if labels is not None and self.label_prompt is not None:
            labels = replace(labels, prompt=self.label_prompt, prompt_name=PROMPT_OF_RUN)
        return replace(scenario, frames=frames, labels=labels)


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


def _prompt(value: Any) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > _MAX_PROMPT:
        raise ValueError(f"a text of at most {_MAX_PROMPT} characters")
    return value
