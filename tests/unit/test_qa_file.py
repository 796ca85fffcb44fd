"""The data file of a video QA evaluation: options in the question's text, and all that is wrong at once."""

from __future__ import annotations

import json

import pytest

from airflow_provider_drivepipe.cli.errors import CommandError
from airflow_provider_drivepipe.cli.qa_file import read_questions, split_options

RED = {"A": "red", "B": "green", "C": "off", "D": "none"}


@pytest.mark.parametrize(
    ("text", "question", "options"),
    [
        ("Which light?\nA. red\nB. green\nC. off\nD. none", "Which light?", RED),
        ("Which light?\n(A) red\n(B) green\n(C) off\n(D) none\n", "Which light?", RED),
        ("Which light?\n\nOptions:\nA) red\nB) green\nC) off\nD) none", "Which light?", RED),
        ("Which light? A. red B. green C. off D. none", "Which light?", RED),
        ("Which light? A.red, B.green, C.off, D.none", "Which light?", RED),
        ("Which light? (A) red; (B) green; (C) off; (D) none", "Which light?", RED),
        ("Which light? ( A ) red ( B ) green ( C ) off ( D ) none", "Which light?", RED),
        ("Which light? A: red B: green C: off D: none", "Which light?", RED),
        ("Which light?\nA. red B. green C. off D. none", "Which light?", RED),
        ("灯是什么颜色？\n选项：\nA、红\nB、绿", "灯是什么颜色？", {"A": "红", "B": "绿"}),
        ("灯是什么颜色？（A）红；（B）绿", "灯是什么颜色？", {"A": "红", "B": "绿"}),
        ("灯？A．红 B．绿", "灯？", {"A": "红", "B": "绿"}),
        (
            "Is lane A. or B. free?\nA. lane (A)\nB. lane (B)",
            "Is lane A. or B. free?",
            {"A": "lane (A)", "B": "lane (B)"},
        ),
        (
            "In the U.S.A. what? A. it stops B. it goes",
            "In the U.S.A. what?",
            {"A": "it stops", "B": "it goes"},
        ),
        ("Which?\nA. two\nlines\nB. one", "Which?", {"A": "two\nlines", "B": "one"}),
        ("What happens at 0:06?", "What happens at 0:06?", {}),
        ("Is vitamin A. good?", "Is vitamin A. good?", {}),
        ("Is lane A. free? A. yes B. no", "Is lane A. free?", {"A": "yes", "B": "no"}),
    ],
)
def test_options_are_split_from_the_question(text, question, options):
    assert split_options(text) == (question, options)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("Which?\nA. red\nC. green\nB. off", "not in order: A, C, B"),
        ("Which?\nA. red\nB.\nC. off", "option B has no text"),
        ("Which sign, (A) or (B)? A. first B. second", "marked in several ways: (A) and A."),
        ("A. red B. green", "no question before its options"),
    ],
)
def test_what_cannot_be_told_apart_is_no_guess(text, problem):
    with pytest.raises(ValueError) as raised:
        split_options(text)
    assert problem in str(raised.value)


def write(tmp_path, items):
    file = tmp_path / "items.json"
    file.write_text(json.dumps(items), "utf-8")
    return file


def test_items_become_questions(tmp_path):
    items = [
        {"key": "v/a", "uid": 7, "question": "Wet?\nA. yes\nB. no", "answer": "(b)", "category": "road"},
        {"key": "v/a", "uid": "x", "question": "Where?", "answer": "left"},
        {
            "key": "b",
            "uid": "y",
            "question": "Wet? A. yes B. no",
            "evidence_start_ms": 0,
            "evidence_end_ms": 9,
        },
    ]
    first, second, third = read_questions(write(tmp_path, items))
    assert (first.question_id, first.key, first.answer, first.category) == ("7", "v/a", "B", "road")
    assert (second.options, second.answer) == ({}, "left")
    assert (third.answer, third.evidence) == (None, (0, 9))


def test_all_items_that_cannot_be_used_are_named_at_once(tmp_path):
    good = {"key": "a", "uid": "1", "question": "Wet? A. yes B. no", "answer": "A"}
    items = [
        good,
        good,
        {**good, "uid": "2", "answer": "C"},
        {**good, "uid": "3", "question": "Wet?"},
        {**good, "uid": "4", "question": "Wet? A. yes C. no B. perhaps"},
        {"uid": "5", "question": " "},
        {**good, "uid": "6", "answer": ["A"]},
        {**good, "uid": "7", "evidence_start_ms": 9, "evidence_end_ms": 3},
    ]
    with pytest.raises(CommandError) as raised:
        read_questions(write(tmp_path, items))
    lines = str(raised.value).splitlines()
    assert "nothing was loaded, 7 problems" in lines[0]
    for line, said in zip(
        lines[1:],
        [
            "item 3 (uid 2): its answer 'C' is none of the options A, B",
            "item 4 (uid 3): its answer is A, but no options",
            "item 5 (uid 4): its options are not in order: A, C, B",
            "item 6 (uid 5): it has no key, question",
            "item 7 (uid 6): its answer is no text",
            "item 8 (uid 7): its evidence is no time range",
            "uid 1 stands more than once",
        ],
        strict=True,
    ):
        assert said in line


@pytest.mark.parametrize("text", ["", "{}", "[]", "[1]", '{"a": [', "[" * 100_000])
def test_what_is_no_list_of_items(tmp_path, text):
    file = tmp_path / "items.json"
    file.write_text(text)
    with pytest.raises(CommandError, match=r"is not (JSON|a list of objects)"):
        read_questions(file)
