"""Which items of a partition repeat others, and what is counted of them."""

import json
import random

import pytest

from airflow_provider_drivepipe.pipelines.reasoning.export import QaItem
from airflow_provider_drivepipe.pipelines.reasoning.quality import FLAGS, Check, Tally, flags_of
from airflow_provider_drivepipe.pipelines.reasoning.spool import Place, Spool


def item(name, video, type_="open_qa"):
    return QaItem(name, f"oss://e/b/{video}.mp4", type_, "Why?", (), "So.", "", None, None)


ITEMS = [
    (item("a0", "a"), Place(0, "q-a", "t-1")),
    (item("a9", "a"), Place(1, "q-a", "t-2")),
    (item("a1", "a"), Place(2, "q-other", "t-3")),
    (item("b0", "b"), Place(0, "q-b", "t-1")),
    (item("b1", "b"), Place(1, "q-b", "t-4")),
    (item("b2", "b", "scene_description"), Place(0, "q-scene", "t-2")),
    (item("c0", "c"), Place(0)),
    (item("c1", "c"), Place(1)),
]
ORIGINALS = {"a9": "a0", "b0": "a0", "b1": "a0", "b2": "a0"}
"""``b1`` asks what ``b0`` asks, which is ``a0`` already; ``b2`` is like ``a9``."""


@pytest.mark.parametrize("seed", range(20))
def test_an_item_repeats_the_first_by_video_type_and_number_whatever_the_order_of_rows(tmp_path, seed):
    rows = random.Random(seed).sample(ITEMS, len(ITEMS))
    with Spool(tmp_path / "items.db") as spool:
        for each, place in rows:
            spool.put(each, place)
        assert set(spool.videos()) == {f"oss://e/b/{video}.mp4" for video in "abc"}
        found = [spool.compared(each, hashes) for each, hashes in spool.items()]
    assert [each.item_id for each in found] == ["a0", "a9", "a1", "b0", "b1", "b2", "c0", "c1"]
    assert {each.item_id: each.duplicate_of for each in found if each.duplicate_of} == ORIGINALS
    assert {each.item_id for each in found if each.flags == ("duplicate",)} == set(ORIGINALS)


def test_an_item_that_is_not_compared_is_no_original(tmp_path):
    with Spool(tmp_path / "items.db") as spool:
        for each, place in ITEMS:
            spool.put(each, place)
        found = [spool.compared(each, hashes) for each, hashes in spool.items() if each.item_id != "a0"]
    assert {each.item_id: each.duplicate_of for each in found if each.duplicate_of} == {
        "b1": "b0",
        "b2": "a9",
    }


def test_flags_are_those_of_the_checks_that_are_on():
    bad = {
        "blind_answerable": True,
        "length_ok": False,
        "language_ok": False,
        "mentions_source": True,
    }
    assert flags_of(bad, tuple(Check)) == tuple(flag for flag in FLAGS if flag != "duplicate")
    assert flags_of(bad, (Check.LENGTH, Check.BALANCE)) == ("length",)
    assert flags_of(bad, ()) == ()
    assert flags_of({name: not value for name, value in bad.items()}, tuple(Check)) == ()
    assert flags_of(dict.fromkeys(bad), tuple(Check)) == (), "what was not measured flags nothing"


def test_a_tally_is_small_json_with_every_choice_and_every_check():
    tally = Tally((Check.BLIND, Check.DUPLICATE, Check.BALANCE))
    assert (tally.share, tally.to_json()["items"], tally.text()) == (1.0, 0, "no flags")
    for letter in "BBA":
        tally.add("mcq", ("duplicate",) if letter == "A" else (), "ABCD", letter)
    tally.add("open_qa", ("blind_answerable", "duplicate"))
    said = json.loads(json.dumps(tally.to_json()))
    assert said["answers"] == {"mcq": {"A": 1, "B": 2, "C": 0, "D": 0}}
    assert (said["unflagged"], said["share"]) == (2, 0.5)
    assert said["tasks"]["mcq"] == {
        "items": 3,
        "flags": {
            "blind_answerable": {"items": 0, "share": 0.0},
            "duplicate": {"items": 1, "share": 0.3333},
        },
    }
    assert tally.text() == "1 blind_answerable (1 open_qa), 2 duplicate (1 mcq, 1 open_qa)"
