"""Rules that span several keys of a scenario: what is missing, what does not go together, what is no key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from airflow_provider_drivepipe.scenario.model import Scenario
from airflow_provider_drivepipe.scenario.options import FRAME_FILTERS

EXAMPLES = {
    "scenario_name": "night_rain",
    "input_shape": "oss_prefix",
    "targets": "[manifest, frame-extraction, labeling]",
    "oss_bucket": "my-driving-videos",
    "video_input_table": "night_rain_manifest",
    "source_table": "my_videos",
    "output_table": "night_rain_labels",
    "vlm_model": "qwen3-vl-plus",
    "embedding_model": "qwen3-vl-embedding",
}

NOT_YET = {
    "gpu_quota": "GPU quotas are not supported; AI functions manage their own service-side quota",
    "gpu_count": "GPU quotas are not supported; AI functions manage their own service-side quota",
    "need_oss_writeback": "frames are always written back to OSS; leave it out",
    "oss_endpoint": "the endpoint comes from the Airflow connection (oss_endpoint)",
    "oss_region": "the region comes from the Airflow connection (oss_region)",
    "oss_role_arn": "the role comes from the Airflow connection (oss_role_arn)",
    "model_project": "the model project comes from the Airflow connection (model_project)",
}

_NOT_YET_SHAPES = ("clip_dir_table", "image_table", "labeled_image_table")
_FREE_TARGETS = {"manifest", "frame-extraction", "keyframe-expansion", "image-preparation"}
_PRICED = {
    "labeling": ("input", "output"),
    "embedding": ("embedding",),
    "label-embedding": ("embedding",),
}
_CREDENTIAL_WORDS = (
    "secret",
    "password",
    "passwd",
    "token",
    "access_key",
    "accesskey",
    "credential",
    "api_key",
)
_CREDENTIAL_NAMES = ("ak", "sk", "aksk", "dashscope_api_key")
_NOT_CREDENTIALS = ("label_max_tokens",)

Finding = tuple[str, str]
"""Key and message."""


def looks_like_credential(key: str) -> bool:
    """Whether a key seems to hold an access key, a token or a password."""
    name = key.lower().replace("-", "_")
    if name in _NOT_CREDENTIALS:
        return False
    return name in _CREDENTIAL_NAMES or any(word in name for word in _CREDENTIAL_WORDS)


def unknown_keys(keys: Sequence[str]) -> Iterator[Finding]:
    """Yield a message for every key that is none of a scenario's."""
    for key in keys:
        if key in Scenario.model_fields:
            continue
        if key in NOT_YET:
            yield key, NOT_YET[key]
        elif looks_like_credential(key):
            yield (
                key,
                (
                    "credentials do not belong into a scenario file: put them into the Airflow connection "
                    "named by conn_id, and remove them from this file"
                ),
            )
        else:
            close = get_close_matches(key, Scenario.model_fields, n=1, cutoff=0.6)
            hint = f"; did you mean {close[0]}?" if close else ""
            yield key, f"unknown key{hint}"


def combination_problems(values: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield a message for everything that is missing or does not go together, each with an example."""
    shape = str(values.get("input_shape") or "")
    raw = values.get("targets") or ()
    listed = raw.split(",") if isinstance(raw, str) else list(raw) if isinstance(raw, (list, tuple)) else []
    targets = {("labeling" if str(t).strip() == "image-labeling" else str(t).strip()) for t in listed}
    if shape in _NOT_YET_SHAPES:
        yield "input_shape", f"{shape} is not supported yet; supported: oss_prefix, video_table"
        return
    for key in ("scenario_name", "input_shape", "targets"):
        if not values.get(key):
            yield key, _missing(key)
    models = targets & {"labeling", "embedding"}
    if models and "frame-extraction" not in targets:
        yield (
            "targets",
            (
                f"{' and '.join(sorted(models))} of videos needs frames: add frame-extraction, "
                f"as in [{', '.join([*sorted(targets - models), 'frame-extraction', *sorted(models)])}]"
            ),
        )
    if shape == "oss_prefix":
        if targets and "manifest" not in targets:
            yield "targets", "oss_prefix starts with a listing: add manifest, or use input_shape video_table"
        if not values.get("video_input_table"):
            yield "video_input_table", _missing("video_input_table")
        if values.get("source_table"):
            yield "source_table", "oss_prefix reads the manifest it writes (video_input_table); remove it"
    elif shape == "video_table":
        if "manifest" in targets:
            yield "targets", "a manifest is listed from OSS: use input_shape oss_prefix, or remove manifest"
        if not values.get("source_table"):
            yield "source_table", _missing("source_table")
    if shape and not values.get("oss_bucket") and not values.get("oss_root"):
        yield "oss_bucket", _missing("oss_bucket")
    yield from _output_problems(values, targets, bool(models))
    if "labeling" in targets and not values.get("vlm_model"):
        yield "vlm_model", _missing("vlm_model")
    if "embedding" in targets and not values.get("embedding_model"):
        yield "embedding_model", _missing("embedding_model")
    if values.get("frame_fps") is not None and values.get("frame_sample_count") is not None:
        yield "frame_sample_count", "give either frame_fps or frame_sample_count, not both"
    if values.get("label_columns") is True and not values.get("label_schema"):
        yield (
            "label_columns",
            "needs the fields of a label_schema; for example label_schema: driving-scene/v1",
        )
    yield from _useless_keys(values, targets)
    yield from _money_problems(values, targets)


def _output_problems(values: Mapping[str, Any], targets: set[str], models: bool) -> Iterator[Finding]:
    tables = values.get("output_tables")
    named = tables if isinstance(tables, Mapping) else {}
    asked = [key for key in ("split_video", "need_intermediate_table") if values.get(key) is True]
    refused = [key for key in ("split_video", "need_intermediate_table") if values.get(key) is False]
    final = values.get("output_table") or named.get("final")
    if "frame-extraction" in targets and not final:
        yield "output_table", _missing("output_table")
    if tables and refused:
        yield (
            "output_tables",
            f"asks for split-video, but {refused[0]} says false; remove one",
        )
    if (tables or asked) and targets and not (models and "frame-extraction" in targets):
        yield (
            "output_tables" if tables else asked[0],
            (
                "split-video puts a table between frames and models: add frame-extraction and labeling or "
                "embedding to targets, or remove it"
            ),
        )
    both = values.get("output_table"), named.get("final")
    if all(both) and both[0] != both[1]:
        yield "output_table", f"output_tables.final says {both[1]}; name the final table once"
    seen: dict[Any, str] = {}
    for key, table in (
        ("video_input_table", values.get("video_input_table")),
        ("source_table", values.get("source_table")),
        ("output_tables", named.get("frames")),
        ("output_table", final),
    ):
        if table and table in seen:
            yield key, f"{table} is named by {seen[table]} too; every task needs a table of its own"
        elif table:
            seen[table] = key


def _useless_keys(values: Mapping[str, Any], targets: set[str]) -> Iterator[Finding]:
    owners = {
        "labeling": (
            "vlm_model",
            "label_prompt",
            "label_prompt_name",
            "label_schema",
            "label_columns",
            "repair_rounds",
            "keep_raw_response",
        ),
        "embedding": ("embedding_model", "embedding_dim"),
        "frame-extraction": (
            "frame_fps",
            "frame_sample_count",
            "output_table",
            "frame_filters",
            *FRAME_FILTERS,
        ),
    }
    for target, keys in owners.items():
        for key in keys:
            if targets and target not in targets and values.get(key) is not None:
                yield key, f"has no effect without the target {target}: add the target, or remove the key"


def _money_problems(values: Mapping[str, Any], targets: set[str]) -> Iterator[Finding]:
    """What caps and prices of models need; ``targets`` are empty while they are not known."""
    if targets and targets <= _FREE_TARGETS:
        for key in ("max_rows", "max_calls", "prices"):
            if values.get(key) is not None:
                yield key, "has no effect without models: add labeling or embedding to targets, or remove it"
        return
    capped = next((key for key in ("max_rows", "max_calls") if values.get(key) is not None), None)
    if capped and values.get("reprocess") == "all":
        message = (
            "does not go with reprocess: all, which makes all rows anew: every run would stop at the same "
            "row. Use reprocess: changed"
        )
        yield capped, message
    prices = values.get("prices")
    if isinstance(prices, Mapping):
        for target, kinds in _PRICED.items():
            lacking = [kind for kind in kinds if prices.get(kind) is None]
            if target in targets and lacking:
                yield "prices", f"lacks {' and '.join(lacking)}, which {target} needs; 0 for what is free"


def _missing(key: str) -> str:
    purpose = Scenario.model_fields[key].description
    return f"missing: {purpose}; for example {key}: {EXAMPLES[key]}"
