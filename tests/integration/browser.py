"""A headless Chromium that shows one page, through its DevTools protocol."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
from websockets.sync.client import ClientConnection, connect

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


class Page:
    """A page, and what it said and asked for since it was opened."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._number = 0
        self.requests: list[str] = []
        self.troubles: list[str] = []

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": params}))
        while True:
            said = json.loads(self._socket.recv(timeout=60))
            if said.get("id") == self._number:
                assert "error" not in said, said
                return dict(said["result"])
            if said.get("method") == "Network.requestWillBeSent":
                self.requests.append(said["params"]["request"]["url"])
            if said.get("method") in ("Log.entryAdded", "Runtime.exceptionThrown"):
                self.troubles.append(str(said["params"]))

    def value(self, expression: str) -> Any:
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        return found["result"].get("value")

    def press(self, key: str, text: str = "") -> None:
        code = {"Tab": 9, "Enter": 13, "Escape": 27}[key]
        named = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        self.call("Input.dispatchKeyEvent", type="keyDown", **named, text=text)
        self.call("Input.dispatchKeyEvent", type="keyUp", **named)


@contextmanager
def opened(file: Path, width: int, scheme: str) -> Iterator[Page]:
    """Show a file in a window of a width, light or dark."""
    assert CHROMIUM is not None
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0"]
    process = subprocess.Popen(
        [*command, f"--user-data-dir={file.parent / 'profile'}", "about:blank"],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        says = r"DevTools listening on ws://.*?:(\d+)/"
        port = next(found[1] for line in process.stderr if (found := re.search(says, line)))
        targets = requests.get(f"http://127.0.0.1:{port}/json", timeout=30).json()
        address = next(each["webSocketDebuggerUrl"] for each in targets if each["type"] == "page")
        with connect(address, max_size=None) as socket:
            page = Page(socket)
            for domain in ("Page", "Network", "Log", "Runtime"):
                page.call(f"{domain}.enable")
            size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
            page.call("Emulation.setDeviceMetricsOverride", **size)
            features = [{"name": "prefers-color-scheme", "value": scheme}]
            page.call("Emulation.setEmulatedMedia", features=features)
            page.call("Page.navigate", url=file.as_uri())
            while page.value("location.protocol + document.readyState") != "file:complete":
                pass
            yield page
    finally:
        process.terminate()
        process.wait(30)
