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

FRAMES_POSITION = 1
IDENTITY_POSITION = 4
LABEL_EMBEDDING_POSITION = 5
ABSENT = "-"
RULES_MARK = "~"
"""Stands between the hash of the frames and that of the rules that left some of them out."""

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


def with_rules(frames: str, rules: str) -> str:
    """Return the hash of frames followed by that of the rules that left some of them out."""
    return f"{frames}{RULES_MARK}{rules}"


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
    """What a row's ``fingerprint`` column says: hash of frames, of label, of embedding, then of the input.

    Four places with dots between them, ``-`` where a table holds no such thing; a fifth one for the embedding
    of the label where a table has that. So it can be told which part of a row is current, and only the others
    are made again. Where rules leave frames out, the hash of the frames is followed by ``~`` and the hash of
    the rules: pictures stay the same when only rules change.
    """

    frames: str = ABSENT
    label: str = ABSENT
    embedding: str = ABSENT
    label_embedding: str = ABSENT

    def prefix(self) -> str:
        """Return everything before the input's hash, which differs from row to row."""
        return f"{self.frames}.{self.label}.{self.embedding}"

    def suffix(self) -> str:
        """Return what comes after the input's hash, with its dot; nothing without label embeddings."""
        return "" if self.label_embedding == ABSENT else f".{self.label_embedding}"

    def at(self, position: int) -> str:
        """Return the hash at a place, counted from 1; the input's has none here."""
        return (self.frames, self.label, self.embedding, "", self.label_embedding)[position - 1]


def fingerprint_of(options: StageOptions, oss_root: str | None, model_project: str | None) -> Fingerprint:
    """Return the fingerprint of a stage. ``oss_root`` is needed for frames, ``model_project`` for models."""
    return Fingerprint(
        _frames_part(options, oss_root or "") if options.frames else ABSENT,
        label_fingerprint(options.labels, model_project or "") if options.labels else ABSENT,
        image_embedding_fingerprint(options.embedding, model_project or "") if options.embedding else ABSENT,
        label_embedding_fingerprint(options.label_embedding, model_project or "")
        if options.label_embedding
        else ABSENT,
    )


def _frames_part(options: StageOptions, oss_root: str) -> str:
    assert options.frames is not None
    frames = frames_fingerprint(options.frames, oss_root)
    if options.quality is None:
        return frames
    return with_rules(frames, quality_fingerprint(options.quality))
