"""Questions on frames from MaxFrame's SDK: as many pictures as a row has, none, and texts beside pictures."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import cv2
import maxframe.dataframe as md
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from maxframe import new_session
from maxframe.learn.contrib.llm import ContentPart, ImageContentType
from maxframe.learn.utils import read_odps_model
from odps import ODPS

from maxcompute_local.control_client import LocalCloudControl
from maxcompute_local.samples.driving.look import Light, Look, Place, Weather
from maxcompute_local.samples.driving.scene import DrivingScene
from maxcompute_local.server import LocalCloud

VLM, EMBEDDER = "qwen3-vl-plus", "qwen3-vl-embedding"
PROMPT = """Question: {question}
Options:
A. It rains
B. The sky is clear

Answer with one JSON object and nothing else. Its keys and their allowed values:
- reasoning: text
- answer: the letter of one option, or unknown
- frames: list of the numbers of the frames that the answer rests on"""
RESULT = ["id", "response", "success"]


@pytest.fixture
def control(local_cloud: LocalCloud) -> Iterator[LocalCloudControl]:
    yield local_cloud.control
    local_cloud.control.models.clear()


@pytest.fixture
def session(odps_client: ODPS) -> Iterator[Any]:
    session = new_session(odps_client)
    yield session
    session.destroy()


def jpeg(weather: Weather, seconds: float, light: Light = Light.DAY) -> bytes:
    """Return a picture with bytes that no other test shows: counters count different pictures."""
    picture = DrivingScene(Look(Place.CITY, light, weather, 404, 10)).frame(seconds)
    comment = uuid.uuid4().bytes
    data = cv2.imencode(".jpg", picture)[1].tobytes()
    return data[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + data[2:]


def asked(odps: ODPS, rows: list[dict[str, Any]], pictures: int) -> Any:
    """Return the lazy answers about rows of so many pictures."""
    frame = pd.DataFrame(rows)
    binary = {name: pd.ArrowDtype(pa.binary()) for name in frame.columns if name.startswith("p")}
    lazy = md.DataFrame(frame.astype(binary))
    content: list[ContentPart] = []
    for place in range(pictures):
        content.append(ContentPart.text(f"Frame {{n{place}}} (00:0{place}.0)"))
        content.append(
            ContentPart.image(data=f"{{p{place}}}", type=ImageContentType.BINARY, mime_type="image/jpeg")
        )
    content.append(ContentPart.text(PROMPT))
    model = read_odps_model(VLM, project=odps.project, odps_entry=odps)
    answers = model.generate(lazy, prompt_template=[{"role": "user", "content": content}])
    answers["id"] = lazy["id"]
    return answers[RESULT]


def test_one_job_with_calls_of_different_numbers_of_pictures(
    odps_client: ODPS, session: Any, control: LocalCloudControl
) -> None:
    question = "What is the weather like?"
    rain, clear = (
        {
            "id": name,
            "question": question,
            **{f"p{place}": jpeg(weather, place + 0.5) for place in range(count)},
            **{f"n{place}": str(place + 20) for place in range(count)},
        }
        for name, weather, count in (("rain", Weather.RAIN, 3), ("clear", Weather.CLEAR, 1))
    )
    blind = [{"id": "blind", "question": question}, {"id": "told", "question": "It rains; what falls?"}]
    parts = [asked(odps_client, [rain], 3), asked(odps_client, [clear], 1), asked(odps_client, blind, 0)]
    with control.counting() as counted:
        found = md.concat(parts, ignore_index=True).execute(session=session).fetch()
    assert found["success"].all(), found["response"].tolist()
    said = {
        name: json.loads(json.loads(text)["choices"][0]["message"]["content"])
        for name, text in zip(found["id"], found["response"], strict=True)
    }
    assert {name: (answer["answer"], answer["frames"]) for name, answer in said.items()} == {
        "rain": ("A", [20, 21, 22]),
        "clear": ("B", [20]),
        "blind": ("unknown", []),
        "told": ("A", []),
    }
    assert (counted["model.chat"], counted[f"model.images.{VLM}"]) == (4, 2)
    assert counted["maxframe.submit_dag"] == 1


def test_texts_and_pictures_are_embedded_into_one_space(odps_client: ODPS, session: Any) -> None:
    pictures = [jpeg(Weather.RAIN, 1.0, Light.NIGHT), jpeg(Weather.CLEAR, 1.0)]
    texts = ["rain at night", "a clear day"]
    binary = pd.DataFrame({"p": pictures}).astype(pd.ArrowDtype(pa.binary()))
    model = read_odps_model(EMBEDDER, project=odps_client.project, odps_entry=odps_client)
    image = ContentPart.image(data="{p}", type=ImageContentType.BINARY, mime_type="image/jpeg")
    made = [
        model.embed(md.DataFrame(rows), input=[part], params={"dimension": 256}, simple_output=True)
        for rows, part in ((binary, image), (pd.DataFrame({"t": texts}), ContentPart.text("{t}")))
    ]
    found = md.concat(made, ignore_index=True).execute(session=session).fetch()
    assert found["success"].all(), found["response"].tolist()
    night, day, of_night, of_day = (np.array(json.loads(text)) for text in found["response"])
    assert of_night @ night > 0.2 > of_night @ day
    assert of_day @ day > 0.2 > of_day @ night
