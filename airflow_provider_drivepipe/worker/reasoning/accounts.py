"""Captions and descriptions that tell nothing, though they have the right form.

Runs in DPE workers: standard library only. A caption may well say of a detail that it cannot be seen. It
tells nothing when that is all it says: each of its clauses must say so of the whole.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from airflow_provider_drivepipe.contracts import Reason
from airflow_provider_drivepipe.worker.reasoning.words import declines

_MAIN = ("caption", "events", "moment", "scene", "chronology")
"""Keys of what must tell something. Before and after a moment there may be nothing, and no analysis."""
_LONGEST = 2000
_LONGEST_CLAUSE = 160

_QUOTED = re.compile(r"(?<!\w)(?:'[^'\n]+'(?!\w)|\"[^\"\n]+\"|“[^”\n]+”|‘[^’\n]+’|「[^」\n]+」)")
_APOLOGY = re.compile(
    r"^\W*(?:(?:sorry|my apologies|apologies|抱歉|对不起|很遗憾)[.!,，。！\s]+)+", re.IGNORECASE
)
_NO_VIDEO = re.compile(
    r"\bi (do not|don't|did not|didn't|have not|haven't) (\w+ )?(have|see|receive|received|get|been given) "
    r"(access to )?(any|a|an|the|your)( \w+)? (video|footage|clip|recording|frames?)\b|"
    r"\bno (video|footage|clip|recording|frames?) (\w+ ){0,3}(attached|provided|given|received|uploaded)\b|"
    r"(没有|未|没)(能)?(看到|收到|提供|上传)(任何|您的|相关)?(视频|画面)|视频(未|没有?)被?(提供|上传|收到)",
    re.IGNORECASE,
)
_SENTENCE = re.compile(r"[^.!?。！？\n]+")
_CLAUSES = re.compile(
    r"[.!?,;:()\n。、—–]+|\s-\s|\b(?:and|so|but|thus|therefore|hence|because|since|as|with)\b"
)

_SEEN = (
    r"(?:seen?|view(?:ed)?|watch(?:ed)?|ma[dk]e out|told|tell|determined?|described?|identif(?:y|ied)|"
    r"recogni[sz]ed?|discern(?:ed)?|distinguish(?:ed)?|sa(?:y|id)|know|known|confirm(?:ed)?|analy[sz]ed?|"
    r"open(?:ed)?|load(?:ed)?|play(?:ed)?|access(?:ed)?|display(?:ed)?|shown?)"
)
_NOUN = (
    r"(?:video|footage|clip|recording|frame|sheet|picture|image|screen|part|segment|scene|content|detail|view|"
    r"moment|phase)(?:'?s)?"
)
_THE = r"(?:(?:the|this|that|any|its|a|of|in|from|whole|entire|given|provided|critical) )*"
_THING = rf"(?:it|this|that|{_THE}{_NOUN}(?: {_THE}{_NOUN}){{0,2}})"
_WHAT = rf"(?:any ?thing|much|what(?: \w+){{1,6}}|(?:whether|if)(?: \w+){{2,12}}|{_THING})"
_STATE = (
    r"(?:(?:(?:\w+ly|all|just) )*(?:not (?:\w+ly )?(?:visible|shown|seen|clear|available|provided|"
    r"discernible|accessible|recogni[sz]able)|invisible|unavailable|inaccessible|missing|black|blank|"
    r"corrupt(?:ed)?|damaged|unreadable|unclear|unknown)|"
    rf"(?:too|\w+ly) (?:dark|blurr(?:y|ed)|bright|overexposed)(?: to {_SEEN}(?: {_WHAT})?)?)"
)
_CANNOT = r"(?:can ?not|can't|could not|couldn't)"
_IS = r"(?:is|are|was|were|can be|could be)"
_TAIL = (
    rf"(?: (?:in|from|within|on|during|throughout|for) {_THING}|"
    r" throughout| at all| here| clearly| reliably)*"
)
_ENGLISH = re.compile(
    r"(?:that |there is |there are |it is |it's )?(?:"
    rf"{_WHAT} {_CANNOT} be (?:\w+ly )?{_SEEN}(?: {_WHAT})?|"
    rf"(?:(?:one|we|you) )?(?:{_CANNOT}|(?:not possible|impossible|(?:too )?(?:hard|difficult)) to) "
    rf"(?:be )?(?:\w+ly )?{_SEEN}(?: {_WHAT})?|"
    rf"nothing(?: \w+ly| else| at all)*(?: {_IS})?(?: \w+ly)*(?: (?:visible|to (?:see|describe)|{_SEEN}))?|"
    r"no (?:\w+ ){0,2}(?:contents?|details?|footage|video|images?|pictures?|frames?|information|captions?|"
    rf"descriptions?)(?: {_IS})?(?: (?:visible|available|possible|provided|given|{_SEEN}))?|"
    r"(?:not enough|insufficient) (?:information|evidence|details?)(?: \w+){0,4}|"
    rf"{_THING} (?:(?:is|are|was|were|seems?|appears?|remains?|stays?)(?: to be)? {_STATE}|"
    r"(?:isn't|aren't|wasn't) (?:\w+ly )?(?:visible|shown|available|clear|provided)|"
    r"(?:(?:does|do|did) not|doesn't|don't|didn't) (?:show|contain|reveal|provide|display|load|open|play)"
    r"(?: (?:any ?thing|any (?:\w+ )?(?:contents?|information|details?)|enough(?: \w+){0,3}))?|"
    r"fail(?:s|ed) to (?:load|open|play))|"
    r"n/?a|none|unknown|unclear|undetermined|invisible|not (?:\w+ly )?(?:visible|shown|seen|clear|available|"
    rf"applicable|discernible|provided)|(?:i )?abstain(?:ed|s)?){_TAIL}"
)
_ENGLISH_ASIDE = re.compile(
    r"(?:unfortunately|sorry|however|that|then)|(?:due to|because of|owing to|given|in|for|throughout) .*"
)

_DING = (
    r"(?:整段|整个|该|这段|这个|这|此|本|所给|提供的|任何|具体|关键)*"
    r"(?:视频|画面|片段|图像|图片|屏幕|镜头|录像|场景|内容|细节|信息|情况|时刻|东西|物体)"
    r"的?(?:内容|画面|情况|细节|信息|片段)?[中里内上]?"
)
_SEHEN = (
    r"(?:看[到见清出]|查看|观看|识别|辨认|辨别|判断|确定|确认|得知|描述|分析|播放|加载|打开|显示|获取|访问)"
)
_CHINESE = re.compile(
    r"(?:因此|所以|导致|从而|以致|但是?|而且|并且?|且|也|都|目前|完全|整体)*(?:"
    rf"(?:{_DING})?(?:无法|不能|难以|没法|未能)(?:清楚地?|清晰地?|直接|从{_DING})*{_SEHEN}"
    rf"(?:发生了?什么.{{0,4}}|有什么|是否.{{1,12}}|{_DING})?|"
    rf"(?:{_DING})?(?:什么都|全程|完全)?看不[到见清]楚?(?:任何|什么)*(?:{_DING})?|"
    rf"{_DING}(?:全程|始终|一直|完全|整体|几乎|过于|太|十分|非常|都|均|为|是|呈|一片)*"
    r"(?:不可见|不清晰?|不清楚|不明|不详|未知|黑屏|漆黑|全黑|黑色|空白|[过太]暗|过曝|模糊(?:不清)?|损坏|缺失)|"
    rf"(?:{_DING})?(?:没有|并未|未|不|无)(?:显示|展示|提供|包含|拍到|呈现)?(?:任何|可见的?|有效的?|可用的?)*"
    r"(?:内容|画面|信息|细节|东西)(?:可见|可看|可描述)?|"
    r"未知|不详|不可见|不清楚|不明|无|没有|弃权|信息不足|不适用)"
)
_CHINESE_ASIDE = re.compile(r"(?:抱歉|对不起|很遗憾|因此|所以)|(?:由于|因为?).*")


def lacks_account(answer: Mapping[str, Any]) -> Reason | None:
    """Return why a caption, a list of events, a highlight or a description is none, None for one that tells.

    ``refusal`` where one of its texts starts by declining; ``not_visible`` where it abstains, or says of all
    that it must tell of that it cannot be seen.

    :param answer: the model's answer; other keys than those of such answers do not count.
    """
    if answer.get("abstain") is True:
        return Reason.NOT_VISIBLE
    if any(map(_refuses, _texts(answer.values()))):
        return Reason.REFUSAL
    main = list(_texts(answer[key] for key in _MAIN if key in answer))
    return Reason.NOT_VISIBLE if main and all(map(tells_nothing, main)) else None


def tells_nothing(text: str) -> bool:
    """Return whether all that a text says is that nothing can be seen, or told."""
    plain = unicodedata.normalize("NFKC", text[:_LONGEST]).casefold().replace("\u2019", "'")
    clauses = [clause.strip(" *_#`\"'") for clause in _CLAUSES.split(plain)]
    said = [clause for clause in clauses if clause and not _is_aside(clause)]
    return bool(said) and all(map(_says_nothing, said))


def _texts(values: Iterable[Any]) -> Iterator[str]:
    """Yield the texts among values, and those of events."""
    for value in values:
        if isinstance(value, str):
            yield value
        elif isinstance(value, list):
            yield from _texts(each.get("text") for each in value if isinstance(each, dict))


def _refuses(text: str) -> bool:
    opening = _APOLOGY.sub("", text[:_LONGEST].replace("\u2019", "'").strip("\"'“”* \n"), count=1)
    first = _SENTENCE.search(_QUOTED.sub("", opening))
    return first is not None and (declines(first[0]) or bool(_NO_VIDEO.search(first[0])))


def _is_aside(clause: str) -> bool:
    return bool(_ENGLISH_ASIDE.fullmatch(clause) or _CHINESE_ASIDE.fullmatch(clause))


def _says_nothing(clause: str) -> bool:
    short = clause if len(clause) <= _LONGEST_CLAUSE else ""
    return bool(_ENGLISH.fullmatch(short) or _CHINESE.fullmatch("".join(short.split())))
