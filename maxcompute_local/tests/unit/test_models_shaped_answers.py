"""The shape that a prompt asks for, how it is filled, and what the text reader finds in a text."""

from __future__ import annotations

import json
from typing import Any

import pytest

from maxcompute_local.models.asked_shape import Shape, split_prompt
from maxcompute_local.models.backend import ChatAnswer, ChatRequest, Message, TextPart
from maxcompute_local.models.shaped_answers import clock
from maxcompute_local.models.text_reader import TextReader, read, stated_duration, stated_part

HEAD = "Answer with one JSON object and nothing else. Its keys and their allowed values:"
CHINESE = "只回答一个 JSON 对象，不要输出其他内容。键名与取值一律使用下列英文："
EVENTS = [
    {"start_ms": 0, "end_ms": 4000, "text": "The car drives on a highway."},
    {"start_ms": 4000, "end_ms": 6000, "text": "At 4600 ms a white van cuts in suddenly."},
    {"start_ms": 6000, "end_ms": 9000, "text": "Both cars go on."},
]
TOLD = f"Find what matters.\n\nduration_ms:\n9000\n\nevents:\n{json.dumps({'events': EVENTS})}"


def ask(keys: str, text: str = TOLD, head: str = HEAD, **params: Any) -> ChatAnswer:
    message = Message("user", (TextPart(f"{text}\n\n{head}\n{keys}"),))
    return TextReader().chat(ChatRequest("m", (message,), params))


def answer(keys: str, **given: Any) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(ask(keys, **given).content)
    return content


def test_shape_in_both_languages() -> None:
    stated = """- mode: anomaly | normal
- items: list (at least 1, at most 3 items) of object with the keys below (in order)
  - question: text (at least 1, at most 80 characters)
  - options: list (at least 4 items) of text
  - start_ms: integer (at least 0) (milliseconds)
- score: number or null (may be left out)
- done: boolean

- this: is text"""
    before, shape = split_prompt(f"{TOLD}\n\n{HEAD}\n- old: text\n\n{TOLD}\n\n{HEAD}\n{stated}")
    item = {
        "question": Shape("text", least=1, most=80),
        "options": Shape("list", items=Shape("text"), least=4),
        "start_ms": Shape("integer", least=0),
    }
    assert shape == Shape(
        "object",
        {
            "mode": Shape("choice", options=("anomaly", "normal")),
            "items": Shape("list", items=Shape("object", item), least=1, most=3),
            "score": Shape("number"),
            "done": Shape("boolean"),
        },
    )
    assert before.endswith(f"{TOLD}\n\n")
    _, shape = split_prompt(
        f"{CHINESE}\n- items: 列表 (至少 2 项)，每项为 对象，键名如下\n  - text: 文本 (至多 9 个字符)\n"
        "- ok: 布尔值 true 或 false"
    )
    assert shape == Shape(
        "object",
        {
            "items": Shape("list", items=Shape("object", {"text": Shape("text", most=9)}), least=2),
            "ok": Shape("boolean"),
        },
    )
    assert split_prompt("Describe.") == ("Describe.", None)
    assert split_prompt(f"{HEAD}\n- ok: true | false (whether)")[1] == Shape(
        "object", {"ok": Shape("boolean")}
    )


def test_the_moment_is_a_time_of_the_text() -> None:
    assert answer("- moment_ms: integer (at least 0)\n- reason: text") == {
        "moment_ms": 4600,
        "reason": EVENTS[1]["text"],
    }
    assert answer("- moment_ms: integer", text="duration_ms: 9000\n\nNothing happens.") == {"moment_ms": 4500}


@pytest.mark.parametrize(
    "line",
    [
        "Chunk 2 (4000-6000 ms): a van brakes",
        "4 s to 6 s: a van brakes",
        "- [00:04 - 00:06] a van brakes",
        '00:04.0-00:06.0: {"caption": "a van brakes", "abstain": false}',
    ],
)
def test_lines_with_times(line: str) -> None:
    found = read(f"The video lasts 9 s.\nUse 2 to 10 words.\n{line}\n8000-9900 ms: on\n9100-9900 ms: beyond")
    assert [(span.start_ms, span.end_ms, span.text) for span in found.spans] == [
        (4000, 6000, "a van brakes"),
        (8000, 9000, "on"),
    ]
    assert (found.sudden, found.moment_ms) == (True, 5000)


@pytest.mark.parametrize(
    ("text", "duration", "part"),
    [
        ("The part from 00:05.5 to 00:10.0 of a video that lasts 00:12.4.", 12_400, (5500, 10_000)),
        ("一段时长 00:12.4 的视频中从 00:05.5 到 00:10.0 的片段", 12_400, (5500, 10_000)),
        ("It begins at 00:00.0 and ends at 01:02.3. Use from 2 to 10 words.", 62_300, None),
        ("视频从 00:00.0 开始，到 01:02.3 结束。", 62_300, None),
    ],
)
def test_durations_and_parts_that_clocks_state(
    text: str, duration: int, part: tuple[int, int] | None
) -> None:
    assert (stated_duration(text), stated_part(text)) == (duration, part)


CLOCKS = {
    "scene": "A highway. At 00:04.6 a white van cuts in suddenly.",
    "chronology": [
        {"start_mmss": "00:00.0", "end_mmss": "00:04.0", "text": "The car drives."},
        {"start_mmss": "00:04.0", "end_mmss": 6, "text": "Not a clock."},
        {"start_mmss": "00:04.0", "end_mmss": "00:06.0", "text": "A van cuts in."},
        {"start_mmss": "00:06.0", "end_mmss": "00:09.0", "text": "Both go on."},
    ],
}
ACCOUNT = f"The video lasts 00:09.0.\n\n<description>\n{json.dumps(CLOCKS)}\n</description>"
TIMES = """- start_mmss: text or number ({} as MM:SS.s)
- end_mmss: text or number (as MM:SS.s)
- abstain: boolean (may be left out; true if there is nothing)"""


def test_clocks_are_read_and_written() -> None:
    moment = "- moment_mmss: text or number (as MM:SS.s)\n- abstain: boolean"
    assert answer(moment, text=ACCOUNT) == {"moment_mmss": "00:04.6", "abstain": False}
    assert answer(moment, text='Lasts 00:09.0. {"caption": "The car drives."}')["abstain"]
    assert answer("- caption: text\n- abstain: boolean", text=ACCOUNT)["abstain"] is False
    assert answer("- caption: text\n- abstain: boolean", text="Tell.")["abstain"] is True


def test_questions_on_a_window_and_on_two_moments() -> None:
    keys = f"- question: text\n- answer: text\n- reasoning: text\n{TIMES}"
    window = answer(keys.format("where it begins"), text=ACCOUNT)
    assert window == {
        "question": "What is seen from 00:04.0 to 00:06.0?",
        "answer": "A van cuts in",
        "reasoning": "What is seen from 00:04.0 to 00:06.0 is this: A van cuts in.",
        "start_mmss": "00:04.0",
        "end_mmss": "00:06.0",
        "abstain": False,
    }
    for note in ("the first moment", "前一时刻"):
        linked = answer(keys.format(note), text=ACCOUNT)
        assert linked["question"] == "How is what happens at 00:04.0 linked to what happens at 00:06.0?"
        assert linked["answer"].startswith("At 00:04.0: A van cuts in. At 00:06.0: Both go on.")
        assert (linked["start_mmss"], linked["end_mmss"]) == ("00:04.0", "00:06.0")
    whole = answer("- question: text\n- answer: text", text=ACCOUNT)
    assert "00:0" not in whole["question"]
    assert all(sentence in whole["answer"] for sentence in ("A highway.", "The car drives.", "Both go on."))


def test_a_pair_of_questions_below_yes_and_no() -> None:
    inner = "  - question: text\n  - explanation: text\n  - start_mmss: text or number\n"
    keys = f"- yes: object with the keys below\n{inner}- no: object with the keys below\n{inner}"
    pair = answer(keys, text=ACCOUNT)
    assert "A van cuts in" in pair["yes"]["question"]
    assert "A van cuts in" not in pair["no"]["question"]
    for one in pair.values():
        assert ("A van cuts in" in one["explanation"], one["start_mmss"]) == (True, "00:04.0")


def test_a_blind_answer_is_one_of_the_options() -> None:
    options = ["a car stops", "a car turns", "rain falls"]
    told = "<question>\n{}\n</question>\n\n<options>\n{}\n</options>"
    given = {
        answer("- answer: text", text=told.format(f"What {n}?", json.dumps(options)))["answer"]
        for n in range(30)
    }
    assert given == set(options)
    assert "What 1?" in answer("- answer: text", text=told.format("What 1?", ""))["answer"]


def test_what_does_not_happen_is_no_incident() -> None:
    assert not read('{"text": "No vehicle brakes. Nothing changes suddenly."}').sudden


def test_a_list_of_spans_and_its_limits() -> None:
    keys = """- events: list{} of object with the keys below
  - start_ms: integer
  - end_ms: integer
  - text: text{}"""
    assert answer(keys.format("", "")) == {"events": EVENTS}
    (one,) = answer(keys.format(" (at most 1 items)", " (at most 5 characters)"))["events"]
    assert one == {"start_ms": 4000, "end_ms": 6000, "text": "At 46"}


@pytest.mark.parametrize(
    ("said", "right"),
    [
        ("A | B | C | D", "ABCD".index),
        ("integer (at least 0, at most 3)", lambda answer: answer),
        ("text", None),
    ],
)
def test_questions_with_options(said: str, right: Any) -> None:
    keys = f"""- items: list (at least 4 items) of object with the keys below
  - question: text
  - options: list (at least 4, at most 4 items) of text
  - answer: {said}
  - reasoning: text
  - start_ms: integer
  - end_ms: integer"""
    items = answer(keys)["items"]
    assert len(items) == 4
    for item, event in zip(items, [*EVENTS, EVENTS[0]], strict=True):
        assert len(set(item["options"])) == 4
        chosen = item["options"][right(item["answer"])] if right else item["answer"]
        assert chosen == event["text"].rstrip(".")
        assert (item["start_ms"], item["end_ms"]) == (event["start_ms"], event["end_ms"])
        assert f"from {clock(event['start_ms'])} to {clock(event['end_ms'])}" in item["question"]


def test_yes_and_no() -> None:
    keys = """- items: list (at most 2 items) of object with the keys below
  - question: text
  - answer: yes | no"""
    first, second = answer(keys)["items"]
    assert (first["answer"], second["answer"]) == ("yes", "no")
    assert EVENTS[1]["text"].rstrip(".") not in second["question"]


def test_a_guess_is_one_of_the_options_and_always_the_same() -> None:
    keys = "- answer: A | B | C | D"
    assert {answer(keys, text=f"Question {number}?")["answer"] for number in range(40)} == set("ABCD")
    assert ask(keys) == ask(keys)


def test_without_keys_it_repeats_what_it_reads() -> None:
    content = TextReader().chat(ChatRequest("m", (Message("user", (TextPart(TOLD),)),))).content
    assert content.startswith("Local stand-in's reading of the text: The car drives on a highway.")
    assert ask("- scene: text", max_tokens=3).finish_reason == "length"
