"""When and how a model is asked again for an unusable label. Runs in DPE workers: standard library only."""

from __future__ import annotations

from airflow_provider_drivepipe.contracts import Reason

REPAIRABLE = (Reason.INVALID_JSON, Reason.SCHEMA_VIOLATION)
"""Reasons after which the model is asked again: it did answer, only not in the right form."""

MAX_QUOTED = 4000
"""Most characters of an answer that are sent back to the model."""

_ENGLISH = (
    "\n\nYour previous answer, between the lines of dashes, cannot be used.\n"
    "----------\n{answer}\n----------\n"
    "What is wrong with it: {problem}\n"
    "{again} with one complete, corrected JSON object and nothing else."
)
_CHINESE = (
    "\n\n你上一次的回答(虚线之间)无法使用。\n"
    "----------\n{answer}\n----------\n"
    "问题: {problem}\n"
    "{again}只回答一个完整且已更正的 JSON 对象,不要输出其他内容。"
)
_AGAIN = {
    "picture": ("Look at the picture again and answer", "请重新查看图片,"),
    "video": ("Look at the video again and answer", "请重新查看视频,"),
    "": ("Answer again", "请"),
}


def repair_text(answer: str, problem: str, chinese: bool, sees: str) -> str:
    """Return what is added to the prompt, right behind it, to have an answer corrected.

    :param sees: what the model is shown, ``picture`` or ``video``; empty when it only reads.
    """
    text = _CHINESE if chinese else _ENGLISH
    quoted = answer if len(answer) <= MAX_QUOTED else f"{answer[:MAX_QUOTED]} …"
    return text.format(answer=quoted, problem=problem, again=_AGAIN[sees][chinese])
