"""A draft as a commented scenario file, with fields to fill in where nothing is known."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from airflow_provider_drivepipe.documents.drafting import Draft, missing_keys, problems
from airflow_provider_drivepipe.pipelines.driving.scenario import DrivingScenario
from airflow_provider_drivepipe.scenario.fill_in import fill_in

_COMMENT_COLUMN = 44
_WIDTH = 110
_END_OF_SCALAR = "...\n"


@dataclass(frozen=True)
class _Section:
    """Keys that belong together, under a heading; ``hints`` are further keys with an example of a value."""

    heading: str
    keys: tuple[str, ...]
    hints: dict[str, str] = field(default_factory=dict)


_SECTIONS = (
    _Section(
        "",
        ("scenario_name", "description", "owner", "tags"),
        {"description": "night drives in rain"},
    ),
    _Section(
        "What the scenario starts from, and what it makes of it.",
        ("input_shape", "targets", "split_video", "need_intermediate_table", "output_tables"),
    ),
    _Section(
        "Where the data is. Endpoints, region, role and access keys stand in the Airflow connection.",
        ("conn_id", "oss_bucket", "oss_root", "oss_prefix", "video_extensions", "oss_mount_path"),
        {"conn_id": "drivepipe_default", "oss_prefix": "trips/{ds}/"},
    ),
    _Section(
        "The tables. Those that the scenario writes are created when they are missing.",
        ("source_table", "video_input_table", "output_table", "meta_lifecycle"),
        {"meta_lifecycle": "90"},
    ),
    _Section(
        "Frames: how many, and below which key prefix of the bucket.",
        ("frame_fps", "frame_sample_count", "frames_prefix", "jpeg_quality"),
        {"frame_fps": "1/2", "frame_sample_count": "8"},
    ),
    _Section(
        "Clips: the columns of their table, and how many of their images.",
        (
            "clip_id_column",
            "clip_dir_column",
            "clip_start_column",
            "clip_end_column",
            "keyframe_count",
            "keyframe_stride",
        ),
        {"clip_id_column": "clip_id", "clip_dir_column": "clip_dir", "keyframe_count": "8"},
    ),
    _Section(
        "Frames and keyframes that are not worth a model call.",
        (
            "frame_filters",
            "min_brightness",
            "min_sharpness",
            "max_frozen_change",
            "near_duplicate_distance",
        ),
        {"frame_filters": "[too_dark, too_blurred]"},
    ),
    _Section(
        "Prepared images: their size, and what becomes of them.",
        ("prepared_images", "prepared_prefix", "image_longest_side", "image_exact_size"),
        {"image_longest_side": "1024"},
    ),
    _Section(
        "Models of the connection's model project.",
        (
            "vlm_model",
            "label_schema",
            "label_prompt_style",
            "label_prompt",
            "embedding_model",
            "embedding_dim",
            "label_embedding_model",
            "label_embedding_dim",
        ),
        {
            "label_schema": "driving-scene/v1",
            "label_prompt_style": "driving-scene-zh",
            "embedding_dim": "256",
            "label_embedding_dim": "256",
        },
    ),
    _Section(
        "What models cost, and what one run may have of them.",
        ("prices", "max_rows", "max_calls"),
        {"prices": "{currency: CNY, input: 1.5, output: 4.5, embedding: 0.7}", "max_calls": "10000"},
    ),
    _Section(
        "When it runs, and which partition a run owns.",
        ("schedule", "timezone", "partition_col", "partition_granularity", "partition_lag"),
        {"schedule": '"30 2 * * *"', "timezone": "Asia/Shanghai"},
    ),
    _Section(
        "When a task fails, before it publishes its partition or afterwards.",
        ("max_failure_rate", "min_rows", "max_shrink", "allow_empty"),
        {"max_failure_rate": "0.1", "min_rows": "1"},
    ),
)
_FURTHER = "Further settings."
_HINTS_OF_TARGETS = {"oss_prefix": "manifest", "label_prompt_style": "labeling"}
"""Hints that only make sense with a target, although the key may always be set."""


def scenario_file(draft: Draft, defaults: Draft | None = None) -> str:
    """Return the text of a scenario file.

    What is needed and not known becomes a field to fill in; some of what may be set is there as a comment.

    :param draft: the values to write.
    :param defaults: values that lie underneath the file, and so need not stand in it.
    """
    underneath = {**(defaults or {}), **draft}
    fields = {
        key: fill_in(str(DrivingScenario.model_fields[key].description)) for key in missing_keys(underneath)
    }
    written = {**draft, **fields}
    placed = {key for section in _SECTIONS for key in section.keys}
    further = _Section(_FURTHER, tuple(key for key in written if key not in placed))
    blocks = []
    for section in (*_SECTIONS, further):
        lines = [*_lines(section, written, fields), *_hints(section, underneath, written)]
        if lines:
            blocks.append("\n".join([*_comment(section.heading), *lines]))
    return "\n\n".join(blocks) + "\n"


def _lines(section: _Section, written: Draft, fields: Draft) -> Iterator[str]:
    for key in section.keys:
        if key in fields:
            yield _setting(key, written[key])
        elif key in written:
            yield from _explained(_setting(key, written[key]), key)


def _hints(section: _Section, underneath: Draft, written: Draft) -> Iterator[str]:
    before = problems(underneath)
    for key, example in section.hints.items():
        if key in underneath or key in written:
            continue
        if _HINTS_OF_TARGETS.get(key, "") not in ("", *(underneath.get("targets") or ())):
            continue
        if problems({**underneath, key: yaml.safe_load(example)}) == before:
            yield from _explained(f"# {key}: {example}", key)


def _explained(setting: str, key: str) -> Iterator[str]:
    """Yield a line with what its key means, beside it where there is room, else above it."""
    meaning = DrivingScenario.model_fields[key].description or ""
    beside = f"{setting:<{_COMMENT_COLUMN}} # {meaning}"
    if len(beside) <= _WIDTH:
        yield beside
    else:
        yield from _comment(meaning)
        yield setting


def _setting(key: str, value: Any) -> str:
    shown = list(value) if isinstance(value, tuple) else value
    text = yaml.safe_dump(shown, default_flow_style=True, allow_unicode=True, width=float("inf"))
    return f"{key}: {text.removesuffix(_END_OF_SCALAR).rstrip()}"


def _comment(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent="# ", subsequent_indent="# ")
