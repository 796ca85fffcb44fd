"""What short answers say: yes or no, or that there is no answer. Runs in DPE workers: stdlib only."""

from __future__ import annotations

import re
import unicodedata

from airflow_provider_drivepipe.contracts import Reason
from airflow_provider_drivepipe.worker.answers import is_refusal

_HEAD = re.compile(r"\s*(?:(?:the |final |correct |right )*answer(?: is)?|答案|回答)\s*[:是为]?\s*")
_YES_OR_NO = re.compile(
    r"(?:(?P<yes>yes|true|是的|是|对|有|会)|(?P<no>no|false|否|不是|没有|不会|不))"
    # "No vehicle is seen" and "没有迹象表明…" go on, and answer nothing.
    r"(?=\s*$|\s*[.,;:!。、]|\s+[-–—]|\s*[–—]|\s*\n|\s+(?:it|the|he|she|they|there|this|that|these|those)\b)"
)
_ASKS = re.compile(
    r"(please|kindly|could you|can you) (provide|share|upload|attach) |"
    r"no (video|footage|captions?|description) (is|was|were|has been|have been) (provided|given|attached)|"
    r"请(您)?(先)?(提供|上传)",
    re.IGNORECASE,
)
_UNDETERMINED = re.compile(
    r"(can(no|')t|can not|could not|couldn't) be (told|said|determined|confirmed|verified|known|answered)|"
    r"impossible to (tell|say|determine|confirm|verify|know|answer)|"
    r"(unclear|not clear|unknown|uncertain) (whether|if|from)|"
    r"(not enough|insufficient) (information|evidence)|"
    r"(无法|不能|难以)(从.{0,8})?(判断|确定|看清|看出|得知|确认|辨认|回答)|不(清楚|确定)是否|信息不足",
    re.IGNORECASE,
)
_NOT_VISIBLE = re.compile(
    r"\W*((it|this|that|the answer)('s| is| was)? ?)?(not|isn't|wasn't) (\w+ly )?"
    r"(visible|shown|seen|clear|specified|mentioned|available|applicable|provided|discernible)|"
    r"\W*(n/?a|unknown|unclear|unsure|not sure|none)\W*$|"
    r"\W*nothing (\w+ ){0,4}(indicates|suggests|shows|points)|"
    r"\W*(there is |there's )?no (information|evidence|indication|sign) |"
    r".*(not|n't|never) (visible|shown|seen|discernible|mentioned) "
    r"(in|from|within) (the|this) (\w+ )?(video|footage|clip|frames?|recording)|"
    r".*the (video|footage|clip|recording) (does not|doesn't) (show|provide|reveal|indicate|contain)|"
    r"\W*(视频|画面)?[中里]?(不可见|看不到|看不清|未知|不详|没有迹象)|"
    r".*(视频|画面)[中里]?(没有|并未|未)(显示|展示|提及|提供|拍到)",
    re.IGNORECASE,
)
_SAYS_SO = re.compile(r"\W*(yes|no|是|否)\W+", re.IGNORECASE)
"""What may stand before the reason for it."""
_SENTENCE = re.compile(r"[^.!?。！？\n]*[^.!?。！？\n\s][^.!?。！？\n]*")
_LONGEST = 2000


def read_yes_no(text: str) -> bool | None:
    """Return what an answer says, None for one that says neither, or says that it cannot be told.

    A yes or no counts as a word of its own at the start, also in bold or behind ``Answer:``. "No vehicle is
    seen", "Not visible" and "Yesterday" are neither.
    """
    plain = unicodedata.normalize("NFKC", text[:_LONGEST]).casefold()
    plain = re.sub(r"[*_`#\"“”]", "", plain).strip()
    found = _YES_OR_NO.match(plain, _end(_HEAD.match(plain)))
    if found is None or _UNDETERMINED.search(plain):
        return None
    return found["yes"] is not None


def lacks_answer(text: str) -> Reason | None:
    """Return why a text in an answer's place is none: it refuses, or says that it cannot be seen; else None.

    Only how it starts counts: a paragraph may well say of a detail that it cannot be seen.
    """
    if declines(text):
        return Reason.REFUSAL
    found = _SENTENCE.search(text[:_LONGEST], _end(_SAYS_SO.match(text)))
    sentence = found[0].replace("\u2019", "'") if found else ""
    if _UNDETERMINED.search(sentence) or _NOT_VISIBLE.match(sentence):
        return Reason.NOT_VISIBLE
    return None


def declines(text: str) -> bool:
    """Return whether a text starts by refusing, or by asking for what it should be about."""
    return is_refusal(text, sees=True) or bool(_ASKS.search(text[:200]))


def _end(found: re.Match[str] | None) -> int:
    return found.end() if found else 0
