"""Drafts of scenarios: which answers are wrong or missing, which names follow a convention."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, combinations
from typing import Any

import yaml
from pydantic import ValidationError

from airflow_provider_drivepipe.pipelines.driving.options import PreparedImages
from airflow_provider_drivepipe.pipelines.driving.rules import combination_problems
from airflow_provider_drivepipe.pipelines.driving.scenario import DrivingScenario, InputShape, Target
from airflow_provider_drivepipe.scenario.messages import shown, value_problems
from airflow_provider_drivepipe.scenario.rules import unknown_keys

Draft = Mapping[str, Any]
"""Values of a scenario by key, some of them still missing."""

Finding = tuple[str, str]
"""Key and message."""

_PIPELINE_KINDS = (
    ("labeling", "image_labeling"),
    ("embedding", "image_embedding"),
    ("label-embedding", "label_embedding"),
    ("image-preparation", "image_features"),
    ("keyframe-expansion", "clip_keyframe_expansion"),
    ("frame-extraction", "video_frame_extraction"),
)
"""Names of final tables, by what is most of them; none is the name of a table in between."""
_IDENTIFIER = re.compile(r"[a-z][a-z0-9_]{0,99}")


def read_answer(key: str, text: str) -> Any:
    """Return what a text stands for as the value of a key: as YAML where that fits, else as it stands."""
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        return text
    if value is None or (
        not isinstance(value, str) and any(True for _ in _value_problems({key: value}, key))
    ):
        return text
    return value


def problems(draft: Draft) -> list[Finding]:
    """Return everything that is wrong with what a draft says; that something is missing is not wrong yet."""
    found = [*unknown_keys(list(draft), DrivingScenario)]
    known = {key: value for key, value in draft.items() if key in DrivingScenario.model_fields}
    found += [(key, message) for key, message in combination_problems(known) if _is_given(known, key)]
    found += _value_problems(known)
    return list(dict.fromkeys(found))


def _is_given(draft: Draft, key: str) -> bool:
    return draft.get(key) not in (None, "", [], ())


def _value_problems(draft: Draft, only: str | None = None) -> Iterator[Finding]:
    """Yield the values that their own keys do not allow; files that a value names are not read."""
    values = {k: v for k, v in draft.items() if not (isinstance(v, str) and v.startswith("file:"))}
    try:
        DrivingScenario(**values)
    except ValidationError as error:
        for key, message in value_problems(error, values):
            if only in (None, key):
                yield key, message + shown(key, values[key])


def missing_keys(draft: Draft) -> list[str]:
    """Return the keys that a draft needs and does not have."""
    known = {key: value for key, value in draft.items() if key in DrivingScenario.model_fields}
    found = [key for key, _ in combination_problems(known) if not _is_given(known, key)]
    return list(dict.fromkeys(found))


def possible_targets(shape: str) -> list[tuple[str, ...]]:
    """Return the combinations of targets that make sense of an input shape, smallest first."""
    everything = [str(target) for target in Target]
    tried = chain.from_iterable(combinations(everything, n) for n in range(1, len(everything) + 1))
    return [
        targets
        for targets in tried
        if not any(
            key in ("targets", "input_shape") and _is_given({"targets": targets, "input_shape": shape}, key)
            for key, _ in combination_problems({"input_shape": shape, "targets": list(targets)})
        )
    ]


def with_needed_targets(shape: str, targets: Sequence[str]) -> tuple[str, ...]:
    """Return the smallest combination that makes sense and has ``targets``; these alone if there is none."""
    wanted = set(targets)
    return next((found for found in possible_targets(shape) if wanted <= set(found)), tuple(targets))


def input_shapes() -> list[str]:
    """Return the input shapes that a scenario may have."""
    return [str(shape) for shape in InputShape]


def can_split(draft: Draft) -> bool:
    """Whether frames and models could be two tasks."""
    asked = {key: value for key, value in draft.items() if key != "split_video"}
    return not any(key == "split_video" for key, _ in combination_problems({**asked, "split_video": True}))


def conventional(draft: Draft) -> dict[str, str]:
    """Return the names that follow from the scenario's name, ``<scenario>_<pipeline kind>``.

    Only for keys that may stand in the draft and do not yet.
    """
    name, targets = draft.get("scenario_name"), draft.get("targets")
    if not isinstance(name, str) or not _IDENTIFIER.fullmatch(name) or not isinstance(targets, (list, tuple)):
        return {}
    final = next((kind for target, kind in _PIPELINE_KINDS if target in targets), "")
    names = {"video_input_table": f"{name}_video_manifest", "output_table": f"{name}_{final}"}
    found = {key: value for key, value in names.items() if key in missing_keys(draft)}
    if "frame-extraction" in targets and not _is_given(draft, "frames_prefix"):
        found["frames_prefix"] = name
    writes = draft.get("prepared_images", PreparedImages.WRITE_BACK) == PreparedImages.WRITE_BACK
    if "image-preparation" in targets and writes and not _is_given(draft, "prepared_prefix"):
        found["prepared_prefix"] = f"{name}_prepared"
    return found
