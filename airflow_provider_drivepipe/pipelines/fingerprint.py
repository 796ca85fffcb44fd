"""Fingerprints: 16 hex digits over everything that decides what a stage makes of a row.

The result versions below are raised by hand when the same parameters start to give other results. They are
not the package version, so that an upgrade does not pay for everything again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from airflow_provider_drivepipe.contracts import Stage
from airflow_provider_drivepipe.pipelines.stage_sql import quote_text
from airflow_provider_drivepipe.scenario.label_schemas import schema_text
from airflow_provider_drivepipe.scenario.options import (
    FrameOptions,
    ImageEmbeddingOptions,
    LabelEmbeddingOptions,
    LabelOptions,
    QualityOptions,
    StageOptions,
)
from airflow_provider_drivepipe.scenario.prompts import whole_prompt

FRAMES_RESULT_VERSION = 1
LABEL_RESULT_VERSION = 1
IMAGE_EMBEDDING_RESULT_VERSION = 1
QUALITY_RESULT_VERSION = 1
LABEL_EMBEDDING_RESULT_VERSION = 1

PART_NAMES = {
    Stage.FRAME_EXTRACTION: "frames",
    Stage.KEYFRAME_EXPANSION: "keyframes",
    Stage.IMAGE_PREPARATION: "images",
    Stage.LABEL: "label",
    Stage.IMAGE_EMBEDDING: "image_embedding",
    Stage.LABEL_EMBEDDING: "label_embedding",
}
"""What the hash of a stage is called in a fingerprint."""
RULES = "rules"
"""The part of the rules that left frames out: pictures stay the same when only rules change."""
INPUT = "input"
"""The part of the input row's identity, which differs from row to row."""

_NOT_CONTENT = {"timeout_sec", "cpu", "memory_gb", "batch_rows"}
"""Frame options that change how the work is done, not what comes out."""

_NOT_LABEL_CONTENT = {"prompt_name", "repair_rounds"}
"""Label options that do not decide what a label that is ok looks like."""


def _digest(kind: str, version: int, content: dict[str, Any]) -> str:
    text = json.dumps([kind, version, content], sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def frames_fingerprint(options: FrameOptions, oss_root: str) -> str:
    """Return the fingerprint of frame extraction; ``oss_root`` counts because rows hold full URIs."""
    content = {k: v for k, v in asdict(options).items() if k not in _NOT_CONTENT}
    return _digest("frames", FRAMES_RESULT_VERSION, {**content, "oss_root": oss_root})


def quality_fingerprint(options: QualityOptions, limits: Mapping[str, int] | None = None) -> str:
    """Return the fingerprint of the rules that leave frames out.

    :param limits: what else decides whether a frame comes through, by name.
    """
    return _digest("quality", QUALITY_RESULT_VERSION, {**asdict(options), **(limits or {})})


def label_fingerprint(options: LabelOptions, model_project: str) -> str:
    """Return the fingerprint of labeling: model, prompt, schema content and limits.

    The prompt counts as it is sent, with its version; where prompt and schema came from does not count.
    Nor does how often a model is asked again: rows that are ok would be the same.
    """
    content = {k: v for k, v in asdict(options).items() if k not in _NOT_LABEL_CONTENT}
    content["prompt"] = whole_prompt(options)
    content["prompt_version"] = options.prompt_version
    content["label_schema"] = schema_text(options.label_schema) if options.label_schema else None
    return _digest("label", LABEL_RESULT_VERSION, {**content, "model_project": model_project})


def image_embedding_fingerprint(options: ImageEmbeddingOptions, model_project: str) -> str:
    """Return the fingerprint of image embedding: model and dimension."""
    content = {**asdict(options), "model_project": model_project}
    return _digest("image_embedding", IMAGE_EMBEDDING_RESULT_VERSION, content)


def label_embedding_fingerprint(options: LabelEmbeddingOptions, model_project: str) -> str:
    """Return the fingerprint of label embedding: model and dimension. The label's text is not part of it."""
    content = {**asdict(options), "model_project": model_project}
    return _digest("label_embedding", LABEL_EMBEDDING_RESULT_VERSION, content)


@dataclass(frozen=True)
class Fingerprint:
    """What the rows of a run are made with: a hash for each part, by name.

    A row's ``fingerprint`` column says it as ``frames=<hash>;label=<hash>;input=<hash>``, so that SQL can
    tell which part of a row is current, and only the others are made again.
    """

    hashes: Mapping[str, str]

    def __getitem__(self, name: str) -> str:
        """Return the hash of a part, empty where there is none."""
        return self.hashes.get(name, "")


def part_sql(fingerprint: str, name: str) -> str:
    """Return the hash of a part in a column of fingerprints, empty where there is none."""
    return f"COALESCE(REGEXP_EXTRACT({fingerprint}, '(^|;){name}=([^;]*)', 2), '')"


def without_part_sql(text: str, name: str) -> str:
    """Return a text with fingerprints in it without one of their parts."""
    return f"REGEXP_REPLACE({text}, ';{name}=[0-9a-f]*', '')"


def fingerprint_sql(hashes: Mapping[str, str]) -> str:
    """Return a row's fingerprint of the expressions of its parts."""
    pieces = (f"{quote_text(f';{name}=')}, {hash_}" for name, hash_ in hashes.items())
    return f"SUBSTR(CONCAT({', '.join(pieces)}), 2)"


def fingerprint_of(options: StageOptions, oss_root: str | None, model_project: str | None) -> Fingerprint:
    """Return the fingerprint of a stage. ``oss_root`` is needed for frames, ``model_project`` for models."""
    project = model_project or ""
    hashes: dict[str, str] = {}
    if options.frames:
        hashes[PART_NAMES[Stage.FRAME_EXTRACTION]] = frames_fingerprint(options.frames, oss_root or "")
        if options.quality:
            hashes[RULES] = quality_fingerprint(options.quality)
    if options.labels:
        hashes[PART_NAMES[Stage.LABEL]] = label_fingerprint(options.labels, project)
    if options.embedding:
        hashes[PART_NAMES[Stage.IMAGE_EMBEDDING]] = image_embedding_fingerprint(options.embedding, project)
    if options.label_embedding:
        hashes[PART_NAMES[Stage.LABEL_EMBEDDING]] = label_embedding_fingerprint(
            options.label_embedding, project
        )
    return Fingerprint(hashes)
