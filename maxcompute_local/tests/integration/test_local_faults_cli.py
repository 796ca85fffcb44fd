"""``maxcompute-local faults``."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from maxcompute_local.cli import main
from maxcompute_local.faults.presets import PRESETS
from maxcompute_local.server import LocalCloud

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def faults(local_cloud: LocalCloud, capsys: pytest.CaptureFixture[str]) -> Iterator[Command]:
    def run(action: str, *arguments: str) -> tuple[int, str, str]:
        code = main(["faults", action, "--root", str(local_cloud.root), *arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    yield run
    local_cloud.control.faults.clear()
    local_cloud.control.models.clear()


def test_what_is_in_force_is_printed_plainly(faults: Command, local_cloud: LocalCloud) -> None:
    assert faults("list") == (0, "nothing: all is well\n", "")
    code, out, _ = faults("add", "oss-flaky", "--rate", "0.5", "--seed", "4")
    (number,) = (fault["id"] for fault in local_cloud.control.faults.list())
    assert (code, out.startswith(f"fault {number} is in force")) == (0, True)
    assert faults("add", "--match", "odps.tunnel.*", "--fault", "latency", "--seconds", "0.5")[0] == 0
    chosen = ("--image", "7", "--video", "8/", "--prompt", "cut")
    assert faults("answer", "q*", "--fail-first", "9", "--status", "429", *chosen)[0] == 0
    _, out, _ = faults("list")
    assert out.splitlines() == [
        f"{number}  http at oss.* (rate=0.5, seed=4, name=oss-flaky): 0 of 0 calls struck",
        f"{number + 1}  latency at odps.tunnel.* (seconds=0.5): 0 of 0 calls struck",
        "model q* (fail_first=9, images=['7'], videos=['8/'], prompts=['cut'], status=429): 0 calls answered",
    ]
    assert faults("clear", str(number)) == (0, f"fault {number} is gone\n", "")
    assert faults("clear", str(number)) == (1, f"there is no fault {number}\n", "")
    assert faults("clear") == (0, "1 faults and 1 prepared answers are gone\n", "")
    assert faults("list")[1] == "nothing: all is well\n"


def test_presets_are_explained(faults: Command) -> None:
    _, out, _ = faults("presets")
    assert [line.split()[0] for line in out.splitlines()] == list(PRESETS)


def test_mistakes_are_named(faults: Command) -> None:
    assert faults("add", "nope")[::2] == (
        1,
        f"maxcompute-local: name: 'nope' is none of {', '.join(PRESETS)}\n",
    )
    assert "match: expected" in faults("add", "--fault", "http")[2]
    assert "fault: '' is none of" in faults("add", "--match", "oss.*")[2]
    with pytest.raises(SystemExit):
        faults("add", "--match", "oss.*", "--fault", "fire")
