"""The line of what is being done: on a terminal only."""

import os
import pty
import subprocess
import sys

CODE = """
from airflow_provider_drivepipe.cli.activity import activity
with activity() as now:
    now.say("drawing " + "x" * 100, total=4)
    now.advance(1)
    print("printed above")
    now.say("waiting")
print("after")
"""


def shown_on_a_terminal() -> str:
    parent, terminal = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    process = subprocess.Popen([sys.executable, "-c", CODE], stdout=terminal, env=environment)
    os.close(terminal)
    shown = b""
    try:
        while part := os.read(parent, 65536):
            shown += part
    except OSError:  # the terminal's other end is closed
        pass
    os.close(parent)
    assert process.wait() == 0
    return shown.decode()


def test_a_terminal_shows_what_is_being_done_in_a_line_that_goes_away():
    shown = shown_on_a_terminal()
    assert "drawing xxx" in shown
    assert "x" * 40 not in shown, "the line stays short"
    assert "waiting" in shown
    assert "printed above" in shown
    assert shown.rstrip().endswith("after")
    assert "\x1b[2K" in shown, "the line is wiped out"


def test_elsewhere_only_what_is_printed_shows():
    shown = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert shown.stdout == "printed above\nafter\n"
