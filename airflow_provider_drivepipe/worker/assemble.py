"""Turns raw model responses into final rows. Runs in DPE workers: standard library and pandas only.

The literals below repeat ``contracts.py``, which workers do not have; a test keeps them equal.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import Any

STATUS_NAMES = ("status", "error_stage", "error_type", "error_msg", "attempt", "fingerprint")
LABEL, IMAGE_EMBEDDING = "label", "image_embedding"
MAX_ERROR_MESSAGE = 512

_FENCE = re.compile(r"```(?:json)?\s*(.*?)```", re.DOTALL | re.IGNORECASE)
_REFUSAL = re.compile(
    r"(i('| a)m (sorry|unable)|i can(no|')t (help|assist|see|view|label|analy)|as an ai\b|"
    r"please (provide|upload) (the|an|your) image|no image (was|has been)? ?(provided|attached)|"
    r"无法(查看|识别|提供|看到)|请(提供|上传)图)",
    re.IGNORECASE,
)
_SECRET = re.compile(
    r"(?i)((?:access_?key_?(?:id|secret)|signature|security-token|token|password)[\"']?\s*[=:]\s*[\"']?)[^\s\"'&,}]+"
)
_RATE = ("429", "ratelimit", "rate_limit", "rate limit", "throttl", "too many requests", "quota")
_BLOCKED = (
    "datainspection",
    "data_inspection",
    "content_filter",
    "contentfilter",
    "inappropriate",
    "content_block",
)


@dataclass(frozen=True)
class AssembleJob:
    """What one call of :func:`assemble` makes.

    ``columns`` are the final columns in order; ``label_schema`` is a JSON Schema (a dict) or None;
    ``dimension`` is the wanted length of embeddings or None.
    """

    columns: tuple[str, ...]
    labels: bool
    embedding: bool
    label_schema: dict[str, Any] | None = None
    keep_raw_response: bool = False
    dimension: int | None = None


@dataclass
class Failure:
    """Why a model's answer could not be used."""

    reason: str
    message: str


def assemble(rows: Any, job: AssembleJob) -> Any:
    """Return final rows of ``rows`` (a pandas DataFrame of ok rows plus raw response columns).

    A row fails at the first stage that failed it; whatever the other stage brought stays.
    """
    import pandas as pd

    out = []
    for row in rows.to_dict("records"):
        final = {name: _none(row.get(name)) for name in job.columns}
        failures = []
        if job.labels:
            found, failure = _label(row, job)
            final.update({k: v for k, v in found.items() if k in final})
            failures += [(LABEL, failure)] if failure else []
        if job.embedding:
            found, failure = _embedding(row, job)
            final.update(found)
            failures += [(IMAGE_EMBEDDING, failure)] if failure else []
        if failures:
            stage, failure = failures[0]
            final.update(
                status="failed",
                error_stage=stage,
                error_type=failure.reason,
                error_msg=scrub(failure.message),
            )
        out.append(final)
    return _typed(pd.DataFrame(out, columns=list(job.columns)), job)


def passthrough(rows: Any, job: AssembleJob) -> Any:
    """Return final rows of rows that reached no model: their model columns are NULL."""
    import pandas as pd

    out = [{name: _none(row.get(name)) for name in job.columns} for row in rows.to_dict("records")]
    return _typed(pd.DataFrame(out, columns=list(job.columns)), job)


def assemble_dtypes(job: AssembleJob, input_dtypes: dict[str, Any]) -> dict[str, Any]:
    """Return the dtype of each final column; NULL stays NULL in every one of them."""
    own = _own_dtypes()
    return {name: own.get(name, input_dtypes.get(name, "object")) for name in job.columns}


def _own_dtypes() -> dict[str, str]:
    numbers = (
        "frame_idx frame_time_ms width height attempt label_input_token label_output_token "
        "image_embedding_total_token"
    )
    return {**dict.fromkeys(numbers.split(), "Int64"), "label_json_valid": "boolean"}


def _typed(frame: Any, job: AssembleJob) -> Any:
    own = _own_dtypes()
    return frame.astype({name: own[name] for name in job.columns if name in own})


def scrub(message: str) -> str:
    """Return one line of at most 512 characters without credentials."""
    return _SECRET.sub(r"\1***", " ".join(message.split()))[:MAX_ERROR_MESSAGE]


def _none(value: Any) -> Any:
    """pandas hands NULL over as NaN, NaT or NA; a row holds None."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    return None if type(value).__name__ in ("NAType", "NaTType") else value


def _response(row: dict[str, Any], name: str) -> tuple[dict[str, Any] | None, str]:
    """Return the parsed response, or None, and its text."""
    text = _none(row.get(name))
    text = "" if text is None else str(text)
    try:
        parsed = json.loads(text)
    except ValueError:
        return None, text
    return (parsed if isinstance(parsed, dict) else None), text


def call_failure(text: str) -> Failure:
    """Sort the error of a call that did not succeed: rate limit, blocked content, timeout, or model error."""
    try:
        parsed = json.loads(text)
    except ValueError:
        parsed = None
    error = parsed.get("error", parsed) if isinstance(parsed, dict) else None
    message = text
    if isinstance(error, dict):
        message = f"{error.get('code', '')}: {error.get('message', '')}".strip(": ")
    lowered = message.lower()
    if any(word in lowered for word in _RATE):
        return Failure("rate_limited", message)
    if "invalidimage" in lowered:
        return Failure("image_decode_error", message)
    if any(word in lowered for word in _BLOCKED):
        return Failure("content_blocked", message)
    if "timeout" in lowered or "timed out" in lowered:
        return Failure("timeout", message)
    return Failure("model_error", message or "the model call failed without a message")


def _label(row: dict[str, Any], job: AssembleJob) -> tuple[dict[str, Any], Failure | None]:
    response, text = _response(row, "label_response")
    found: dict[str, Any] = {"label_input_token": 0, "label_output_token": 0, "label_text": None}
    if job.label_schema is not None:
        found["label_json_valid"] = False
    if job.keep_raw_response:
        found["label_response"] = text or None
    if not _none(row.get("label_success")):
        return found, call_failure(text)
    if response is None:
        return found, Failure("model_error", f"the response is not a JSON object: {text[:200]}")
    usage = response.get("usage") or {}
    found["label_input_token"] = int(usage.get("prompt_tokens") or 0)
    found["label_output_token"] = int(usage.get("completion_tokens") or 0)
    answer = answer_text(response)
    if not answer.strip():
        return found, Failure("empty_response", "the model answered nothing")
    found["label_text"] = answer
    if job.label_schema is None:
        refused = _REFUSAL.search(answer[:400])
        return found, Failure("refusal", answer) if refused else None
    label = extract_json_object(answer)
    if label is None:
        refused = _REFUSAL.search(answer[:400])
        return found, Failure("refusal" if refused else "invalid_json", answer)
    found["label_text"] = json.dumps(label, ensure_ascii=False, separators=(",", ":"))
    problem = violation(label, job.label_schema)
    if problem:
        return found, Failure("schema_violation", problem)
    found["label_json_valid"] = True
    return found, None


def answer_text(response: dict[str, Any]) -> str:
    """Return the text of a chat completion: a string or a list of text parts."""
    choices = response.get("choices") or [{}]
    first = choices[0] if isinstance(choices[0], dict) else {}
    content = (first.get("message") or {}).get("content")
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return "" if content is None else str(content)


def extract_json_object(answer: str) -> dict[str, Any] | None:
    """Return the JSON object in an answer, with or without a code fence or prose around it."""
    candidates = [*_FENCE.findall(answer), answer]
    for candidate in candidates:
        start = candidate.find("{")
        while start >= 0:
            try:
                parsed, _ = json.JSONDecoder().raw_decode(candidate[start:])
            except ValueError:
                start = candidate.find("{", start + 1)
                continue
            return parsed if isinstance(parsed, dict) else None
    return None


def violation(value: Any, schema: dict[str, Any], where: str = "$") -> str:
    """Return the first violation of the subset of JSON Schema that label schemas use, or an empty string."""
    types: dict[str, Any] = {
        "object": dict,
        "array": list,
        "string": str,
        "boolean": bool,
        "integer": int,
        "number": (int, float),
    }
    wanted = schema.get("type")
    if wanted is not None:
        names = wanted if isinstance(wanted, list) else [wanted]
        fits = any(
            (name == "null" and value is None)
            or (
                name in types
                and isinstance(value, types[name])
                and not (isinstance(value, bool) and name in ("integer", "number"))
            )
            for name in names
        )
        if not fits:
            return f"{where}: expected {' or '.join(names)}, got {json.dumps(value, ensure_ascii=False)[:80]}"
    if "enum" in schema and value not in schema["enum"]:
        shown = json.dumps(value, ensure_ascii=False)[:80]
        return f"{where}: {shown} is none of {', '.join(map(str, schema['enum']))}"
    if isinstance(value, str) and len(value) > schema.get("maxLength", math.inf):
        return f"{where}: longer than {schema['maxLength']} characters"
    if (
        isinstance(value, (int, float))
        and not isinstance(value, bool)
        and value < schema.get("minimum", -math.inf)
    ):
        return f"{where}: below {schema['minimum']}"
    if isinstance(value, list) and "items" in schema:
        for i, item in enumerate(value):
            problem = violation(item, schema["items"], f"{where}[{i}]")
            if problem:
                return problem
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        for key in schema.get("required", ()):
            if key not in value:
                return f"{where}: {key} is missing"
        if schema.get("additionalProperties") is False:
            for key in value:
                if key not in properties:
                    return f"{where}: {key} is not expected"
        for key, item in value.items():
            if key in properties:
                problem = violation(item, properties[key], f"{where}.{key}")
                if problem:
                    return problem
    return ""


def _embedding(row: dict[str, Any], job: AssembleJob) -> tuple[dict[str, Any], Failure | None]:
    response, text = _response(row, "embedding_response")
    found: dict[str, Any] = {"image_embedding": None, "image_embedding_total_token": 0}
    if not _none(row.get("embedding_success")):
        return found, call_failure(text)
    if response is None:
        return found, Failure("model_error", f"the response is not a JSON object: {text[:200]}")
    usage = response.get("usage") or {}
    total = usage.get("total_tokens") or usage.get("input_tokens") or 0
    found["image_embedding_total_token"] = int(total)
    embeddings = (response.get("output") or {}).get("embeddings") or response.get("data") or []
    vector = embeddings[0].get("embedding") if embeddings and isinstance(embeddings[0], dict) else None
    if not vector:
        return found, Failure("empty_response", "the model returned no embedding")
    if not all(isinstance(x, (int, float)) and not isinstance(x, bool) and math.isfinite(x) for x in vector):
        return found, Failure("model_error", "the embedding holds values that are not finite numbers")
    if job.dimension is not None and len(vector) != job.dimension:
        return found, Failure("dimension_mismatch", f"{len(vector)} values, {job.dimension} wanted")
    found["image_embedding"] = json.dumps(vector)
    return found, None
