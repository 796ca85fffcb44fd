"""Measures the keyframes of a clip, and decides which of them are worth a model call.

Runs in DPE workers: standard library, numpy and Pillow only.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_drivepipe.worker.child import ChildDiedError, ChildTimeoutError
from airflow_provider_drivepipe.worker.frame_quality import Look, QualityRules, judged, measure
from airflow_provider_drivepipe.worker.image_reading import read_image, refusal, why_no_answer
from airflow_provider_drivepipe.worker.images import decode
from airflow_provider_drivepipe.worker.rows import failed_cells
from airflow_provider_drivepipe.worker.serving_child import ServingChild


@dataclass(frozen=True)
class KeyframeQuality:
    """Which keyframes are left out, and what it may take to measure one.

    :param max_pixels: larger images fail before they are decoded.
    :param max_bytes: larger files fail before they are read.
    :param timeout_sec: deadline per image, in seconds; enforced from outside the decoder.
    """

    rules: QualityRules
    max_pixels: int
    max_bytes: int
    timeout_sec: float


def measured_columns(
    keys: Sequence[str], mount_path: str, quality: KeyframeQuality, stage: str
) -> list[dict[str, Any]]:
    """Return columns of a clip's keyframes, in their order: measures, and why those that are not ok are not.

    A keyframe that cannot be measured is a failed row of its own, and for its neighbours as if it were not
    there. What is ``filtered`` or ``failed`` has status columns, others have none.
    """
    answers = _answers(keys, mount_path, quality)
    readable = [answer for answer in answers if isinstance(answer, Look)]
    decided = iter(judged(readable, quality.rules, stage))
    return [
        next(decided) if isinstance(answer, Look) else _failed(answer, mount_path, stage)
        for answer in answers
    ]


def _answers(keys: Sequence[str], mount_path: str, quality: KeyframeQuality) -> list[Look | dict[str, str]]:
    """Measure in a child process: a decoder that hangs or crashes takes no other image with it."""

    def work(number: int) -> dict[str, Any]:
        try:
            return _look(read_image(mount_path, keys[number], quality.max_bytes), quality.max_pixels)
        except Exception as error:  # noqa: BLE001  (one broken image must not fail the others of its clip)
            return refusal(error)

    answers: list[Look | dict[str, str]] = []
    with ServingChild(work, quality.timeout_sec) as child:
        for number in range(len(keys)):
            try:
                answer = child.ask(number)
            except (ChildTimeoutError, ChildDiedError, OSError) as error:
                answer = why_no_answer(error, quality.timeout_sec)
            answers.append(answer if "reason" in answer else _look_of(answer))
    return answers


def _look(data: bytes, max_pixels: int) -> dict[str, Any]:
    """Return the measures of an upright image, as JSON can carry them."""
    look = measure(decode(data, max_pixels).pixels)
    return {
        "brightness": look.brightness,
        "sharpness": look.sharpness,
        "phash": look.phash,
        "thumbnail": base64.b64encode(look.thumbnail).decode(),
    }


def _look_of(answer: dict[str, Any]) -> Look:
    return Look(**{**answer, "thumbnail": base64.b64decode(answer["thumbnail"])})


def _failed(answer: dict[str, str], mount_path: str, stage: str) -> dict[str, str]:
    message = " ".join(answer["message"].replace(mount_path, "").split())
    return failed_cells(stage, answer["reason"], message.encode(errors="replace").decode())
