"""Captions and descriptions that tell nothing are told apart from those that leave a detail open."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_drivepipe.worker.answer_rows import AnswerJob, answer_of, response_columns
from airflow_provider_drivepipe.worker.reasoning.accounts import lacks_account, tells_nothing
from airflow_provider_drivepipe.worker.rows import RowPart

EVENT = {"start_mmss": "00:01.0", "end_mmss": "00:02.0"}
TOLD = "The ego vehicle follows a white van in its own lane."


def answers(text):
    """Return an answer of each kind that has the text where it must tell something."""
    return {
        "caption": {"caption": text},
        "dense caption": {"events": [{**EVENT, "text": text}]},
        "highlight": {"before": TOLD, "moment": text, "after": TOLD},
        "description": {"scene": text, "chronology": [{**EVENT, "text": text}], "analysis": "-"},
    }


NOT_VISIBLE = [
    "Not visible.",
    "**Not visible**",
    "N/A",
    "Unknown.",
    "Nothing.",
    "Nothing can be seen.",
    "There is nothing to see in this clip.",
    "Nothing is clearly visible in the video.",
    "The video is not visible.",
    "The content of the video is not visible.",
    "The video content can't be determined.",
    "The screen is black.",
    "The screen stays black throughout, so nothing can be made out.",
    "The video is completely black and no details are visible.",
    "Due to fog, it is impossible to tell what happens.",
    "The clip is too dark to see anything.",
    "What happens in this part cannot be determined.",
    "It cannot be determined whether there is an anomaly.",
    "Unfortunately, the footage does not show anything.",
    "The video could not be loaded.",
    "The frames are too blurry to make out what is going on.",
    "This part is not shown.",
    "There is not enough information to describe the scene.",
    "No content is visible. Nothing can be described.",
    "看不到任何内容。",
    "画面全黑，看不到任何内容。",
    "无法看清视频内容。",
    "由于光线太暗，无法看清画面。",
    "视频无法播放。",
    "画面中没有可见内容",
    "不可见",
    "未知。",
    "无法判断发生了什么。",
    "画面模糊不清，无法辨认任何细节。",
    "视频没有显示任何内容。",
]
REFUSAL = [
    "I'm sorry, but I can't help with that.",
    "Sorry. I cannot view videos.",
    '"I\'m unable to see the video."',
    "I cannot describe this video. It seems to show a road with several cars.",
    "As an AI, I cannot watch videos.",
    "I don\u2019t have access to the video.",
    "No video was provided, so I cannot describe it.",
    "Please provide the video first.",
    "对不起，我无法查看这段视频。",
    "作为一个AI，我无法观看视频。",
    "没有收到视频，请先上传。",
    "请提供视频。",
]
TELLS = [
    TOLD,
    f"{TOLD} The licence plate is not visible.",
    "The licence plate of the van ahead is not visible in the video, and the van brakes hard.",
    "The ego vehicle follows a white van whose licence plate is not visible in the video.",
    "The cyclist's face cannot be seen.",
    "No vehicle is visible on the road.",
    "No vehicles are visible.",
    "Nothing happens: the parked car stays where it is.",
    "Nothing is visible ahead but the empty road.",
    "The road ahead is dark and cannot be seen, but two tail lights come closer.",
    "There is no sign of an anomaly.",
    "The video does not show an anomaly.",
    "The driver cannot see the cyclist behind the lorry.",
    "It is unclear why the van stops.",
    "The scene is dark; street lamps light a wet road.",
    "The screen of a phone is black.",
    "The view to the left is blocked by a bus.",
    "A sign in a shop window says \"Sorry, we are closed\".",
    "A man at the kerb holds a sign: 'I am sorry'. The ego vehicle passes him.",
    "A white car brakes. I cannot identify its plate.",
    "Visibility is poor because of fog.",
    "自车跟随一辆白色面包车行驶，车牌看不清。",
    "因为雾大，无法看清前方车牌，自车减速通过路口。",
    "看不到任何车辆。",
    "前方道路没有车辆。",
    "没有发生异常。",
    "画面较暗，前方公交车停在路口。",
    "看不清信号灯的颜色，自车停在停止线前。",
    "视频没有显示异常。",
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "why"),
    [
        *((text, "not_visible") for text in NOT_VISIBLE),
        *((text, "refusal") for text in REFUSAL),
        *((text, None) for text in TELLS),
    ],
)
def test_an_account_that_tells_nothing_is_none(text, why):
    assert {kind: lacks_account(answer) for kind, answer in answers(text).items()} == dict.fromkeys(
        answers(text), why
    )


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ({"abstain": True}, "not_visible"),
        ({"caption": TOLD, "abstain": True}, "not_visible"),
        ({"caption": TOLD, "abstain": False}, None),
        ({"events": [{**EVENT, "text": "Not visible."}, {**EVENT, "text": TOLD}]}, None),
        ({"before": "Not visible.", "moment": TOLD, "after": "Unknown."}, None),
        ({"scene": "Not visible.", "chronology": [{**EVENT, "text": TOLD}], "analysis": "Unknown."}, None),
        ({"scene": TOLD, "chronology": [], "analysis": "I'm sorry, but I can't judge that."}, "refusal"),
        ({"caption": ""}, None),
        ({"caption": 7, "events": [3, {"text": None}]}, None),
        ({}, None),
    ],
)
def test_what_must_tell_something_is_what_counts(answer, why):
    assert lacks_account(answer) == why


@given(
    st.text(max_size=300) | st.from_regex(r"(the |this |video |not |can be |seen |of ){0,40}", fullmatch=True)
)
def test_no_text_breaks_it(text):
    assert tells_nothing(text) in (True, False)
    lacks_account({"caption": text})


def read(said):
    text = {"type": "string", "minLength": 9}
    schema = {
        "type": "object",
        "required": ["caption"],
        "properties": {"caption": text, "abstain": {"type": "boolean"}},
    }
    part = RowPart("c", (), "c_text")
    job = AnswerJob(part=part, schema=schema, repair_rounds=1, sees="video", lacks=lacks_account)
    response = json.dumps({"choices": [{"message": {"content": json.dumps(said)}}]})
    return answer_of(dict(zip(response_columns(0), (response, True), strict=True)), job)


def test_a_row_whose_caption_tells_nothing_fails_and_is_not_asked_again():
    assert read({"caption": TOLD}).failure is None
    for said in ({"caption": "The screen is black."}, {"abstain": True}, {"caption": "N/A", "abstain": True}):
        answer = read(said)
        assert (answer.failure.reason, answer.repairable) == ("not_visible", False)
        assert json.loads(answer.cells["c_text"]) == said, "what the model said stays"
    assert read({"caption": "A car."}).repairable
