"""Rules of this family's keys: what is missing, and what does not go together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from airflow_provider_drivepipe.pipelines.reasoning.options import Step
from airflow_provider_drivepipe.pipelines.reasoning.packs import PackError, load_pack
from airflow_provider_drivepipe.pipelines.reasoning.quality import FLAGS, Check
from airflow_provider_drivepipe.pipelines.reasoning.scenario import InputShape, ReasoningScenario, Target
from airflow_provider_drivepipe.scenario.rules import Finding, missing, needed_keys, useless_keys

_NEEDS = {
    Step.VIDEO_CAPTIONS: (Step.VIDEO_FILTER,),
    Step.CHUNK_CAPTIONS: (Step.VIDEO_FILTER,),
    Step.HIGHLIGHTS: (Step.VIDEO_CAPTIONS,),
    Step.DESCRIPTIONS: (Step.VIDEO_CAPTIONS,),
    Step.QA_ITEMS: (Step.DESCRIPTIONS,),
    Step.QA_EXPORT: (Step.QA_ITEMS,),
}
"""What a step reads: tables of these steps, made in the same run."""


def combination_problems(values: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield a message for everything that is missing or does not go together, each with an example."""
    shape = str(values.get("input_shape") or "")
    raw = values.get("targets") or ()
    listed = raw.split(",") if isinstance(raw, str) else list(raw) if isinstance(raw, (list, tuple)) else []
    targets = {str(target).strip() for target in listed}
    needed = ["scenario_name", "input_shape", "targets"]
    needed += ["video_input_table"] if shape == InputShape.OSS_PREFIX else []
    needed += ["source_table"] if shape == InputShape.VIDEO_TABLE else []
    for key in needed:
        if not values.get(key):
            yield key, missing(key, ReasoningScenario)
    if not values.get("oss_bucket") and not values.get("oss_root"):
        yield "oss_bucket", missing("oss_bucket", ReasoningScenario)
    if shape == InputShape.OSS_PREFIX and values.get("source_table"):
        yield "source_table", "oss_prefix reads the manifest it writes (video_input_table); remove it"
    if shape == InputShape.VIDEO_TABLE and Target.MANIFEST in targets:
        yield "targets", "a manifest is listed from OSS: use input_shape oss_prefix, or remove manifest"
    yield from needed_keys(values, targets, ReasoningScenario)
    yield from useless_keys(values, shape, targets, ReasoningScenario)
    options = values.get("reasoning")
    if isinstance(options, Mapping):
        yield from _option_problems(options)


def _option_problems(options: Mapping[str, Any]) -> Iterator[Finding]:
    steps = options.get("steps")
    if isinstance(steps, (list, tuple)):
        named = {str(step) for step in steps}
        for step, behind in _NEEDS.items():
            lacking = [str(each) for each in behind if each not in named]
            if step in named and lacking:
                yield "reasoning", f"steps: step {step} reads what step {lacking[0]} writes: add {lacking[0]}"
    checks, excluded = options.get("quality_checks", tuple(Check)), options.get("exclude")
    if isinstance(checks, (list, tuple)) and isinstance(excluded, (list, tuple)):
        flags = set(FLAGS).intersection(map(str, checks))
        for flag in excluded:
            if str(flag) in set(Check) - flags:
                yield "reasoning", f"exclude: no check of quality_checks flags items as {flag}"
    lengths = options.get("chunk_lengths_sec")
    if isinstance(lengths, (list, tuple)) and list(lengths) != sorted(set(lengths)):
        yield "reasoning", "chunk_lengths_sec: lengths ascend, as in [5, 10, 15, 20, 30]"
    try:
        load_pack(str(options.get("prompt_pack", "dashcam")), str(options.get("language", "en")))
    except PackError as error:
        yield "reasoning", f"prompt_pack: {error}"
