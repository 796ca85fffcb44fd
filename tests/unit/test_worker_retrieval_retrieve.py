"""Retrieval equals brute force exactly, ties included; no arm of a question is without a row."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_drivepipe.worker.retrieval.choose import (
    cosines,
    cover,
    fuse,
    select_top,
    unit_vectors,
    unite,
)
from airflow_provider_drivepipe.worker.retrieval.retrieve import (
    ARMS,
    EVIDENCE_COLUMNS,
    RetrieveJob,
    evidence_dtypes,
    retrieve,
)
from airflow_provider_drivepipe.worker.rows import STATUS_NAMES

# Few different values, so that most examples hold ties.
SCORES = st.lists(st.sampled_from([-0.5, 0.0, 0.25, 0.5, 1.0]), min_size=1, max_size=24)


@st.composite
def scored(draw):
    scores = draw(SCORES)
    times = sorted(draw(st.lists(st.integers(0, 40), min_size=len(scores), max_size=len(scores))))
    indexes = draw(st.permutations(range(len(scores))))
    # As the arrays are: in order of time, then of number.
    pairs = sorted(zip(times, indexes, strict=True))
    return np.array(scores), np.array([t for t, _ in pairs]), np.array([i for _, i in pairs])


def brute_order(scores, times, indexes):
    """All places, best first, in plain Python."""
    return sorted(range(len(scores)), key=lambda p: (-float(scores[p]), int(times[p]), int(indexes[p])))


def brute_top(scores, times, indexes, k, gap):
    chosen = []
    for place in brute_order(scores, times, indexes):
        if len(chosen) < k and not any(abs(int(times[place]) - int(times[c])) < gap for c in chosen):
            chosen.append(place)
    return chosen


@given(scored(), st.integers(1, 10), st.integers(0, 12))
def test_the_best_frames_are_those_of_brute_force(arrays, k, gap):
    assert select_top(*arrays, k, gap) == brute_top(*arrays, k, gap)


@given(st.data(), st.integers(1, 8), st.integers(1, 6))
def test_the_union_is_that_of_brute_force(data, limit, k):
    scores, times, indexes = data.draw(scored())
    others = [np.array(data.draw(st.permutations(list(scores)))) for _ in range(2)]
    queries = {5: scores, 2: others[0], 9: others[1]}
    found = {n: [(p, float(s[p])) for p in select_top(s, times, indexes, k)] for n, s in queries.items()}
    made = unite(found, limit)

    ranks = {n: brute_top(s, times, indexes, k, 0) for n, s in queries.items()}
    everything = {place for ranking in ranks.values() for place in ranking}
    by = {place: [n for n in sorted(ranks) if place in ranks[n]] for place in everything}
    score = {place: max(float(queries[n][place]) for n in by[place]) for place in everything}
    best = {place: min(ranks[n].index(place) for n in by[place]) for place in everything}
    kept = sorted(everything, key=lambda p: (best[p], -score[p], p))[:limit]
    kept.sort(key=lambda p: (-score[p], p))
    assert [(one.place, one.score, list(one.found_by)) for one in made] == [
        (p, score[p], by[p]) for p in kept
    ]


@given(st.data(), st.integers(1, 8), st.integers(0, 8))
def test_fusion_is_reciprocal_rank_over_all_rankings(data, k, gap):
    scores, times, indexes = data.draw(scored())
    others = [np.array(data.draw(st.permutations(list(scores)))) for _ in range(2)]
    queries = {3: scores, 1: others[0], 7: others[1]}
    made = fuse(queries, times, indexes, k, gap)
    orders = [brute_order(s, times, indexes) for s in queries.values()]
    # Exact: as fractions of whole numbers, no float decides a tie.
    total = math.prod(range(61, 61 + len(scores)))
    fused = [sum(total // (61 + order.index(p)) for order in orders) for p in range(len(scores))]
    expected = []
    for place in sorted(range(len(scores)), key=lambda p: (-fused[p], p)):
        if len(expected) < k and not any(abs(int(times[place]) - int(times[c])) < gap for c in expected):
            expected.append(place)
    assert [one.place for one in made] == expected
    for one in made:
        assert one.score == pytest.approx(fused[one.place] / total, rel=1e-12)
        in_top = [n for n in sorted(queries) if one.place in brute_top(queries[n], times, indexes, k, gap)]
        assert list(one.found_by) == in_top


@given(scored(), st.integers(1, 10))
def test_coverage_takes_the_best_of_each_part_then_the_next_best(arrays, k):
    scores, times, indexes = arrays
    k = min(k, len(scores))
    order = brute_order(scores, times, indexes)
    length = int(times[-1] - times[0]) + 1
    parts = [int(time - times[0]) * k // length for time in times]
    expected = {next(p for p in order if parts[p] == part) for part in set(parts)}
    for place in order:
        if len(expected) < k:
            expected.add(place)
    assert cover(scores, times, indexes, k) == [p for p in order if p in expected]


@settings(max_examples=25)
@given(st.integers(1, 1100), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_equal_vectors_have_equal_scores_wherever_they_stand(count, length, seed):
    random = np.random.default_rng(seed)
    vectors = unit_vectors(random.normal(size=(max(1, count // 3), length)))
    matrix = np.ascontiguousarray(vectors[random.integers(0, len(vectors), count)])
    query = unit_vectors(random.normal(size=(1, length)))[0]
    scores = cosines(matrix, query)
    alone = [round(float(np.add.reduce(row * query)), 12) for row in matrix]
    assert scores.tolist() == alone
    assert np.allclose(scores, matrix @ query)


def group(videos, questions):
    """Rows of frames and questions, mixed up; ``car`` is lineage, an integer with NULLs."""
    rows = [
        {
            "drivepipe_kind": "frame",
            "video_id": video,
            "frame_idx": index,
            "frame_time_ms": time,
            "image_id": f"{video}_{index:04d}",
            "image_url": f"oss://h/b/{video}/{index}.jpg",
            "image_embedding": vector if isinstance(vector, str | None) else json.dumps(list(vector)),
        }
        for video, frames in videos.items()
        for index, time, vector in frames
    ]
    rows += [
        {
            "drivepipe_kind": "question",
            "question_id": f"q{number}",
            "evidence_start_ms": None,
            "evidence_end_ms": None,
            "attempt": 2,
            "fingerprint": "f",
            **question,
            "queries": "\n".join(
                f"{n}|{kind}|{v if isinstance(v, str) else json.dumps(list(v))}"
                for n, kind, v in question["queries"]
            )
            or None,
        }
        for number, question in enumerate(questions)
    ]
    order = np.random.default_rng(3).permutation(len(rows))
    made = pd.DataFrame([rows[at] for at in order], dtype=object)
    return made.assign(car=pd.array([None] * len(rows), dtype="Int64")).set_axis([7] * len(rows), axis=0)


def run(videos, *questions, arms=ARMS, **job):
    made = retrieve(group(videos, questions), RetrieveJob(arms, "video_id", ("question_id", "car"), **job))
    return made.sort_values(["question_id", "evidence_number"], ignore_index=True)


def frames_of(made, arm, question="q0"):
    rows = made[(made["arm"] == arm) & (made["question_id"] == question)]
    return [None if pd.isna(index) else int(index) for index in rows["frame_idx"]]


EAST, NORTH, BOTH = [1.0, 0.0], [0.0, 2.0], [1.0, 1.0]
SIX = {"v": [(i, i * 1000, vector) for i, vector in enumerate([EAST, BOTH, NORTH, EAST, BOTH, NORTH])]}
TEXT, PLAN, DRAWN = (0, "text", EAST), (1, "planned_text", NORTH), (2, "planned_image", BOTH)
ASKED = {"video_id": "v", "queries": [TEXT, PLAN, DRAWN], "evidence_start_ms": 900, "evidence_end_ms": 3000}


def test_each_arm_shows_its_frames_in_order_of_time():
    made = run(SIX, ASKED, top_k=2, max_frames=3)
    assert frames_of(made, "blind") == [None]
    assert frames_of(made, "uniform") == [0, 3]
    assert frames_of(made, "text") == [0, 3]
    assert frames_of(made, "planned_text") == [2, 5]
    assert frames_of(made, "planned_image") == [1, 4]
    assert frames_of(made, "coverage") == [0, 3]
    assert frames_of(made, "oracle") == [1, 2]
    # By rank of east 1 3 5 2 4 6, of north 5 3 1 6 4 2, of both 3 1 5 4 2 6: frame 1 first, frame 0 second.
    assert frames_of(made, "fused") == [0, 1]
    assert set(made["status"]) == {"ok"}
    assert made["evidence_number"].tolist() == list(range(len(made)))


def test_rows_say_why_a_frame_is_there():
    made = run(SIX, ASKED, top_k=2, max_frames=3, arms=("blind", "uniform", "text", "oracle"))
    rows = made[["arm", "frame_clock", "rank", "found_by", "in_evidence", "image_id", "image_url"]]
    rows = rows.astype(object).where(rows.notna(), None).to_numpy().tolist()
    assert rows[0] == ["blind", None, 0, None, None, None, None]
    assert rows[2] == ["uniform", "00:03.0", 2, None, True, "v_0003", "oss://h/b/v/3.jpg"]
    assert rows[3] == ["text", "00:00.0", 1, "[0]", False, "v_0000", "oss://h/b/v/0.jpg"]
    assert made["score"].isna().tolist() == [True, True, True, False, False, True, True]
    assert made["score"][3] == 1.0
    names = [column.name for column in EVIDENCE_COLUMNS]
    assert list(made.columns) == [*names, "question_id", "car", *STATUS_NAMES]
    lineage = {"question_id": str(made.dtypes["question_id"]), "car": "Int64"}
    assert {name: str(dtype) for name, dtype in made.dtypes.items()} == evidence_dtypes(lineage)
    assert set(made["attempt"]) == {2}
    assert set(made["fingerprint"]) == {"f"}


def test_a_union_says_which_queries_found_a_frame_and_is_cut_by_rank():
    queries = [(1, "planned_text", EAST), (2, "planned_text", NORTH), (4, "planned_text", EAST)]
    made = run(SIX, {**ASKED, "queries": queries}, arms=("planned_text",), top_k=3, max_frames=3)
    # Ranks are 0 3 1 of east, 2 5 1 of north: first 0 and 2, then 3 and 5 with equal scores: the earlier one.
    assert frames_of(made, "planned_text") == [0, 2, 3]
    assert made["found_by"].tolist() == ["[1, 4]", "[2]", "[1, 4]"]
    assert made["rank"].tolist() == [1, 2, 3]


def test_a_short_video_shows_no_frame_twice():
    made = run({"v": SIX["v"][:3]}, ASKED, top_k=8)
    for arm in ARMS[1:]:
        shown = frames_of(made, arm)
        assert shown == sorted(set(shown))


def test_near_frames_are_passed_over():
    made = run(SIX, ASKED, arms=("text",), top_k=3, min_gap_ms=3000)
    assert frames_of(made, "text") == [0, 3]
    made = run(SIX, ASKED, arms=("text",), top_k=3, min_gap_ms=2000)
    assert frames_of(made, "text") == [0, 3, 5]


def test_order_is_that_of_time_not_of_numbers_or_names():
    frames = {"v": [(2, 100, EAST), (10, 200, EAST), (1, 300, EAST)]}
    assert frames_of(run(frames, ASKED, arms=("text",)), "text") == [2, 10, 1]


def test_frames_without_times_are_in_order_of_their_numbers():
    frames = {"v": [(i, None, vector) for i, _, vector in SIX["v"]]}
    made = run(frames, ASKED, top_k=2, min_gap_ms=5000)
    assert frames_of(made, "text") == [0, 3]
    assert frames_of(made, "coverage") == [0, 3]
    assert made["in_evidence"].isna().all()
    oracle = made[made["arm"] == "oracle"].to_dict("records")[0]
    assert (oracle["status"], oracle["error_type"]) == ("filtered", "no_evidence")


def failures(made):
    columns = ["arm", "status", "error_stage", "error_type", "rank"]
    return [tuple(row) for row in made[columns].to_numpy().tolist() if row[1] != "ok"]


def test_an_arm_without_its_queries_is_a_row_that_says_so():
    made = run(SIX, {**ASKED, "queries": [TEXT, (1, "planned_text", "null")], "evidence_start_ms": None})
    assert failures(made) == [
        ("planned_text", "failed", "retrieve", "no_query", 0),
        ("planned_image", "failed", "retrieve", "no_query", 0),
        ("oracle", "filtered", "retrieve", "no_evidence", 0),
    ]
    assert set(made["arm"]) == set(ARMS)
    assert made["in_evidence"].isna().all()
    made = run(SIX, {**ASKED, "queries": []})
    assert {arm for arm, *_ in failures(made)} == {
        "text",
        "planned_text",
        "planned_image",
        "fused",
        "coverage",
    }


def test_evidence_without_a_frame_is_none():
    made = run(SIX, {**ASKED, "evidence_start_ms": 100, "evidence_end_ms": 900}, arms=("oracle", "text"))
    assert failures(made) == [("oracle", "filtered", "retrieve", "no_evidence", 0)]
    assert made["in_evidence"].tolist()[1:] == [False] * 6


BAD = [
    "",
    "no",
    "[]",
    "{}",
    "[0, 0]",
    "[1]",
    "[1, 2, 3]",
    "[NaN, 1]",
    "[1e999, 1]",
    "[[1, 2]]",
    "[1, null]",
    None,
    "7",
]


@pytest.mark.parametrize("bad", BAD)
def test_a_frame_whose_vector_cannot_be_used_is_left_out_and_counted(bad):
    made = run({"v": [*SIX["v"], (6, 500, bad)]}, ASKED, top_k=8)
    assert 6 not in {index for arm in ARMS for index in frames_of(made, arm)}
    assert set(made["frames_left_out"]) == {1}
    assert not failures(made)
    alone = run({"v": [(6, 500, bad)]}, ASKED)
    assert failures(alone) == [(arm, "failed", "retrieve", "no_frames", 0) for arm in ARMS[1:]]
    assert "1 " in alone["error_msg"][1]


def test_without_a_query_the_length_of_most_frames_counts():
    frames = [(i, i, v) for i, v in enumerate([EAST, [1, 2, 3], NORTH, "no", "no", "no", "no"])]
    made = run({"v": frames}, {**ASKED, "queries": []}, arms=("uniform",))
    assert frames_of(made, "uniform") == [0, 2]
    assert set(made["frames_left_out"]) == {5}


def test_a_question_whose_video_has_no_frames_still_has_its_rows():
    made = run({"w": SIX["v"]}, ASKED)
    assert len(made) == len(ARMS)
    assert failures(made) == [(arm, "failed", "retrieve", "no_frames", 0) for arm in ARMS[1:]]


def test_a_frame_that_is_there_twice_is_shown_once():
    assert frames_of(run({"v": SIX["v"] * 2}, ASKED, arms=("uniform",)), "uniform") == [0, 1, 2, 3, 4, 5]


def test_a_sum_of_the_same_ranks_is_the_same_score():
    """Ranks 7, 1 and 2 add up to another last bit than 7, 2 and 1, and the later frame would be first."""
    ranks = np.array([[7, 2, 1], [1, 7, 7], [2, 1, 2], [3, 3, 3], [4, 4, 4], [5, 5, 5], [6, 6, 6]])
    made = {
        one.place: one.score
        for one in fuse(dict(enumerate(-ranks.T.astype(float))), np.arange(7), np.arange(7), 7)
    }
    swapped = fuse(dict(enumerate(-ranks.T[[0, 2, 1]].astype(float))), np.arange(7), np.arange(7), 7)
    assert made == {one.place: one.score for one in swapped}


def test_videos_are_never_mixed_up_and_equal_brute_force():
    random = np.random.default_rng(11)
    pool = random.normal(size=(9, 16))
    videos = {
        # Many frames have the same vector: ties decide.
        f"v{n}": [(i, int(random.integers(0, 30)) * 100, pool[random.integers(0, 9)]) for i in range(40)]
        for n in range(4)
    }
    questions = [
        {
            "video_id": f"v{n % 4}",
            "queries": [(0, "text", random.normal(size=16)), (1, "planned_text", pool[n])],
        }
        for n in range(9)
    ]
    made = run(videos, *questions, arms=("text", "planned_text"), top_k=5)
    for number, question in enumerate(questions):
        frames = videos[question["video_id"]]
        for arm, (_, _, query) in zip(("text", "planned_text"), question["queries"], strict=True):
            unit = query / np.sqrt(np.sum(query * query))
            cosines_of = {i: float(np.sum(v / np.sqrt(np.sum(v * v)) * unit)) for i, _, v in frames}
            scores = {i: round(cosine, 12) for i, cosine in cosines_of.items()}
            best = sorted(frames, key=lambda frame: (-scores[frame[0]], frame[1], frame[0]))[:5]
            expected = [i for i, _, _ in sorted(best, key=lambda frame: (frame[1], frame[0]))]
            rows = made[(made["question_id"] == f"q{number}") & (made["arm"] == arm)]
            assert rows["frame_idx"].tolist() == expected
            assert rows["score"].tolist() == [scores[i] for i in expected]
            assert [best[rank - 1][0] for rank in rows["rank"]] == expected
            assert set(rows["image_url"]) <= {f"oss://h/b/{question['video_id']}/{i}.jpg" for i in range(40)}


@pytest.mark.parametrize("job", [{"arms": ()}, {"arms": ("best",)}, {"top_k": 0}, {"max_frames": 0}])
def test_a_job_that_cannot_be_done_is_refused(job):
    with pytest.raises(ValueError, match="arms are some of"):
        run(SIX, ASKED, **job)
