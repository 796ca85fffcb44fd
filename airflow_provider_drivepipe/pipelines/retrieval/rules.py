"""Rules of this family's keys: what is missing, and what does not go together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from airflow_provider_drivepipe.pipelines.retrieval.options import Arm
from airflow_provider_drivepipe.pipelines.retrieval.scenario import Retrieval, RetrievalScenario
from airflow_provider_drivepipe.scenario.rules import Finding, missing, needed_keys, useless_keys


def combination_problems(values: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield a message for everything that is missing or does not go together, each with an example."""
    shape = str(values.get("input_shape") or "")
    raw = values.get("targets") or ()
    listed = raw.split(",") if isinstance(raw, str) else list(raw) if isinstance(raw, (list, tuple)) else []
    targets = {str(target).strip() for target in listed}
    for key in ("scenario_name", "input_shape", "targets", "source_table"):
        if not values.get(key):
            yield key, missing(key, RetrievalScenario)
    yield from needed_keys(values, targets, RetrievalScenario)
    yield from useless_keys(values, shape, targets, RetrievalScenario)
    options = values.get("retrieval")
    if isinstance(options, Mapping):
        yield from _option_problems(values, options)


def _option_problems(values: Mapping[str, Any], options: Mapping[str, Any]) -> Iterator[Finding]:
    arms = options.get("arms")
    draws = isinstance(arms, (list, tuple)) and Arm.PLANNED_IMAGE in [str(arm) for arm in arms]
    for key in ("image_model", "image_conn_id"):
        if draws and not options.get(key):
            meaning = Retrieval.model_fields[key].description
            yield "retrieval", f"{key}: missing: the arm planned_image draws: {meaning}"
        if not draws and options.get(key):
            yield (
                "retrieval",
                f"{key}: has no effect without the arm planned_image: add it, or remove the key",
            )
    if draws and not values.get("oss_bucket") and not values.get("oss_root"):
        yield "oss_bucket", missing("oss_bucket", RetrievalScenario)
    top, most = options.get("top_k"), options.get("max_frames")
    if isinstance(top, int) and isinstance(most, int) and most < top:
        yield (
            "retrieval",
            f"max_frames: {most} is less than top_k ({top}): a model would never see all of them",
        )
