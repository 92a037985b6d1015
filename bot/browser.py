"""Drive a system Chromium over the DevTools protocol with aiohttp only (discord.py already needs it)."""
from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome",
         "microsoft-edge", "brave-browser", "chrome-headless-shell")
PLACES = ("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
          "/Applications/Chromium.app/Contents/MacOS/Chromium",
          r"C:\Program Files\Google\Chrome\Application\chrome.exe",
          r"C:\Program Files (x86)\Microsoft\Edge\Application\msedge.exe")


class BrowserError(RuntimeError):
    """No browser, or the browser failed."""


def find_chromium() -> str | None:
    """$CHROMIUM if set (and runnable), else the first known browser on PATH or in a usual place."""
    if given := os.environ.get("CHROMIUM"):
        return shutil.which(given)
    return next((p for n in (*NAMES, *PLACES) if (p := shutil.which(n))), None)


def chromium_flags(profile: str) -> list[str]:
    flags = ["--headless", "--remote-debugging-port=0", f"--user-data-dir={profile}", "--no-first-run",
             "--no-default-browser-check", "--disable-gpu", "--disable-quic", "--disable-background-networking",
             "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--hide-scrollbars",
             "--mute-audio", "--force-color-profile=srgb", "--window-size=1280,900"]
    # Chromium refuses to start as root with its sandbox on; anyone else keeps it.
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        flags.append("--no-sandbox")
    return [*flags, "about:blank"]


class Tab:
    """One page target, spoken to over its own websocket."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        self._ws = ws
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        try:
            async for message in self._ws:
                if message.type is not aiohttp.WSMsgType.TEXT:
                    continue
                data = json.loads(message.data)
                future = self._waiting.pop(data.get("id"), None)
                if future is not None and not future.done():
                    future.set_result(data)
        finally:
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(BrowserError("the browser went away"))

    async def send(self, method: str, **params: Any) -> dict[str, Any]:
        if self._reader.done():
            raise BrowserError("the browser went away")
        number = next(self._ids)
        future = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        await self._ws.send_json({"id": number, "method": method, "params": params})
        answer = await asyncio.wait_for(future, 30)
        if "error" in answer:
            raise BrowserError(f"{method}: {answer['error'].get('message')}")
        return answer["result"]

    async def js(self, expression: str) -> Any:
        answer = await self.send("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            detail = answer["exceptionDetails"]
            raise BrowserError(detail.get("exception", {}).get("description") or detail.get("text", "script failed"))
        return answer["result"].get("value")

    async def until(self, expression: str, timeout: float = 20) -> Any:
        """Wait until the expression is truthy in the page."""
        async with asyncio.timeout(timeout):
            while not (value := await self.js(expression)):
                await asyncio.sleep(0.05)
            return value

    async def viewport(self, width: int, height: int, scale: float = 1) -> None:
        await self.send("Emulation.setDeviceMetricsOverride", width=width, height=height,
                        deviceScaleFactor=scale, mobile=False)

    async def png(self) -> bytes:
        return base64.b64decode((await self.send("Page.captureScreenshot", format="png"))["data"])

    async def type(self, text: str) -> None:
        await self.send("Input.insertText", text=text)

    async def key(self, key: str, code: int) -> None:
        extra = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            await self.send("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code,
                            **(extra if kind == "keyDown" else {}))

    async def close(self) -> None:
        await self._ws.close()
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)


@contextlib.asynccontextmanager
async def open_tab(executable: str | None = None) -> AsyncIterator[Tab]:
    """Start a throw-away headless Chromium and give its first page."""
    executable = executable or find_chromium()
    if executable is None:
        raise BrowserError("no Chromium found: install chromium, or name a browser in $CHROMIUM")
    with tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as profile:
        process = await asyncio.create_subprocess_exec(
            executable, *chromium_flags(profile), stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL)
        try:
            note = Path(profile, "DevToolsActivePort")      # port on its first line, once it listens
            try:
                async with asyncio.timeout(30):
                    while not (note.exists() and note.read_text().count("\n") >= 1):
                        if process.returncode is not None:
                            raise BrowserError(f"{executable} ended at once (exit {process.returncode})")
                        await asyncio.sleep(0.05)
            except TimeoutError:
                raise BrowserError(f"{executable} did not open its DevTools port") from None
            base = f"http://127.0.0.1:{note.read_text().split()[0]}"
            # trust_env stays False: no proxy for loopback
            async with aiohttp.ClientSession() as session:
                async with session.get(f"{base}/json/list") as reply:
                    pages = [t for t in await reply.json() if t["type"] == "page"]
                async with session.ws_connect(pages[0]["webSocketDebuggerUrl"], max_msg_size=0) as ws:
                    tab = Tab(ws)
                    try:
                        yield tab
                    finally:
                        with contextlib.suppress(Exception):
                            await tab.send("Browser.close")
                        await tab.close()
        finally:
            try:
                await asyncio.wait_for(process.wait(), 5)
            except TimeoutError:
                process.kill()
                await process.wait()


READY = "!!(window.simcordPreview && window.simcordPreview.ready && !window.simcordPreview.pendingAction)"
# The list may be taller than its scroll box: the height the page would need to show all of it.
NEEDED = """(() => { const t = document.getElementById('channel-timeline');
  return Math.ceil(innerHeight + t.scrollHeight - t.clientHeight); })()"""


# Hides simcord's workbench (toolbar, message list, inspector), leaves the Discord channel. Its CSP forbids a
# <style> element, not a constructed sheet; its own body[data-managed-capture] switch is reset by the next poll.
CHANNEL_ONLY = """(() => { const sheet = new CSSStyleSheet();
  sheet.replaceSync('.preview-toolbar, .messages-sidebar, .inspector-panel, .drawer-scrim { display: none !important }'
    + ' .preview-workspace { display: flex !important } .preview-stage { overflow: hidden !important }');
  document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet]; })()"""


async def screenshot(url: str, path: str | os.PathLike[str], *, width: int = 960, height: int | None = None,
                     scale: float = 1, executable: str | None = None) -> Path:
    """Save the channel served at ``url`` (Preview.url) as the member sees it.

    ``height=None`` grows the page until every message shows (at most 4000 pixels).
    """
    async with open_tab(executable) as tab:
        await tab.viewport(width, height or 720, scale)
        await tab.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-reduced-motion", "value": "reduce"}])
        await tab.send("Page.navigate", url=url)
        await tab.until(READY)
        await tab.js(CHANNEL_ONLY)
        await _settled(tab)
        if height is None:
            needed = min(4000, max(320, await tab.js(NEEDED)))
            await tab.viewport(width, needed, scale)
            await _settled(tab)
        await tab.js("document.getElementById('channel-timeline').scrollTop = 1e9; document.activeElement?.blur()")
        await _settled(tab)
        Path(path).write_bytes(await tab.png())
        await tab.send("Page.navigate", url="about:blank")      # leaving gives the page's context back (16 at most)
        await asyncio.sleep(0.2)
    return Path(path)


async def _settled(tab: Tab) -> None:
    """The page follows its window (one request to the server), then has its pictures and fonts."""
    await tab.js("new Promise(done => setTimeout(done, 300))")
    await tab.until(READY + " && (({width, height}) => Math.abs(width - innerWidth) <= 1 && Math.abs(height - innerHeight) <= 1)"
                    "(window.simcordPreview.geometry.app)")
    await tab.js("Promise.all([...document.images].map(i => i.decode().catch(() => 0)))")
    await tab.js("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
