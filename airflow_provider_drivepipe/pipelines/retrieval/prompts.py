"""What models are told: to plan which frames they need, and to answer from those that are found."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Prompts:
    """The prompts of a language.

    :param plan: asks which frames would be needed.
    :param answer: asks for an answer from frames.
    :param blind: asks for an answer without any.
    :param requests: what the parts of a plan mean.
    """

    version: int
    plan: str
    answer: str
    blind: str
    requests: tuple[str, str, str]

    def plan_schema(self, max_requests: int) -> str:
        """Return the schema of a plan, as JSON."""
        of_all, of_id, of_prompt = self.requests
        request: dict[str, Any] = {
            "type": "object",
            "required": ["reference_image_id", "prompt"],
            "properties": {
                "reference_image_id": {"type": "integer", "description": of_id},
                "prompt": {"type": "string", "minLength": 1, "description": of_prompt},
            },
        }
        requests = {
            "type": "array",
            "minItems": 1,
            "maxItems": max_requests,
            "items": request,
            "description": of_all,
        }
        return json.dumps(
            {"type": "object", "required": ["requests"], "properties": {"requests": requests}},
            ensure_ascii=False,
        )


_ENGLISH_ANSWER = """Question: {question}
Options:
{options_text}

Answer with one JSON object and nothing else. Its keys and their allowed values:
- reasoning: text (what in which frame leads to the answer)
- answer: the letter of one option, or unknown; without options a short text, or unknown
- frames: list of the numbers of the frames that the answer rests on"""
_CHINESE_ANSWER = """问题：{question}
选项：
{options_text}

只回答一个 JSON 对象，不要任何其他文字。它的键和允许的值：
- reasoning: 文本（哪一帧里的什么内容得出答案）
- answer: 一个选项的字母，或 unknown；没有选项时为一段短文本，或 unknown
- frames: 列表，答案所依据的帧的编号"""

PROMPTS: Mapping[str, Prompts] = {
    "en": Prompts(
        version=1,
        plan=(
            "You see frames of a driving video, each behind its id and its time. Somebody will answer the "
            "question below from a few frames of this video. Do not answer it yourself. Say which frames "
            "would be needed: describe for each what the picture would show, and name the frame here that "
            "looks most like it.\n\nQuestion: {question}\n{options_text}"
        ),
        answer=(
            "You see frames of a driving video in order of time, each behind its number and its time. Answer "
            "the question from what they show. If they do not show what is needed, answer unknown; do not "
            "guess.\n\n" + _ENGLISH_ANSWER
        ),
        blind=(
            "No frame of the driving video is shown. If the question can be answered all the same, answer "
            "it; else answer unknown.\n\n" + _ENGLISH_ANSWER
        ),
        requests=(
            "the frames that would be needed",
            "id of the frame that looks most like it",
            "what the picture would show",
        ),
    ),
    "zh": Prompts(
        version=1,
        plan=(
            "你会看到一段驾驶视频的若干帧，每一帧前面有它的编号和时间。之后会有人根据这段视频的少量帧回答下面"
            "的问题。你自己不要回答。请说明需要哪些帧：描述每一帧的画面应当显示什么，并指出这里哪一帧与它最相"
            "似。\n\n问题：{question}\n{options_text}"
        ),
        answer=(
            "你会按时间顺序看到一段驾驶视频的若干帧，每一帧前面有它的编号和时间。请根据画面内容回答问题。如果"
            "画面中没有所需的内容，回答 unknown，不要猜测。\n\n" + _CHINESE_ANSWER
        ),
        blind=(
            "这里不显示驾驶视频的任何一帧。如果不看画面也能回答问题，请回答；否则回答 unknown。\n\n"
            + _CHINESE_ANSWER
        ),
        requests=("需要的帧", "最相似的帧的编号", "画面应当显示的内容"),
    ),
}
