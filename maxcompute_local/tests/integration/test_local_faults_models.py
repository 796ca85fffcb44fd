"""Model answers from a script and counters, through the handle of other processes and a MaxFrame job."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import alibabacloud_oss_v2 as oss
import cv2
import maxframe.dataframe as md
import numpy as np
import pandas as pd
import pytest
import requests
from maxframe import new_session
from maxframe.learn.contrib.llm import ContentPart, ImageContentType
from maxframe.learn.contrib.llm.models.managed import ManagedMultiModalGenLLM
from odps import ODPS

from maxcompute_local.control_client import LocalCloudControl
from maxcompute_local.errors import LocalCloudError
from maxcompute_local.server import LocalCloud
from maxcompute_local.settings import ENGINE_PATH

MODEL = "qwen3-vl-plus"


@pytest.fixture
def control(local_cloud: LocalCloud) -> Iterator[LocalCloudControl]:
    yield local_cloud.control
    local_cloud.control.models.clear()
    local_cloud.control.faults.clear()


def jpeg(grey: int) -> bytes:
    return cv2.imencode(".jpg", np.full((64, 64, 3), grey, np.uint8))[1].tobytes()


def label(odps: ODPS, pictures: list[bytes]) -> list[tuple[str, bool]]:
    """Label pictures in a MaxFrame job; return the answers in order."""
    encoded = [base64.b64encode(picture).decode() for picture in pictures]
    image = ContentPart.image(data="{picture}", type=ImageContentType.BASE64, mime_type="image/jpeg")
    return _label(odps, encoded, image)


def _label(odps: ODPS, values: list[str], image: ContentPart) -> list[tuple[str, bool]]:
    session = new_session(odps)
    try:
        frame = md.DataFrame(pd.DataFrame({"picture": values}))
        answers = ManagedMultiModalGenLLM(name=MODEL).generate(
            frame, messages=[{"role": "user", "content": [image]}]
        )
        found = answers.execute(session=session).fetch()
        return list(zip(found["response"], map(bool, found["success"]), strict=True))
    finally:
        session.destroy()


def test_nine_pictures_fail_and_nothing_else_does(odps_client: ODPS, control: LocalCloudControl) -> None:
    control.models.script(MODEL, fail_first=9, times=1, status=400, message="refused by the test")
    pictures = [jpeg(grey) for grey in range(10, 250, 12)]
    with control.counting() as counted:
        answers = label(odps_client, pictures)
    failed = [index for index, (_, success) in enumerate(answers) if not success]
    assert len(failed) == 9
    assert "refused by the test" in answers[failed[0]][0]
    assert {kind: counted.get(kind) for kind in ("model.chat", "model.chat.ok", "model.chat.error.400")} == {
        "model.chat": 20,
        "model.chat.ok": 11,
        "model.chat.error.400": 9,
    }
    assert counted["maxframe.create_session"] == counted["maxframe.submit_dag"] == 1
    # The second time, each picture is let through: exactly the calls that were not answered.
    with control.counting() as counted:
        answers = label(odps_client, [pictures[index] for index in failed])
    assert all(success for _, success in answers)
    assert (counted["model.chat"], counted["model.chat.ok"]) == (9, 9)
    assert f"model.images.{MODEL}" not in counted, "all these pictures had been shown before"


def test_pictures_are_chosen_by_their_address(
    odps_client: ODPS,
    oss_client: oss.Client,
    bucket: str,
    control: LocalCloudControl,
    local_cloud: LocalCloud,
) -> None:
    keys = [f"cam{number}/frame.jpg" for number in range(3)]
    for key in keys:
        oss_client.put_object(oss.PutObjectRequest(bucket=bucket, key=key, body=jpeg(9)))
    host = local_cloud.oss_endpoint.removeprefix("http://")
    image = ContentPart.image(
        data="{picture}",
        type=ImageContentType.IMAGE_URL,
        storage_options={
            "access_key_id": local_cloud.access_key_id,
            "access_key_secret": local_cloud.access_key_secret,
        },
    )
    control.models.script(MODEL, images=[f"{bucket}/cam1/"], status=400)
    answers = _label(odps_client, [f"oss://{host}/{bucket}/{key}" for key in keys], image)
    assert [success for _, success in answers] == [True, False, True]


def test_overload_is_tried_again_by_the_operator(odps_client: ODPS, control: LocalCloudControl) -> None:
    control.models.script(MODEL, times=2, status=429)
    with control.counting() as counted:
        answers = label(odps_client, [jpeg(5)])
    assert [success for _, success in answers] == [True]
    assert (counted["model.chat"], counted["model.chat.error.429"], counted["model.chat.ok"]) == (3, 2, 1)


def test_faults_strike_models_like_other_calls(odps_client: ODPS, control: LocalCloudControl) -> None:
    control.faults.add("model.chat", "http", status=500, count=3)
    with control.counting() as counted:
        answers = label(odps_client, [jpeg(7)])
    assert [success for _, success in answers] == [True]
    assert (counted["fault.http"], counted["model.chat.error.500"]) == (3, 3)
    assert (counted["model.chat"], counted["model.chat.ok"]) == (1, 1)


def test_only_running_jobs_report_on_themselves(local_cloud: LocalCloud) -> None:
    settings = local_cloud.settings
    for token in (settings.control_token, "", "lt-made-up"):
        url = f"http://127.0.0.1:{settings.odps_port}{ENGINE_PATH}"
        answer = requests.post(
            url, json={"add": {"forged": 1}}, headers={"Authorization": f"Bearer {token}"}, timeout=10
        )
        assert answer.status_code == 401
    assert "maxframe.forged" not in local_cloud.control.stats()


def test_prepared_text(odps_client: ODPS, control: LocalCloudControl) -> None:
    control.models.script(MODEL, content={"weather": "snowy"})
    ((response, success),) = label(odps_client, [jpeg(6)])
    assert success
    assert json.loads(json.loads(response)["choices"][0]["message"]["content"]) == {"weather": "snowy"}


def test_from_another_process(local_cloud: LocalCloud, control: LocalCloudControl) -> None:
    code = (
        "import sys; from maxcompute_local.control_client import LocalCloudControl\n"
        "control = LocalCloudControl(sys.argv[1])\n"
        "control.models.script('qwen*', rate=0.5, seed=7, status=503)\n"
        "control.stats()\n"
    )
    subprocess.run([sys.executable, "-c", code, str(local_cloud.root)], check=True, timeout=60)
    (rule,) = control.models.list()
    assert {"model": "qwen*", "rate": 0.5, "seed": 7, "status": 503, "picked": 0}.items() <= rule.items()
    assert control.models.clear("qwen*") == 1
    assert control.models.list() == []


def test_refusals_are_readable(control: LocalCloudControl, tmp_path: Path) -> None:
    with pytest.raises(LocalCloudError, match="rate: 3 is not between 0 and 1"):
        control.models.script(MODEL, rate=3)
    with pytest.raises(LocalCloudError, match="no local cloud has run"):
        LocalCloudControl(tmp_path).stats()


def test_a_handle_outlives_the_server_and_faults_do_not(tmp_path: Path) -> None:
    control = LocalCloudControl(tmp_path)
    for _ in range(2):
        cloud = LocalCloud(tmp_path, odps_port=None, oss_port=None).start()
        try:
            assert control.faults.list() == []
            assert control.models.list() == []
            control.faults.add("oss.*", "http")
            control.models.script(MODEL, status=500)
            assert control.faults.list() == cloud.control.faults.list() != []
        finally:
            cloud.stop()
    with pytest.raises(LocalCloudError, match="no good answer"):
        control.stats()
