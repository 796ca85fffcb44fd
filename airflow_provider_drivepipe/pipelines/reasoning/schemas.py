"""What models answer at each step, as pydantic models, and as the JSON Schema that the machinery takes.

Times are clock texts ``MM:SS.s`` (``01:05.2``), and their keys say so by ``_mmss``: a model copies them from
pictures and captions, and writes the same notation within its texts, so that it never has to convert one. A
bare number is allowed and means seconds. Whoever takes an answer apart makes milliseconds of them.

An answer with ``abstain: true`` may leave out the rest: there is nothing to tell or to ask about.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, WithJsonSchema

_CHINESE = "x-chinese"


def _told(english: str, chinese: str, *names: str, **more: Any) -> Any:
    """Return what a model is told of a key, in both languages; ``names`` are other names that it may use."""
    extra = {_CHINESE: chinese, **({"x-names": list(names)} if names else {}), **more}
    return Field(description=english, json_schema_extra=extra)


def _spellings(words: Mapping[str, object]) -> dict[str, object]:
    """Return the words also as models decorate them: in bold, and behind what was asked."""
    heads = ("", "answer: ", "classification: ", "答案：", "分类：")
    return {head + mark + word + mark: words[word] for word in words for head in heads for mark in ("", "**")}


_YES_OR_NO = _spellings({"yes": True, "true": True, "是": True, "no": False, "false": False, "否": False})
_MODES = _spellings(
    {
        **dict.fromkeys(("anomaly", "anomalous", "abnormal", "异常", "有异常"), "anomaly"),
        **dict.fromkeys(("normal", "no anomaly", "none", "正常", "无异常"), "normal"),
    }
)
Text = Annotated[str, WithJsonSchema({"type": "string", "minLength": 1})]
Clock = Annotated[str | float, WithJsonSchema({"type": ["string", "number"]})]

_START = ("start", "start_time", "开始时间")
_END = ("end", "end_time", "结束时间")
Start = Annotated[Clock, _told("when it begins, as MM:SS.s", "何时开始，格式 MM:SS.s", *_START)]
End = Annotated[Clock, _told("when it ends, as MM:SS.s", "何时结束，格式 MM:SS.s", *_END)]
SeenFrom = Annotated[
    Clock, _told("where the part that settles it begins, as MM:SS.s", "依据片段的起点，格式 MM:SS.s", *_START)
]
SeenTo = Annotated[
    Clock, _told("where the part that settles it ends, as MM:SS.s", "依据片段的终点，格式 MM:SS.s", *_END)
]
Question = Annotated[Text, _told("the question", "问题", "问题")]
Answer = Annotated[Text, _told("the answer, one paragraph", "答案，一段话", "答案", "回答")]
Reasoning = Annotated[
    Text,
    _told(
        "what is seen and how the answer follows from it; paragraphs, no lists",
        "看到了什么，如何由此得出答案；用段落，不用列表",
        "推理",
        "推理过程",
    ),
]
Abstain = Annotated[
    bool,
    _told(
        "true if there is nothing to answer with, and then the other keys may be left out",
        "无从作答时填 true，其余键可省略",
        "弃权",
    ),
]


class FilterAnswer(BaseModel):
    """Whether a video belongs to the domain, and whether it shows an anomaly."""

    observation: Annotated[Text, _told("what is seen, two or three sentences", "看到的内容，两三句", "观察")]
    reason: Annotated[Text, _told("why you decide so, two or three sentences", "判断理由，两三句", "理由")]
    in_domain: Annotated[
        bool,
        _told(
            "whether the video belongs to the domain",
            "视频是否属于该领域",
            "属于该领域",
            enum=[True, False],
            **{"x-synonyms": _YES_OR_NO},
        ),
    ]
    mode: Annotated[
        Literal["anomaly", "normal"],
        _told(
            "normal when the video leaves it open",
            "拿不准时填 normal",
            "classification",
            "分类",
            **{"x-synonyms": _MODES},
        ),
    ]


class Caption(BaseModel):
    """What a video, or a part of it, shows."""

    caption: Annotated[Text, _told("the description", "描述", "description", "描述")]
    abstain: Abstain = False


class Event(BaseModel):
    """One thing that happens."""

    start_mmss: Start
    end_mmss: End
    text: Annotated[
        Text, _told("who does what, and where", "谁在何处做什么", "description", "caption", "描述")
    ]


class DenseCaption(BaseModel):
    """What happens in a video, with times."""

    events: Annotated[
        list[Event], _told("in the order of time", "按时间先后", "captions", "事件"), Field(min_length=1)
    ]
    abstain: Abstain = False


class Moment(BaseModel):
    """The critical moment of an anomaly."""

    reason: Annotated[Text, _told("why this moment, one sentence", "为何是这一时刻，一句话", "理由")]
    moment_mmss: Annotated[
        Clock,
        _told("the critical moment, as MM:SS.s", "关键时刻，格式 MM:SS.s", "moment", "timestamp", "时刻"),
    ]
    abstain: Abstain = False


class Highlight(BaseModel):
    """The clip around the critical moment, in three phases."""

    before: Annotated[Text, _told("what leads up to it", "之前的情形", "之前")]
    moment: Annotated[Text, _told("the critical moment itself", "关键时刻本身", "关键时刻")]
    after: Annotated[Text, _told("what follows at once", "紧接其后的情形", "之后")]
    abstain: Abstain = False


class Description(BaseModel):
    """All that captions tell of a video, as one account."""

    scene: Annotated[Text, _told("the scene as a whole", "整体场景", "场景")]
    chronology: Annotated[
        list[Event], _told("in the order of time", "按时间先后", "events", "时间线"), Field(min_length=1)
    ]
    analysis: Annotated[Text, _told("the analysis", "分析", "分析")]
    abstain: Abstain = False


class MultipleChoice(BaseModel):
    """One question with four options. The answer is an option's text, so that letters never matter."""

    question: Question
    options: Annotated[
        list[Text],
        _told("texts without letters or numbers in front", "选项文字，前面不加字母或编号", "选项"),
        Field(min_length=4, max_length=4),
    ]
    answer: Annotated[
        Text, _told("the right option, word for word", "正确选项的原文", "correct_answer", "答案")
    ]
    reasoning: Reasoning
    start_mmss: SeenFrom
    end_mmss: SeenTo
    abstain: Abstain = False


class YesNoQuestion(BaseModel):
    """One half of a pair. Which one it is says the key it stands under, not its text."""

    question: Question
    explanation: Annotated[
        Text,
        _told("why that is the answer: one sentence on what is seen", "一句话说明所见，解释答案", "解释"),
    ]
    reasoning: Reasoning
    start_mmss: SeenFrom
    end_mmss: SeenTo


class BinaryChoice(BaseModel):
    """Two questions, one to be answered with yes and one with no."""

    yes: Annotated[YesNoQuestion, _told("the question whose answer is Yes", "答案为“是”的问题", "是")]
    no: Annotated[YesNoQuestion, _told("the question whose answer is No", "答案为“否”的问题", "否")]
    abstain: Abstain = False


class OpenQuestion(BaseModel):
    """One open question on a part of a video."""

    question: Question
    answer: Answer
    reasoning: Reasoning
    start_mmss: SeenFrom
    end_mmss: SeenTo
    abstain: Abstain = False


class Linkage(BaseModel):
    """One question on how two moments hang together."""

    question: Question
    answer: Answer
    reasoning: Reasoning
    start_mmss: Annotated[
        Clock, _told("the first moment, as MM:SS.s", "前一时刻，格式 MM:SS.s", *_START, "trigger")
    ]
    end_mmss: Annotated[
        Clock, _told("the second moment, as MM:SS.s", "后一时刻，格式 MM:SS.s", *_END, "outcome")
    ]
    abstain: Abstain = False


class Localization(BaseModel):
    """One question for when something happens; its times are the answer."""

    question: Question
    reasoning: Reasoning
    start_mmss: Start
    end_mmss: End
    abstain: Abstain = False


class WholeVideoQuestion(BaseModel):
    """One question on the whole video."""

    question: Question
    answer: Answer
    abstain: Abstain = False


class BlindAnswer(BaseModel):
    """What is answered without the video."""

    answer: Annotated[Text, _told("the answer alone", "仅答案本身", "答案")]


ANSWERS: Mapping[str, type[BaseModel]] = {
    "filter": FilterAnswer,
    "global_caption": Caption,
    "dense_caption": DenseCaption,
    "chunk_caption": Caption,
    "moment": Moment,
    "highlight": Highlight,
    "description": Description,
    "qa.mcq": MultipleChoice,
    "qa.bcq": BinaryChoice,
    "qa.open_qa": OpenQuestion,
    "qa.causal_linkage": Linkage,
    "qa.temporal_localization": Localization,
    "qa.temporal_event_desc": OpenQuestion,
    "qa.scene_description": WholeVideoQuestion,
    "qa.event_summary": WholeVideoQuestion,
    "blind": BlindAnswer,
}
"""The shape of the answer at each step; ``qa.<type>`` for each type of question."""


@lru_cache(maxsize=64)
def answer_schema(step: str, language: str = "en") -> str:
    """Return the JSON Schema of a step's answer, one line; ``language`` (en, zh) is that of its descriptions.

    Raises KeyError for a step that is not in :data:`ANSWERS`.
    """
    document = ANSWERS[step].model_json_schema()
    schema = _plain(document, document.pop("$defs", {}), language == "zh")
    schema["title"] = f"reasoning-{step}"
    return json.dumps(schema, ensure_ascii=False, separators=(",", ":"))


def _plain(schema: dict[str, Any], definitions: Mapping[str, Any], chinese: bool) -> dict[str, Any]:
    """Return a schema without references, defaults and titles, with descriptions in one language."""
    schema = {**definitions.get(schema.get("$ref", "").rpartition("/")[2], {}), **schema}
    told = {"description": schema[_CHINESE]} if chinese and _CHINESE in schema else {}
    left_out = ("$ref", "title", "default", _CHINESE)
    plain = {key: value for key, value in {**schema, **told}.items() if key not in left_out}
    if "items" in plain:
        plain["items"] = _plain(plain["items"], definitions, chinese)
    if "properties" in plain:
        inner = plain["properties"].items()
        plain["properties"] = {name: _plain(each, definitions, chinese) for name, each in inner}
    return plain
