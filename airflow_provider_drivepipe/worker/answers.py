"""Reads raw model responses: the answer, its tokens, or why there is none. Runs in DPE workers: stdlib only.

A response comes from outside: nothing here raises on any text.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_drivepipe.contracts import MAX_ERROR_MESSAGE, Reason, Status
from airflow_provider_drivepipe.worker.label_parse import encodable

_SHOWN = 200
_TOO_MANY_TOKENS = 1 << 40
"""No call takes so many; a sum of them would not fit into a column."""
_OPENING = 400
"""How much of an answer is looked at: who declines does so at once."""
_SCRUBBED = 8 * MAX_ERROR_MESSAGE
"""Most characters of a message that are looked at: it may be a whole response."""

_NO_PICTURE = re.compile(
    r"(please|kindly) (first )?(provide|upload|attach|share|send)( me)?( with)? (the|an|your|a)( \w+){0,2} "
    r"(image|picture|photo|frame)|"
    r"(could|can|would) you (please )?(provide|upload|attach|share|send)( me)? (the|an|your|a)( \w+){0,2} "
    r"(image|picture|photo|frame)|"
    r"no (image|picture|photo) (was|has been|is|were)? ?(provided|attached|uploaded|included)|"
    r"(don't|do not|didn't|did not) (see|receive|have) (any|an|the|your) "
    r"(image|picture|photo|attachment)s?\b|"
    r"\b(image|picture|photo)s? (is|are|was|were|appears? to be|seems? to be) "
    r"(missing|not (provided|attached|uploaded|included|available))|"
    r"\b(image|picture|photo)s? (failed to|did not|didn't|(could|can)(n't|'t| ?not) be) "
    r"(load|open|display)(ed)?\b|"
    r"请\s*您?(先|重新)?(提供|上传|发送|附上|分享)(一[张幅]|该|您的|相关|清晰的|需?要\w{0,8}的)?(图|照片|画面)|"
    r"(没有|未|没)(能)?(看到|收到|提供|上传|附上)(任何|您的)?(图片|图像|照片)(?![中里内上下左右前后])|"
    r"(图片|图像|照片)(未|没有?|无法|不能)(被?提供|上传|收到|附上|加载|打开|显示)",
    re.IGNORECASE,
)
_DECLINES = re.compile(
    r"\bi('| a)m (very |so |truly )?(sorry|unable)|"
    r"\bi (can(no|')t|am not able to|won't|will not|must decline to) "
    r"(help|assist|see|view|label|analy|comply|process|provide|identify|describe|access|open|do that)|"
    r"\b(sorry|apologies|unfortunately), (but )?(i|we) (can|am|are|won)|"
    r"\bas an? (ai|(large )?language model)\b|no image (is )?visible|"
    r"我(暂时|目前|现在)?(无法|不能|不便)|"
    r"(无法|不能|不便)(直接)?(查看|识别|看到|处理|加载|打开|读取|分析|回答|描述|打标|标注|访问).{0,10}(图片|图像|照片|请求|问题|附件)|"
    r"看不到(任何|您的|这[张幅])?(图片|图像|照片)|"
    r"作为(一个|一名)?\s?(ai|人工智能|语言模型|大模型)|"
    r"(抱歉|对不起|很遗憾)[,，。\s]*(我|这个问题|该请求|您的请求)",
    re.IGNORECASE,
)
_URL_QUERY = re.compile(r"((?:https?|oss)://[^\s\"'<>?]*)\?[^\s\"'<>]*")
_URL_USER = re.compile(r"(://)[^\s/@\"']+@")
_SECRET = re.compile(
    r"(?i)((?:access_?key_?(?:id|secret)|ossaccesskeyid|(?:x-oss-)?(?:signature|credential|security-token)|"
    r"api[-_]?key|token|secret|password|passwd)[\"']?\s*[=:]\s*[\"']?)[^\s\"'&,}]+"
)
_BEARER = re.compile(r"(?i)\b(bearer\s+)[\w.~+/=-]+")
_KEY = re.compile(r"\b(?:LTAI[0-9A-Za-z]{8,}|STS\.[0-9A-Za-z]{8,}|sk-[0-9A-Za-z_-]{8,})")
_LOCAL_PATH = re.compile(r"(?<![\w:/.<>])/(?:[\w.@+-]+/)+[\w.@+-]*")

_RATE_LIMITED = re.compile(
    r"(?i)\b429\b|rate[\s_-]?limit|throttl|too[\s_-]?many[\s_-]?requests|quota|\brpm\b|\btpm\b"
)
_BLOCKED = re.compile(r"(?i)data_?inspection|content_?(filter|block|policy)|inappropriate|responsible_?ai")
_BAD_IMAGE = re.compile(r"(?i)invalid_?image|image_?(decode|parse)_?error|unsupported_?image")
_TIMEOUT = re.compile(r"(?i)time_?out|timed out|deadline exceeded|\b(408|504)\b")


@dataclass(frozen=True)
class Failure:
    """Why a row does not go on: a typed reason, and a text for people.

    :param status: ``filtered`` where a rule left the row out on purpose.
    """

    reason: str
    message: str
    status: Status = Status.FAILED


@dataclass(frozen=True)
class Response:
    """A response's text and, where it is a JSON object, its content."""

    text: str
    content: dict[str, Any] | None

    @classmethod
    def of(cls, value: object) -> Response:
        """Parse a cell of a response column; NULL and anything that is no string count as empty."""
        text = value if isinstance(value, str) else ""
        try:
            parsed = json.loads(text)
        except (ValueError, RecursionError):
            parsed = None
        return cls(text, parsed if isinstance(parsed, dict) else None)

    def at(self, *path: str | int) -> Any:
        """Return the value at a path of keys and positions, None where there is none."""
        value: Any = self.content
        for step in path:
            if isinstance(step, str) and isinstance(value, dict):
                value = value.get(step)
            elif isinstance(step, int) and isinstance(value, list) and len(value) > step:
                value = value[step]
            else:
                return None
        return value

    def tokens(self, *names: str) -> int:
        """Return the first count under ``usage`` that is there, 0 where none is."""
        for name in names:
            count = self.at("usage", name)
            if isinstance(count, int) and not isinstance(count, bool) and 0 < count < _TOO_MANY_TOKENS:
                return count
        return 0


def scrub(message: str) -> str:
    """Return one line of at most 512 characters, without credentials, URL queries and local paths."""
    line = encodable(" ".join(message[:_SCRUBBED].split()))
    line = _URL_USER.sub(r"\1", _URL_QUERY.sub(r"\1?***", line))
    line = _SECRET.sub(r"\1***", _BEARER.sub(r"\1***", line))
    return _LOCAL_PATH.sub("<path>", _KEY.sub("***", line))[:MAX_ERROR_MESSAGE]


def call_failure(response: Response) -> Failure:
    """Sort the error of a call that did not succeed."""
    code, message = _error_parts(response)
    shown = ": ".join(part for part in (code, message) if part)
    for pattern, reason in (
        (_RATE_LIMITED, Reason.RATE_LIMITED),
        (_BAD_IMAGE, Reason.IMAGE_DECODE_ERROR),
        (_BLOCKED, Reason.CONTENT_BLOCKED),
        (_TIMEOUT, Reason.TIMEOUT),
    ):
        if pattern.search(shown):
            return Failure(reason, shown)
    return Failure(Reason.MODEL_ERROR, shown or "the model call failed without a message")


def _error_parts(response: Response) -> tuple[str, str]:
    """Return code and message of an error object, of the response as a whole, or of plain text."""
    error = response.at("error")
    if isinstance(error, str):
        return "", error
    where = error if isinstance(error, dict) else response.content
    if where is None:
        return "", response.text
    code, message = where.get("code") or where.get("type"), where.get("message")
    if code is None and message is None:
        return "", response.text
    return "" if code is None else str(code), "" if message is None else str(message)


def not_an_object(response: Response) -> Failure:
    """Return why a response of a successful call cannot be read."""
    return Failure(Reason.MODEL_ERROR, f"the response is not a JSON object: {response.text[:_SHOWN]}")


def answer_text(response: Response) -> str:
    """Return the text of a chat completion: a string or a list of text parts."""
    content = response.at("choices", 0, "message", "content")
    if isinstance(content, list):
        texts = [part if isinstance(part, str) else _part_text(part) for part in content]
        return encodable("".join(texts))
    return encodable(content) if isinstance(content, str) else ""


def _part_text(part: object) -> str:
    text = part.get("text") if isinstance(part, dict) else None
    return text if isinstance(text, str) else ""


def no_answer(response: Response) -> Failure:
    """Return why a response holds no text."""
    refusal = response.at("choices", 0, "message", "refusal")
    if isinstance(refusal, str) and refusal.strip():
        return Failure(Reason.REFUSAL, refusal)
    if was_blocked(response):
        return Failure(Reason.CONTENT_BLOCKED, "the model service withheld the answer")
    if response.at("error") is not None:
        return call_failure(response)
    return Failure(Reason.EMPTY_RESPONSE, "the model answered nothing")


def is_refusal(answer: str, sees: bool) -> bool:
    """Return whether an answer starts by declining, or by asking for the image that the model ``sees``."""
    opening = _opening(answer)
    return bool(_DECLINES.search(opening) or (sees and _NO_PICTURE.search(opening)))


def asks_for_picture(label: Mapping[str, Any]) -> bool:
    """Return whether a label's own texts say that there is no picture, though it has the form of a label.

    A label that abstains says so itself, and is one.
    """
    return label.get("abstain") is not True and any(
        isinstance(text, str) and _NO_PICTURE.search(_opening(text)) for text in label.values()
    )


def declines(answer: Mapping[str, Any], sees: bool) -> bool:
    """Return whether one of the texts of a JSON object declines, as in ``{"error": "I cannot see ..."}``."""
    return any(isinstance(text, str) and is_refusal(text, sees) for text in answer.values())


def _opening(text: str) -> str:
    return text[:_OPENING].replace("\u2019", "'")


def was_blocked(response: Response) -> bool:
    """Return whether the service's content filter ended the answer."""
    return bool(response.at("choices", 0, "finish_reason") == "content_filter")


def was_cut_off(response: Response) -> bool:
    """Return whether the answer ended at the token limit."""
    return bool(response.at("choices", 0, "finish_reason") == "length")


def embedding_vector(response: Response) -> list[float] | Failure:
    """Return the vector of an embedding response, as the model service or an OpenAI-like one shapes it."""
    vector = response.at("output", "embeddings", 0, "embedding")
    if vector is None:
        vector = response.at("data", 0, "embedding")
    if not vector:
        if response.at("error") is not None:
            return call_failure(response)
        return Failure(Reason.EMPTY_RESPONSE, "the model returned no embedding")
    if not isinstance(vector, list) or not all(_is_finite_number(value) for value in vector):
        return Failure(Reason.MODEL_ERROR, "the embedding holds values that are not finite numbers")
    return vector


def _is_finite_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False
