"""Rules that span several keys of a scenario: what is missing, what does not go together, what is no key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from airflow_provider_drivepipe.pipelines.driving.options import FRAME_FILTERS
from airflow_provider_drivepipe.pipelines.driving.shape_rules import ALLOWED, has_intermediate, shape_problems
from airflow_provider_drivepipe.scenario.model import Scenario

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
    "label_embedding_model": "text-embedding-v4",
}

NOT_YET = {
    "gpu_quota": "GPU quotas are not supported; AI functions manage their own service-side quota",
    "gpu_count": "GPU quotas are not supported; AI functions manage their own service-side quota",
    "need_oss_writeback": "frames are always written back to OSS, prepared images as prepared_images says",
    "oss_endpoint": "the endpoint comes from the Airflow connection (oss_endpoint)",
    "oss_region": "the region comes from the Airflow connection (oss_region)",
    "oss_role_arn": "the role comes from the Airflow connection (oss_role_arn)",
    "model_project": "the model project comes from the Airflow connection (model_project)",
}

_FREE_TARGETS = {"manifest", "frame-extraction", "keyframe-expansion", "image-preparation"}
_PRICED = {
    "labeling": ("input", "output"),
    "embedding": ("embedding",),
    "label-embedding": ("embedding",),
}
_IMAGE_EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
_CLIP_KEYS = (
    "clip_id_column",
    "clip_dir_column",
    "clip_start_column",
    "clip_end_column",
    "keyframe_count",
    "keyframe_stride",
    "image_extensions",
    "timestamp_unit",
    "clip_max_files",
    "clip_timeout_sec",
)
_NO_FRAMES = (
    "leaves out frames of videos or keyframes of clips, and there are none: remove the key, add the target "
    "frame-extraction to videos, or use input_shape clip_dir_table; images of a table are taken as they are"
)
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
    for key in ("scenario_name", "input_shape", "targets"):
        if not values.get(key):
            yield key, _missing(key)
    for problem in shape_problems(shape, targets):
        yield "targets", problem
    if shape == "oss_prefix":
        if not values.get("video_input_table"):
            yield "video_input_table", _missing("video_input_table")
        if values.get("source_table"):
            yield "source_table", "oss_prefix reads the manifest it writes (video_input_table); remove it"
    elif shape in ALLOWED and not values.get("source_table"):
        yield "source_table", _missing("source_table")
    reads_oss = shape not in ("image_table", "labeled_image_table") or "image-preparation" in targets
    if shape and reads_oss and not values.get("oss_bucket") and not values.get("oss_root"):
        yield "oss_bucket", _missing("oss_bucket")
    yield from _output_problems(values, shape, targets)
    if "labeling" in targets and not values.get("vlm_model"):
        yield "vlm_model", _missing("vlm_model")
    if "embedding" in targets and not values.get("embedding_model"):
        yield "embedding_model", _missing("embedding_model")
    if "label-embedding" in targets and not values.get("label_embedding_model"):
        yield "label_embedding_model", _missing("label_embedding_model")
    if values.get("frame_fps") is not None and values.get("frame_sample_count") is not None:
        yield "frame_sample_count", "give either frame_fps or frame_sample_count, not both"
    if values.get("label_columns") is True and not values.get("label_schema"):
        yield (
            "label_columns",
            "needs the fields of a label_schema; for example label_schema: driving-scene/v1",
        )
    if values.get("allow_empty") and shape and shape != "oss_prefix":
        yield "allow_empty", f"has no effect with input_shape {shape}: it is for a listing, oss_prefix"
    yield from _useless_keys(values, shape, targets)
    yield from _image_problems(values, shape, targets)
    yield from _money_problems(values, targets)


def _image_problems(values: Mapping[str, Any], shape: str, targets: set[str]) -> Iterator[Finding]:
    """What is wrong with the keys of clips and images."""
    for key in _CLIP_KEYS:
        if shape and shape != "clip_dir_table" and key in values:
            yield key, f"has no effect with input_shape {shape}: use clip_dir_table, or remove the key"
    listed = values.get("video_extensions")
    images = [e for e in listed if e in _IMAGE_EXTENSIONS] if isinstance(listed, (list, tuple)) else []
    if images:
        yield (
            "video_extensions",
            (
                f"{', '.join(images)} are images, and oss_prefix lists videos: use input_shape image_table "
                "for a table of images, or clip_dir_table for a table of their directories"
            ),
        )
    for one, other in (
        ("keyframe_count", "keyframe_stride"),
        ("image_longest_side", "image_exact_size"),
    ):
        if values.get(one) is not None and values.get(other) is not None:
            yield other, f"give either {one} or {other}, not both"
    if values.get("prepared_images") == "inline":
        split = any(values.get(k) for k in ("split_video", "need_intermediate_table", "output_tables"))
        if targets and not targets & {"labeling", "embedding"}:
            yield (
                "prepared_images",
                "inline passes images on to models: add labeling or embedding to targets, or use write_back",
            )
        elif split:
            yield (
                "prepared_images",
                (
                    "inline passes images on within one job, and a table in between holds none: use "
                    "write_back, or remove the split"
                ),
            )


def _output_problems(values: Mapping[str, Any], shape: str, targets: set[str]) -> Iterator[Finding]:
    tables = values.get("output_tables")
    named = tables if isinstance(tables, Mapping) else {}
    asked = [key for key in ("split_video", "need_intermediate_table") if values.get(key) is True]
    refused = [key for key in ("split_video", "need_intermediate_table") if values.get(key) is False]
    final = values.get("output_table") or named.get("final")
    if targets - {"manifest"} and not final:
        yield "output_table", _missing("output_table")
    if tables and refused:
        yield (
            "output_tables",
            f"asks for split-video, but {refused[0]} says false; remove one",
        )
    if (tables or asked) and targets and not has_intermediate(shape, targets):
        images = "image-preparation and " if shape in ("image_table", "labeled_image_table") else ""
        yield (
            "output_tables" if tables else asked[0],
            (
                f"split-video puts a table between images and models: add {images}labeling or embedding to "
                "targets, or remove it"
            ),
        )
    both = values.get("output_table"), named.get("final")
    if all(both) and both[0] != both[1]:
        yield "output_table", f"output_tables.final says {both[1]}; name the final table once"
    seen: dict[Any, str] = {}
    if final and final in _names_in_between(values, shape, targets, bool(tables or asked)):
        yield "output_table", f"{final} is the name of the table in between; name another output_table"
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


def _names_in_between(values: Mapping[str, Any], shape: str, targets: set[str], split: bool) -> Iterator[str]:
    """Yield the names of tables that follow from the scenario's name, whatever plan it has."""
    name = values.get("scenario_name")
    makes_images = shape not in ("image_table", "labeled_image_table")
    if "image-preparation" in targets and (split or makes_images):
        yield f"{name}_image_preparation"
    if makes_images and (split or "image-preparation" in targets) and not values.get("output_tables"):
        yield f"{name}_{'clip_keyframe_expansion' if shape == 'clip_dir_table' else 'video_frame_extraction'}"


def _useless_keys(values: Mapping[str, Any], shape: str, targets: set[str]) -> Iterator[Finding]:
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
        "label-embedding": ("label_embedding_model", "label_embedding_dim"),
        "frame-extraction": ("frame_fps", "frame_sample_count"),
        "image-preparation": (
            "prepared_images",
            "image_longest_side",
            "image_exact_size",
            "image_enlarge",
            "image_resize_filter",
            "image_jpeg_quality",
        ),
    }
    if targets == {"manifest"} and values.get("output_table") is not None:
        yield "output_table", "has no effect: the only table is the manifest, video_input_table"
    for target, keys in owners.items():
        for key in keys:
            if targets and target not in targets and values.get(key) is not None:
                yield key, f"has no effect without the target {target}: add the target, or remove the key"
    if targets and shape != "clip_dir_table" and "frame-extraction" not in targets:
        for key in ("frame_filters", *FRAME_FILTERS):
            if values.get(key) is not None:
                yield key, _NO_FRAMES


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
