"""A picture of the offline channel, taken by a Chromium that is on the machine already.

Spoken to over the DevTools protocol with aiohttp: `chromium --screenshot` cannot wait until the page has
drawn itself, and would show the page's address, which is a credential, in the list of processes.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import os
import shutil
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
START_SECONDS, ANSWER_SECONDS, PAGE_SECONDS = 30.0, 30.0, 20.0
WIDTH, MAX_HEIGHT = 960, 4000

READY = "!!(window.simcordPreview && window.simcordPreview.ready && !window.simcordPreview.pendingAction)"
FITS = """(({width, height}) => Math.abs(width - innerWidth) <= 1 && Math.abs(height - innerHeight) <= 1)
  (window.simcordPreview.geometry.app)"""
NEEDED_HEIGHT = """(() => { const timeline = document.getElementById('channel-timeline');
  return Math.ceil(innerHeight + timeline.scrollHeight - timeline.clientHeight); })()"""
# Leaves the channel and hides the workbench around it. The page's policy forbids a <style> element.
CHANNEL_ONLY = """(() => { const sheet = new CSSStyleSheet(); sheet.replaceSync(
  '.preview-toolbar, .messages-sidebar, .inspector-panel, .drawer-scrim { display: none !important }'
  + ' .preview-workspace { display: flex !important } .preview-stage { overflow: hidden !important }');
  document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet]; })()"""
TO_THE_END = "document.getElementById('channel-timeline').scrollTop = 1e9; document.activeElement?.blur()"
IMAGES_DECODED = "Promise.all([...document.images].map(image => image.decode().catch(() => 0)))"
TWO_FRAMES = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"


class BrowserError(Exception):
    """The browser did not start, or did not do what it was told."""


def find_chromium() -> str | None:
    """The path of an installed Chromium or Chrome."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


async def screenshot(url: str, target: Path, *, chromium: str) -> Path:
    """Save the whole channel at the preview's `url` as a PNG."""
    async with _open_tab(chromium) as tab:
        await tab.resize(WIDTH, 720)
        await tab.send("Page.navigate", url=url)
        await tab.until(READY)
        await tab.evaluate(CHANNEL_ONLY)
        await _settle(tab)
        height = await tab.evaluate(NEEDED_HEIGHT)
        await tab.resize(WIDTH, min(MAX_HEIGHT, max(320, height)))
        await _settle(tab)
        await tab.evaluate(TO_THE_END)
        await _settle(tab)
        answer = await tab.send("Page.captureScreenshot", format="png")
    target.write_bytes(base64.b64decode(answer["data"]))
    return target


async def _settle(tab: _Tab) -> None:
    """Wait until the page has taken in its new size and drawn every picture."""
    await tab.evaluate(TWO_FRAMES)
    await tab.until(f"{READY} && {FITS}")
    await tab.evaluate(IMAGES_DECODED)
    await tab.evaluate(TWO_FRAMES)


class _Tab:
    """One page, spoken to over its own websocket."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._ids = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for message in self._socket:
            data = json.loads(message.data)
            future = self._answers.pop(data.get("id"), None)
            if future is not None and not future.done():
                future.set_result(data)

    async def send(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a DevTools method and return its result."""
        number = next(self._ids)
        future = self._answers[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": params})
        done, _ = await asyncio.wait(
            [future, self._reader], timeout=ANSWER_SECONDS, return_when=asyncio.FIRST_COMPLETED
        )
        if future not in done:
            raise BrowserError(f"no answer to {method}")
        answer = future.result()
        if "error" in answer:
            raise BrowserError(f"{method}: {answer['error'].get('message')}")
        return answer["result"]

    async def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression, awaited."""
        answer = await self.send(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in answer:
            raise BrowserError(f"the page's script failed: {answer['exceptionDetails'].get('text')}")
        return answer["result"].get("value")

    async def until(self, expression: str) -> None:
        """Wait until an expression is true."""
        # Polled inside the page, once per frame.
        poll = f"(async () => {{ while (!({expression})) await {TWO_FRAMES}; }})()"
        try:
            await asyncio.wait_for(self.evaluate(poll), PAGE_SECONDS)
        except TimeoutError:
            raise BrowserError("the page did not become ready") from None

    async def resize(self, width: int, height: int) -> None:
        """Set the viewport, in CSS pixels."""
        await self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    async def close(self) -> None:
        """End the browser."""
        with suppress(BrowserError, aiohttp.ClientError, ConnectionError):
            await self.send("Browser.close")
        await self._socket.close()
        self._reader.cancel()
        await asyncio.wait([self._reader])


@asynccontextmanager
async def _open_tab(chromium: str) -> AsyncGenerator[_Tab]:
    with tempfile.TemporaryDirectory(prefix="trinart-chromium-", ignore_cleanup_errors=True) as profile:
        process = await asyncio.create_subprocess_exec(
            chromium,
            *_flags(profile),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            port = await _devtools_port(Path(profile) / "DevToolsActivePort", process)
            async with aiohttp.ClientSession() as session:
                async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                    page = next(target for target in await answer.json() if target["type"] == "page")
                async with session.ws_connect(page["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                    tab = _Tab(socket)
                    try:
                        yield tab
                    finally:
                        await tab.close()
        finally:
            try:
                await asyncio.wait_for(process.wait(), 5)
            except TimeoutError:
                with suppress(ProcessLookupError):  # it ended in this moment
                    process.kill()
                await process.wait()


async def _devtools_port(note: Path, process: asyncio.subprocess.Process) -> str:
    """Chromium writes the port into its profile once it listens."""
    with suppress(TimeoutError):
        async with asyncio.timeout(START_SECONDS):
            while process.returncode is None:
                if note.exists() and len(lines := note.read_text().splitlines()) > 1:
                    return lines[0]
                await asyncio.sleep(0.05)
    raise BrowserError("Chromium did not start")


def _flags(profile: str) -> list[str]:
    flags = [
        "--headless",
        "--remote-debugging-port=0",
        f"--user-data-dir={profile}",
        "--no-first-run",
        "--disable-gpu",
        "--disable-quic",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--disable-dev-shm-usage",
        "--hide-scrollbars",
        "--force-color-profile=srgb",
    ]
    # Chromium refuses to start as root with its sandbox on; anyone else keeps it.
    if os.geteuid() == 0:
        flags.append("--no-sandbox")
    return [*flags, "about:blank"]
