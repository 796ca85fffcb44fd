"""Plans of questions: which frames a model wants to see. Runs in DPE workers: stdlib and pandas only."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_drivepipe.contracts import Column, Reason
from airflow_provider_drivepipe.worker.answers import Failure
from airflow_provider_drivepipe.worker.label_parse import objects
from airflow_provider_drivepipe.worker.retrieval.frames import frame_numbers, shown_frames
from airflow_provider_drivepipe.worker.rows import Result, RowPart, text_of, with_results

REQUEST_COLUMNS: tuple[Column, ...] = (
    Column("requests", "string", "JSON list of objects with reference_frame_idx, reference_url and prompt"),
    Column(
        "requests_moved", "bigint", "requests whose frame was not shown, so that the nearest one stands in"
    ),
)
_SHOWN = 200


@dataclass(frozen=True)
class PlanJob:
    """How plans are read.

    :param part: what they become, with the columns of ``REQUEST_COLUMNS``; its result is ``requests``.
    :param text: column with the model's answer.
    :param frames: column with the lines of the frames that the model saw.
    :param max_requests: how many requests are kept, the first ones.
    """

    part: RowPart
    text: str = "plan_text"
    frames: str = "initial_frames"
    max_requests: int = 4


@dataclass(frozen=True)
class Request:
    """A frame that a model would like to see, and the shown one that looks most like it."""

    reference_frame_idx: int
    reference_url: str
    prompt: str


def read_requests(rows: Any, job: PlanJob, columns: Sequence[str]) -> Any:
    """Return ``columns`` of ``rows``, a pandas DataFrame, with the requests of their plans.

    A plan without a single request fails with ``schema_violation``.
    """
    return with_results(rows, [_result(row, job) for row in rows.to_dict("records")], job.part, columns)


def requests_of(text: str, shown: Mapping[int, str], limit: int) -> tuple[list[Request], int]:
    """Return the first requests of a plan, and how many of them have the nearest frame instead of their own.

    Read are an object with ``requests``, a list, or objects one after the other, whatever is around them.
    A request without a prompt or without a number of a frame is dropped, and so is one that is there already.

    :param shown: URIs of the frames that the model saw, by number. Of two nearest the earlier counts.
    """
    found: dict[Request, bool] = {}
    for said in _said(text):
        number, prompt = _number(said), said.get("prompt")
        if number is None or not isinstance(prompt, str) or not prompt.strip() or not shown:
            continue
        nearest = min(shown, key=lambda index: (abs(index - number), index))
        found.setdefault(Request(nearest, shown[nearest], prompt.strip()), nearest != number)
    kept = list(found.items())[:limit]
    return [request for request, _ in kept], sum(moved for _, moved in kept)


def _result(row: Mapping[str, Any], job: PlanJob) -> Result:
    text = text_of(row[job.text])
    requests, moved = requests_of(text, shown_frames(text_of(row[job.frames])), job.max_requests)
    if not requests:
        message = f"the plan holds no request with a frame's number and a prompt: {text[:_SHOWN]}"
        return {}, Failure(Reason.SCHEMA_VIOLATION, message)
    asked = json.dumps([vars(request) for request in requests], ensure_ascii=False, separators=(",", ":"))
    return {"requests": asked, "requests_moved": moved}, None


def _said(text: str) -> list[dict[str, Any]]:
    """Return the requests as the model said them: of the first object that lists some, else all objects."""
    values = [found.value for found in objects(text)]
    for value in values:
        listed = value.get("requests")
        if isinstance(listed, list):
            return [one for one in listed if isinstance(one, dict)]
    return values


def _number(said: Mapping[str, Any]) -> float | None:
    number = said.get("reference_image_id")
    if isinstance(number, str):
        return next(iter(frame_numbers(number)), None)
    return number if isinstance(number, int | float) and not isinstance(number, bool) else None
