"""Prices, estimates and budgets, without running anything."""

import json

import pytest

from airflow_provider_drivepipe.cli.plan import main as plan_command
from airflow_provider_drivepipe.contracts import Tokens
from airflow_provider_drivepipe.documents.estimate import (
    Figure,
    Figures,
    NotEnoughKnown,
    Source,
    estimate,
)
from airflow_provider_drivepipe.documents.estimate_text import estimate_text
from airflow_provider_drivepipe.lifecycle.budget import Budget
from airflow_provider_drivepipe.lifecycle.spending import read_spending
from airflow_provider_drivepipe.pipelines.loading import ScenarioError, load_scenario
from airflow_provider_drivepipe.pipelines.registry import plan
from airflow_provider_drivepipe.scenario.options import PriceOptions
from airflow_provider_drivepipe.scenario.prices import cost_of, spending_of, spending_text

BASE = """\
scenario_name: night
input_shape: video_table
targets: [frame-extraction, labeling, embedding]
source_table: videos
oss_bucket: my-bucket
output_table: night_image_labeling
vlm_model: m
embedding_model: e
"""
PRICES = "prices: {currency: CNY, per_tokens: 1000, input: 0.1, output: 0.2, embedding: 0.05}\n"


def given(value):
    return Figure(value, Source.GIVEN)


@pytest.fixture
def scenario(tmp_path):
    def load(more="", base=BASE):
        file = tmp_path / "night.yaml"
        file.write_text(base + more)
        return load_scenario(file)

    return load


@pytest.fixture
def problems(scenario):
    def found(more, base=BASE):
        with pytest.raises(ScenarioError) as caught:
            scenario(more, base)
        return [(p.key, p.message) for p in caught.value.problems]

    return found


@pytest.mark.parametrize(
    ("tokens", "cost"),
    [
        (Tokens(), 0),
        (Tokens(1000, 1000, 1000), 0.35),
        (Tokens(10**12, 0, 0), 10**8),
        (Tokens(0, 3, 0), 0.0006),
    ],
)
def test_cost_is_exact_where_floats_are_not(tokens, cost):
    assert cost_of(tokens, PriceOptions("CNY", 1000, 0.1, 0.2, 0.05)) == cost


def test_spending_without_frames_hours_or_prices_says_so_and_does_not_divide():
    nothing = spending_of(0, None, Tokens(), None)
    assert (nothing.cost, nothing.cost_per_1000_frames, nothing.tokens_per_video_hour) == (None, None, None)
    assert spending_text(nothing) == ""
    tokens_only = spending_of(500, 0.5, Tokens(1000, 0, 0), None)
    assert spending_text(tokens_only) == "2,000 tokens per 1,000 rows, 2,000 tokens per hour of video"
    paid = spending_of(500, 0.5, Tokens(1000, 0, 0), PriceOptions("CNY", 1000, 1.5, 0, None))
    assert spending_text(paid) == "1.50 CNY, 3.00 CNY per 1,000 rows, 3.00 CNY per hour of video"


def test_hours_of_video_take_single_frames_for_as_long_as_the_others():
    # Ten frames, eight of which are a second apart.
    assert read_spending((10, 10, 8, 8000)) == (10, pytest.approx(10 / 3600))
    assert read_spending((3, 3, 0, 0)) == (3, None)
    assert read_spending((None, None, None, None)) == (0, None)


def test_estimate_follows_from_hours_and_frame_rate(scenario):
    found = estimate(
        plan(scenario("frame_fps: 1/3\n" + PRICES)),
        Figures(
            hours=given(0.1), input_tokens=given(1000), output_tokens=given(100), embedding_tokens=given(10)
        ),
    )
    assert found.all.rows == 120
    assert (found.all.calls, found.all.most_calls) == (240, 240)
    assert found.all.tokens == Tokens(120_000, 12_000, 1200)
    assert found.all.spending.cost == pytest.approx(12 + 2.4 + 0.06)
    assert found.all.spending.cost_per_video_hour == pytest.approx(144.6)
    assert found.run == found.all
    assert found.runs == 1


def test_what_the_scenario_says_goes_before_what_was_measured(scenario):
    measured = Figures(
        units=Figure(10, Source.MEASURED),
        rows_per_unit=Figure(7, Source.MEASURED),
        hours_per_unit=Figure(0.5, Source.MEASURED),
    )
    by_rate = estimate(plan(scenario()), Figures(hours=given(1)).over(measured))
    assert by_rate.figures["rows"].value == 3600
    assert estimate(plan(scenario()), measured).figures["rows"].value == 70
    assert estimate(plan(scenario()), measured).figures["hours"].value == 5
    by_count = estimate(plan(scenario("frame_sample_count: 3\n")), measured)
    assert by_count.figures["rows"].value == 30
    assert estimate(plan(scenario()), Figures(rows=given(4)).over(measured)).all.rows == 4


def test_clips_and_labels_of_images_are_estimated_too(scenario):
    clips = BASE.replace("video_table", "clip_dir_table").replace("frame-extraction, ", "")
    found = estimate(plan(scenario("keyframe_count: 4\n", clips)), Figures(units=given(10)))
    assert (found.all.rows, found.all.calls) == (40, 80)
    labeled = """\
scenario_name: night
input_shape: labeled_image_table
targets: [label-embedding]
source_table: images
output_table: night_label_embedding
label_embedding_model: t
"""
    found = estimate(plan(scenario("", labeled)), Figures(units=given(10)))
    assert found.calls_per_row == {"label_embedding": 1}
    # A label's text is far shorter than a picture.
    assert found.all.tokens == Tokens(0, 0, 2000)


def test_a_cap_splits_the_partition_into_runs(scenario):
    schema = "label_schema: driving-scene/v1\nrepair_rounds: 2\n"
    found = estimate(plan(scenario(schema + "max_calls: 42\nmax_rows: 50\n")), Figures(rows=given(95)))
    # Three calls of a label and one of an embedding.
    assert found.calls_per_row == {"label": 3, "image_embedding": 1}
    assert (found.run.rows, found.run.calls, found.run.most_calls, found.runs) == (10, 20, 40, 10)
    none = estimate(plan(scenario(schema + "max_calls: 3\n")), Figures(rows=given(95)))
    assert (none.run.rows, none.runs) == (0, 0)
    assert "no model is ever called" in estimate_text(plan(scenario(schema + "max_calls: 3\n")), none)
    nothing = estimate(plan(scenario("max_rows: 3\n")), Figures(rows=given(0)))
    assert (nothing.run.rows, nothing.runs) == (0, 1)


@pytest.mark.parametrize(
    ("more", "said"),
    [("", "how many hours of video"), ("frame_sample_count: 3\n", "how large is the input")],
)
def test_an_estimate_asks_for_what_it_lacks(scenario, more, said):
    with pytest.raises(NotEnoughKnown, match=said):
        estimate(plan(scenario(more)), Figures())


def test_the_command_prints_every_figure_with_its_origin(tmp_path, capsys):
    file = tmp_path / "night.yaml"
    file.write_text(BASE + PRICES + "max_rows: 100\n")
    assert plan_command([str(file), "--estimate", "--videos", "3", "--hours", "1"]) == 0
    shown = capsys.readouterr().out
    assert "budget      max_rows 100 per run" in shown
    assert "3,600  follows: hours at 1 frames per second" in shown
    assert "200  assumed: 200 of a short label" in shown
    assert "36 runs complete the partition" in shown
    assert max(map(len, shown.splitlines())) <= 100
    assert plan_command([str(file), "--json", "--frames", "10"]) == 0
    assert json.loads(capsys.readouterr().out)["estimate"]["all"]["rows"] == 10
    assert plan_command([str(file), "--estimate"]) == 1
    assert "--hours H" in capsys.readouterr().err


@pytest.mark.parametrize("number", ["-1", "nan", "inf", "many", ""])
def test_figures_are_numbers(tmp_path, number, capsys):
    with pytest.raises(SystemExit):
        plan_command([str(tmp_path / "x.yaml"), "--hours", number])
    assert "a number from 0 up" in capsys.readouterr().err


def test_frames_alone_cost_no_tokens(scenario):
    base = BASE.replace(", labeling, embedding", "").replace("vlm_model: m\nembedding_model: e\n", "")
    found = estimate(plan(scenario("", base)), Figures(hours=given(1)))
    assert (found.all.rows, found.all.calls, found.all.tokens) == (3600, 0, Tokens())
    assert "calls no model" in estimate_text(plan(scenario("", base)), found)


@pytest.mark.parametrize(
    ("more", "key", "said"),
    [
        ("prices: {currency: CNY, input: 1}\n", "prices", "lacks output, which labeling needs"),
        ("prices: {input: 1, output: 1, embedding: 1}\n", "prices", "currency: field required"),
        ("prices: {currency: CNY, input: -1, output: 1, embedding: 1}\n", "prices", "greater than or equal"),
        ("prices: {currency: CNY, input: .inf, output: 1, embedding: 1}\n", "prices", "finite"),
        ("prices: {currency: CNY, inptu: 1, input: 1, output: 1, embedding: 1}\n", "prices", "inptu"),
        ("prices: 3\n", "prices", "valid dictionary"),
        ("max_rows: 0\n", "max_rows", "greater than or equal to 1"),
        ("max_calls: 1.5\n", "max_calls", "valid integer"),
        ("max_calls: 5\nreprocess: all\n", "max_calls", "every run would stop at the same row. Use"),
    ],
)
def test_wrong_prices_and_caps_are_refused(problems, more, key, said):
    assert any(about == key and said in message for about, message in problems(more)), problems(more)


def test_caps_and_prices_need_models(problems):
    base = BASE.replace(", labeling, embedding", "").replace("vlm_model: m\nembedding_model: e\n", "")
    found = problems(PRICES + "max_rows: 1\nmax_calls: 1\n", base)
    assert sorted(key for key, _ in found) == ["max_calls", "max_rows", "prices"]


@pytest.mark.parametrize(
    ("rows", "calls", "waiting", "needs", "left"),
    [
        (10, None, 0, {}, 10),
        (10, None, 7, {"label": 7, "image_embedding": 3}, 3),
        (None, 10, 3, {"label": 2, "image_embedding": 1}, 1),
        (None, 10, 9, {"label": 9}, 0),
        (1, 100, 0, {}, 1),
        (100, 2, 0, {}, 0),
    ],
)
def test_rows_that_wait_take_their_part_of_the_budget_first(rows, calls, waiting, needs, left):
    budget = Budget(rows, calls, {"label": 2, "image_embedding": 1})
    assert budget.rows_left(waiting, needs) == left


def test_stages_of_estimates_are_those_of_reports(scenario):
    assert list(estimate(plan(scenario()), Figures(rows=given(1))).calls_per_row) == [
        "label",
        "image_embedding",
    ]
