"""Fingerprints: 16 hex digits over everything that decides what a stage makes of a row.

The result versions below are raised by hand when the same parameters start to give other results. They are
not the package version, so that an upgrade does not pay for everything again.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from typing import Any

from airflow_provider_drivepipe.scenario.options import FrameOptions, ImageEmbeddingOptions, LabelOptions

FRAMES_RESULT_VERSION = 1
LABEL_RESULT_VERSION = 1
IMAGE_EMBEDDING_RESULT_VERSION = 1

_NOT_CONTENT = {"timeout_sec", "cpu", "memory_gb", "batch_rows"}
"""Frame options that change how the work is done, not what comes out."""


def _digest(kind: str, version: int, content: dict[str, Any]) -> str:
    text = json.dumps([kind, version, content], sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def frames_fingerprint(options: FrameOptions, oss_root: str) -> str:
    """Return the fingerprint of frame extraction; ``oss_root`` counts because rows hold full URIs."""
    content = {k: v for k, v in asdict(options).items() if k not in _NOT_CONTENT}
    return _digest("frames", FRAMES_RESULT_VERSION, {**content, "oss_root": oss_root})


def label_fingerprint(options: LabelOptions, model_project: str) -> str:
    """Return the fingerprint of labeling: model, prompt text, schema and limits."""
    content = {k: v for k, v in asdict(options).items() if k != "prompt_name"}
    return _digest("label", LABEL_RESULT_VERSION, {**content, "model_project": model_project})


def image_embedding_fingerprint(options: ImageEmbeddingOptions, model_project: str) -> str:
    """Return the fingerprint of image embedding: model and dimension."""
    content = {**asdict(options), "model_project": model_project}
    return _digest("image_embedding", IMAGE_EMBEDDING_RESULT_VERSION, content)


def combined(*parts: str | None) -> str:
    """Join the fingerprints of the stages that a table holds, in stage order, with dots."""
    return ".".join(part for part in parts if part)
