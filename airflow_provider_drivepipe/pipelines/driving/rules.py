"""Rules of this family's keys: which targets go with which input shape, and what does not go together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from airflow_provider_drivepipe.pipelines.driving.options import FRAME_FILTERS, SamplingRule
from airflow_provider_drivepipe.pipelines.driving.scenario import DrivingScenario
from airflow_provider_drivepipe.scenario.rules import Finding, missing, needed_keys, useless_keys

MODEL_TARGETS = ("labeling", "embedding", "label-embedding")

_BEHIND_IMAGES = ("image-preparation", *MODEL_TARGETS)
ALLOWED: dict[str, tuple[str, ...]] = {
    "oss_prefix": ("manifest", "frame-extraction", *_BEHIND_IMAGES),
    "video_table": ("frame-extraction", *_BEHIND_IMAGES),
    "clip_dir_table": ("keyframe-expansion", *_BEHIND_IMAGES),
    "image_table": _BEHIND_IMAGES,
    "labeled_image_table": ("image-preparation", "embedding", "label-embedding"),
}
"""The targets of each input shape, in the order in which they are made."""

_FREE_TARGETS = {"manifest", "frame-extraction", "keyframe-expansion", "image-preparation"}
_PRICED = {
    "labeling": ("input", "output"),
    "embedding": ("embedding",),
    "label-embedding": ("embedding",),
}
_IMAGE_EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
_NO_FRAMES = (
    "leaves out frames of videos or keyframes of clips, and there are none: remove the key, add the target "
    "frame-extraction to videos, or use input_shape clip_dir_table; images of a table are taken as they are"
)
_DEFAULT = {
    "oss_prefix": ("manifest",),
    "video_table": ("frame-extraction",),
    "clip_dir_table": ("keyframe-expansion",),
    "image_table": ("labeling",),
    "labeled_image_table": ("embedding",),
}
_ORIGIN = {
    "manifest": "a manifest is listed from OSS: use input_shape oss_prefix",
    "frame-extraction": "frames are cut from videos: use input_shape video_table",
    "keyframe-expansion": "keyframes are taken from the directories of clips: use input_shape clip_dir_table",
    "labeling": "its images have labels already: use input_shape image_table to label them anew",
}
"""Why a target does not go with a shape, and which shape it goes with."""


def nearest(shape: str, targets: set[str]) -> list[str]:
    """Return the targets that work and come closest to ``targets``; these themselves where they work."""
    allowed = ALLOWED[shape]
    kept = targets.intersection(allowed) or set(_DEFAULT[shape])
    if shape == "oss_prefix":
        kept.add("manifest")
    if shape == "video_table" or (shape == "oss_prefix" and kept.intersection(_BEHIND_IMAGES)):
        kept.add("frame-extraction")
    if "label-embedding" in kept and shape != "labeled_image_table":
        kept.add("labeling")
    return [target for target in allowed if target in kept]


def shape_problems(shape: str, targets: set[str]) -> Iterator[str]:
    """Yield what is wrong with the targets of a shape, a line for each problem; nothing for unknown ones."""
    if shape not in ALLOWED or not targets:
        return
    works = f"as in [{', '.join(nearest(shape, targets))}]"
    for target in sorted(targets.intersection(_ORIGIN).difference(ALLOWED[shape])):
        yield f"{_ORIGIN[target]}, or remove {target}, {works}"
    lacking = [target for target in nearest(shape, targets) if target not in targets]
    if "manifest" in lacking:
        yield f"oss_prefix starts with a listing: add manifest, {works}, or use input_shape video_table"
    asked = " and ".join(target for target in _BEHIND_IMAGES if target in targets)
    if "frame-extraction" in lacking and asked:
        yield f"{asked} of videos needs frames: add frame-extraction, {works}"
    if "labeling" in lacking and "label-embedding" in targets:
        yield (
            f"label-embedding needs labels: add labeling, {works}, or use input_shape labeled_image_table "
            "for labels that are there already"
        )


def has_intermediate(shape: str, targets: set[str]) -> bool:
    """Whether there can be a table between the images and the models."""
    makes_images = shape in ("oss_prefix", "video_table", "clip_dir_table") or "image-preparation" in targets
    return makes_images and bool(targets.intersection(MODEL_TARGETS))


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
    yield from needed_keys(values, targets, DrivingScenario)
    if values.get("frame_fps") is not None and values.get("frame_sample_count") is not None:
        yield "frame_sample_count", "give either frame_fps or frame_sample_count, not both"
    if values.get("frame_sample_count") is not None and values.get("sampling_rule") == SamplingRule.KEYFRAMES:
        yield "frame_sample_count", "key frames are chosen by frame_fps: at most one in each interval"
    if (
        values.get("snap_to_keyframe_ms") is not None
        and values.get("sampling_rule") == SamplingRule.KEYFRAMES
    ):
        yield "snap_to_keyframe_ms", "has no effect with sampling_rule keyframes: all frames are key frames"
    if values.get("label_columns") is True and not values.get("label_schema"):
        yield (
            "label_columns",
            "needs the fields of a label_schema; for example label_schema: driving-scene/v1",
        )
    if values.get("allow_empty") and shape and shape != "oss_prefix":
        yield "allow_empty", f"has no effect with input_shape {shape}: it is for a listing, oss_prefix"
    yield from _useless_keys(values, shape, targets)
    yield from _image_problems(values, targets)
    yield from _money_problems(values, targets)


def _image_problems(values: Mapping[str, Any], targets: set[str]) -> Iterator[Finding]:
    """What is wrong with the keys of clips and images."""
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
    if targets == {"manifest"} and values.get("output_table") is not None:
        yield "output_table", "has no effect: the only table is the manifest, video_input_table"
    yield from useless_keys(values, shape, targets, DrivingScenario)
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
    return missing(key, DrivingScenario)
