"""Which frames are worth a model call: measures of a frame, and decisions over the frames of a video.

For frames of a video, keyframes of a clip, or any images in their order: :func:`measure` each, then
:func:`judged` over all of them. Runs in DPE workers: numpy and Pillow only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from airflow_provider_drivepipe.contracts import FRAME_QUALITY_COLUMNS, Reason, Status
from airflow_provider_drivepipe.worker.phash import hamming_distance, perceptual_hash

MEASURE_NAMES = tuple(column.name for column in FRAME_QUALITY_COLUMNS)

_SHARPNESS_SIDE = 512
_THUMBNAIL = (64, 36)
_DIGITS = 3
"""Measures are rounded before anything is decided, so that the table's values decide alike."""


@dataclass(frozen=True)
class QualityRules:
    """Thresholds; None switches a rule off. See ``QualityOptions``."""

    min_brightness: float | None = None
    min_sharpness: float | None = None
    max_frozen_change: float | None = None
    near_duplicate_distance: int | None = None


@dataclass(frozen=True)
class FrameMeasures:
    """What is known of a frame: mean luma 0 to 255, variance of the Laplacian, change to the frame before.

    ``frame_change`` is the mean luma difference, 0 to 255; None for the first frame of a video.
    """

    brightness: float
    sharpness: float
    frame_change: float | None
    phash: str


@dataclass(frozen=True)
class Look:
    """The measures of one frame alone, and the thumbnail that it is compared by."""

    brightness: float
    sharpness: float
    phash: str
    thumbnail: bytes


def measure(image: Any) -> Look:
    """Measure a Pillow image.

    Sharpness is the variance of the Laplacian (4 neighbours) of the luma, on an image whose longest side is
    at most 512 pixels: cameras of different resolution share a threshold.
    """
    import numpy as np
    from PIL import Image

    luma = image.convert("L")
    scale = min(1.0, _SHARPNESS_SIDE / max(luma.size))
    size = tuple(max(1, round(side * scale)) for side in luma.size)
    small = luma if size == luma.size else luma.resize(size, Image.Resampling.BOX)
    pixels = np.asarray(small, dtype=np.float64)
    sharpness = 0.0
    if min(pixels.shape) >= 3:
        laplacian = (
            pixels[:-2, 1:-1]
            + pixels[2:, 1:-1]
            + pixels[1:-1, :-2]
            + pixels[1:-1, 2:]
            - 4 * pixels[1:-1, 1:-1]
        )
        sharpness = float(laplacian.var())
    thumbnail = small.resize(_THUMBNAIL, Image.Resampling.BOX)
    return Look(
        round(float(pixels.mean()), _DIGITS),
        round(sharpness, _DIGITS),
        perceptual_hash(small),
        thumbnail.tobytes(),
    )


def in_video_order(looks: Sequence[Look]) -> list[FrameMeasures]:
    """Return the measures of a video's frames, each with its change to the one before."""
    if not looks:
        return []
    changes = [None, *(_change(before, after) for before, after in pairwise(looks))]
    return [
        FrameMeasures(look.brightness, look.sharpness, change, look.phash)
        for look, change in zip(looks, changes, strict=True)
    ]


def decide(measures: Sequence[FrameMeasures], rules: QualityRules) -> list[str | None]:
    """Return, for each frame of a video in order, why it is left out, or None for one that is kept.

    The first rule that applies gives the reason: ``too_dark``, ``too_blurred``, ``frozen`` (the same picture
    as the frame before, kept or not), ``near_duplicate`` (much like the last frame that was kept).
    """
    reasons: list[str | None] = []
    kept: str | None = None
    for frame in measures:
        reason = _reason(frame, kept, rules)
        if reason is None:
            kept = frame.phash
        reasons.append(reason)
    return reasons


def judged(looks: Sequence[Look], rules: QualityRules, stage: str) -> list[dict[str, Any]]:
    """Return the columns of a video's frames in order: their measures and, for those left out, why."""
    measures = in_video_order(looks)
    return [
        {**_measures(frame), **({} if reason is None else _left_out(frame, reason, stage))}
        for frame, reason in zip(measures, decide(measures, rules), strict=True)
    ]


def _measures(frame: FrameMeasures) -> dict[str, Any]:
    """Not ``asdict``, which finds no fields in a data class that was shipped by value."""
    return {name: getattr(frame, name) for name in MEASURE_NAMES}


def _left_out(frame: FrameMeasures, reason: str, stage: str) -> dict[str, str]:
    change = "none" if frame.frame_change is None else f"{frame.frame_change:g}"
    return {
        "status": str(Status.FILTERED),
        "error_stage": stage,
        "error_type": str(reason),
        "error_msg": f"brightness {frame.brightness:g}, sharpness {frame.sharpness:g}, change {change}",
    }


def _reason(frame: FrameMeasures, kept: str | None, rules: QualityRules) -> str | None:
    if rules.min_brightness is not None and frame.brightness < rules.min_brightness:
        return Reason.TOO_DARK
    if rules.min_sharpness is not None and frame.sharpness < rules.min_sharpness:
        return Reason.TOO_BLURRED
    if (
        rules.max_frozen_change is not None
        and frame.frame_change is not None
        and frame.frame_change <= rules.max_frozen_change
    ):
        return Reason.FROZEN
    if (
        rules.near_duplicate_distance is not None
        and kept is not None
        and hamming_distance(frame.phash, kept) <= rules.near_duplicate_distance
    ):
        return Reason.NEAR_DUPLICATE
    return None


def _change(before: Look, after: Look) -> float:
    import numpy as np

    one, other = (
        np.frombuffer(look.thumbnail, dtype=np.uint8).astype(np.float64) for look in (before, after)
    )
    return round(float(np.abs(one - other).mean()), _DIGITS)
