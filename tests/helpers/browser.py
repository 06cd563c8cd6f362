"""A headless Chromium without a network, spoken to through two pipes (the DevTools protocol)."""

import base64
import fcntl
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
MISSING = "Chromium is not installed"


class Browser:
    """One tab; `problems` collects what its console reports, and every request that goes to a network."""

    def __init__(self, write: int, read: int) -> None:
        self._write, self._read = write, read
        self._buffer, self._number, self._session = b"", 0, ""
        self.problems: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol and return its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != self._number:
            self._note(answer)
        assert "error" not in answer, (method, answer["error"])
        return answer["result"]

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            part = os.read(self._read, 1 << 20)
            assert part, "the browser has ended"
            self._buffer += part
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)

    def _note(self, event: dict[str, Any]) -> None:
        about = event.get("params", {})
        match event.get("method"):
            case "Runtime.exceptionThrown":
                self.problems.append(json.dumps(about["exceptionDetails"])[:600])
            case "Runtime.consoleAPICalled" if about["type"] in ("error", "warning", "assert"):
                self.problems.append(json.dumps(about["args"])[:600])
            case "Log.entryAdded" if about["entry"]["level"] == "error":
                self.problems.append(json.dumps(about["entry"])[:600])
            case "Network.requestWillBeSent" if not about["request"]["url"].startswith(
                ("file:", "data:", "blob:", "about:")
            ):
                self.problems.append(f"asks for {about['request']['url'][:200]}")

    def evaluate(self, script: str) -> Any:
        """Return the value of a script; promises are waited for."""
        done = self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    def open(self, page: Path, address: str = "", width: int = 1440, height: int = 900) -> None:
        """Open a page at a size, and wait until it says that it is ready."""
        self.resize(width, height)
        self.call("Page.navigate", url="about:blank")
        self.call("Page.navigate", url=page.as_uri() + address)
        self.wait("document.documentElement.dataset.ready")

    def resize(self, width: int, height: int) -> None:
        """Set the size of the window; one that is narrow is a phone."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=width < 600,
        )  # fmt: skip

    def prefer(self, media: str = "", **features: str) -> None:
        """Set the medium (print), and preferences such as prefers_color_scheme="dark"."""
        listed = [{"name": k.replace("_", "-"), "value": v} for k, v in features.items()]
        self.call("Emulation.setEmulatedMedia", media=media, features=listed)

    def wait(self, condition: str, seconds: float = 30) -> None:
        """Wait until a script is true."""
        script = f"""new Promise((resolve, reject) => {{
          const end = performance.now() + {1000 * seconds};
          const look = () => {{
            try {{ if ({condition}) return resolve(true); }} catch (error) {{ }}
            performance.now() > end ? reject(new Error("waited for too long")) : setTimeout(look, 30);
          }};
          look();
        }})"""
        self.evaluate(script)

    def place(self, selector: str) -> tuple[float, float]:
        """Scroll to an element, and return the middle of it in the window."""
        x, y = self.evaluate(
            f"""(() => {{
              const box = document.querySelector({json.dumps(selector)});
              box.scrollIntoView({{block: "center", behavior: "instant"}});
              const r = box.getBoundingClientRect();
              return [r.x + r.width / 2, r.y + r.height / 2];
            }})()"""
        )
        return x, y

    def mouse(self, kind: str, x: float, y: float) -> None:
        """Move or press the mouse: kind is mousePressed, mouseMoved or mouseReleased."""
        held = {"button": "left", "buttons": 1 if kind != "mouseReleased" else 0, "clickCount": 1}
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **held)

    def click(self, selector: str) -> None:
        """Click the middle of an element."""
        x, y = self.place(selector)
        for kind in ("mousePressed", "mouseReleased"):
            self.mouse(kind, x, y)

    def drag(self, selector: str, by: float, steps: int = 10) -> None:
        """Drag an element from its middle to the right."""
        x, y = self.place(selector)
        self.mouse("mousePressed", x, y)
        for step in range(1, steps + 1):
            self.mouse("mouseMoved", x + by * step / steps, y)
        self.mouse("mouseReleased", x + by, y)

    def press(self, key: str) -> None:
        """Press a key that has a name, such as ArrowLeft or Tab."""
        codes = {"ArrowLeft": 37, "ArrowRight": 39, "Tab": 9, "Enter": 13, "Home": 36}
        for kind in ("keyDown", "keyUp"):
            self.call(
                "Input.dispatchKeyEvent",
                type=kind, key=key, code=key, windowsVirtualKeyCode=codes[key],
                **({"text": "\r"} if (kind, key) == ("keyDown", "Enter") else {}),
            )  # fmt: skip

    def picture(self, path: Path, whole: bool = False) -> None:
        """Write a picture of the window, or of the whole page."""
        done = self.call("Page.captureScreenshot", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(done["data"]))

    def pdf(self) -> bytes:
        """Return the page as it prints."""
        return base64.b64decode(self.call("Page.printToPDF", printBackground=True)["data"])


@contextmanager
def browser(scratch: Path, *options: str) -> Iterator[Browser]:
    """Yield a browser that keeps its profile in `scratch`, and ends with the block."""
    to_read, write = os.pipe()
    read, to_write = os.pipe()

    def as_3_and_4() -> None:  # where Chromium looks for the pipes
        spare = fcntl.fcntl(to_read, fcntl.F_DUPFD, 10), fcntl.fcntl(to_write, fcntl.F_DUPFD, 10)
        for fd, own in zip((3, 4), spare, strict=True):
            os.dup2(own, fd)
            os.close(own)

    command = [
        *(str(CHROMIUM), "--headless=new", "--no-sandbox", "--no-first-run", "--disable-sync"),
        *("--enable-unsafe-swiftshader", "--disable-gpu-compositing"),
        *("--disable-background-networking", "--disable-component-update", "--disable-extensions"),
        *("--host-resolver-rules=MAP * ~NOTFOUND", "--remote-debugging-pipe"),
        *(f"--user-data-dir={scratch}", *options, "about:blank"),
    ]
    process = subprocess.Popen(
        command,
        preexec_fn=as_3_and_4,
        close_fds=False,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(to_read)
    os.close(to_write)
    try:
        yield Browser(write, read)
    finally:
        process.terminate()  # its children end with it, and leave the profile alone
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        os.close(write)
        os.close(read)
