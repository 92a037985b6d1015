"""The HTTP side: reads requests, keeps a record of each, breaks the ones it was told to break.

What the requests mean is in ``routes``; this module is about the wire. It answers with the status
codes, headers and bodies that make a client take its error paths: 429 with a time to wait, 5xx, and
a connection that ends in the middle.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, TypedDict

from aiohttp import BodyPartReader, web

from .handles import StoredFile
from .payloads import JSON
from .refusals import DiscordError, unauthorized
from .routing import Call, RouteTable
from .world import World

API_PREFIX = "/api/v10"
MULTIPART = "multipart/form-data"
_FILE_FIELD = re.compile(r"files\[(\d+)\]")


@dataclass
class RecordedRequest:
    """One request as it arrived, and the status it got (``None`` while pending, or if cut off)."""

    method: str
    path: str
    query: dict[str, str]
    at: float = field(default_factory=time.monotonic)
    status: int | None = None
    json: Any = None
    files: list[str] = field(default_factory=list)
    """The SHA-256 of each uploaded file, in order."""

    @property
    def file_count(self) -> int:
        return len(self.files)

    def fits(self, method: str, pattern: str) -> bool:
        """Whether the method is that one (or ``*``) and the path fits the shell-style pattern."""
        return method in ("*", self.method) and fnmatchcase(self.path, pattern)


class FaultDetails(TypedDict, total=False):
    """What can be said of a fault beside the requests that it takes and the status that they get."""

    times: int
    retry_after: float
    after_body: bool
    apply: bool
    """Whether what was asked is done all the same, so that only the answer is lost."""
    via: bool
    """False makes a 429 look like one from the proxy before Discord, which clients do not retry."""
    code: int
    message: str
    uploads_only: bool
    """Whether requests without files pass."""


@dataclass
class Fault:
    """An answer to give instead of the true one, ``times`` times."""

    method: str
    pattern: str
    status: int | None
    times: int = 1
    retry_after: float = 0.1
    after_body: bool = True
    apply: bool = False
    via: bool = True
    code: int = 0
    message: str = "Service unavailable"
    uploads_only: bool = False

    def takes(self, record: RecordedRequest, *, is_upload: bool) -> bool:
        """Whether this request is one of those to break; what it says is not known yet."""
        return (
            self.times > 0 and record.fits(self.method, self.pattern) and (is_upload or not self.uploads_only)
        )


@dataclass
class Hold:
    """The next fitting request arrives whole, and nothing comes of it until it is let go, or ever.

    A client that leaves meanwhile does not take it back: it has been sent, and is done late.
    """

    method: str
    pattern: str
    uploads_only: bool = False
    record: RecordedRequest | None = None
    _read: asyncio.Event = field(default_factory=asyncio.Event)
    _decided: asyncio.Event = field(default_factory=asyncio.Event)
    _lost: bool = False

    def takes(self, record: RecordedRequest, *, is_upload: bool) -> bool:
        """Whether this is the request to hold."""
        free = self.record is None and record.fits(self.method, self.pattern)
        return free and (is_upload or not self.uploads_only)

    async def keep(self) -> bool:
        """Wait for the test's decision: whether the request is carried out."""
        self._read.set()
        await self._decided.wait()
        return not self._lost

    async def arrived(self, timeout: float) -> RecordedRequest:
        """Return the request once all of it has arrived."""
        async with asyncio.timeout(timeout):
            await self._read.wait()
        assert self.record is not None
        return self.record

    def release(self) -> None:
        """Carry it out now, and answer it if the client still listens."""
        self._decided.set()

    def lose(self) -> None:
        """Never carry it out, and cut its connection."""
        self._lost = True
        self._decided.set()


class Rest:
    """Answers the API's requests out of a ``World``."""

    def __init__(self, world: World, routes: RouteTable) -> None:
        self.world = world
        self.routes = routes
        self.requests: list[RecordedRequest] = []
        self.unexpected: list[str] = []
        self.faults: list[Fault] = []
        self.holds: list[Hold] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request, truly or with the fault that waits for it."""
        path = request.path.removeprefix(API_PREFIX)
        record = RecordedRequest(request.method, path, dict(request.query))
        self.requests.append(record)
        is_upload = request.content_type == MULTIPART
        hold = self._take_hold(record, is_upload=is_upload)
        fault = self._take_fault(record, is_upload=is_upload)
        try:
            if fault is not None and not fault.after_body:
                return self._break(request, record, fault)
            call = await self._read(request, record)
            if hold is not None and not await hold.keep():
                return _cut(request)
            if fault is None:
                return self._answer(call, record)
            if fault.apply:
                self._answer(call, record)
            return self._break(request, record, fault)
        except (DiscordError, ValueError, KeyError, TypeError) as error:
            return self._refuse_malformed(record, error)
        finally:
            self.world.pulse.fire()

    def _take_fault(self, record: RecordedRequest, *, is_upload: bool) -> Fault | None:
        for fault in self.faults:
            if fault.takes(record, is_upload=is_upload):
                fault.times -= 1
                return fault
        return None

    def _take_hold(self, record: RecordedRequest, *, is_upload: bool) -> Hold | None:
        for hold in self.holds:
            if hold.takes(record, is_upload=is_upload):
                hold.record = record
                return hold
        return None

    async def _read(self, request: web.Request, record: RecordedRequest) -> Call:
        """Read the whole body, JSON or multipart, into a ``Call`` and into the record."""
        body: Any = {}
        uploads: dict[int, StoredFile] = {}
        if request.content_type == MULTIPART:
            body, uploads = await self._read_multipart(request)
        elif raw := await request.read():
            body = json.loads(raw)
        record.json = body
        record.files = [upload.sha256 for upload in uploads.values()]
        return Call(
            method=record.method,
            path=record.path,
            query=record.query,
            at=record.at,
            body=body,
            uploads=uploads,
            size=request.content_length or sum(len(u.data) for u in uploads.values()),
            authorized=request.headers.get("Authorization") == f"Bot {self.world.token}",
        )

    @staticmethod
    async def _read_multipart(request: web.Request) -> tuple[JSON, dict[int, StoredFile]]:
        body: JSON = {}
        uploads: dict[int, StoredFile] = {}
        async for part in await request.multipart():
            if not isinstance(part, BodyPartReader):
                raise DiscordError(400, 50035, "Nested multipart bodies are not part of the API")
            data = bytes(await part.read())
            name = part.name or ""
            if name == "payload_json":
                body = json.loads(data)
            elif match := _FILE_FIELD.fullmatch(name):
                declared = part.headers.get("Content-Type", "application/octet-stream")
                uploads[int(match[1])] = StoredFile(part.filename or "", None, declared, data)
            else:
                raise DiscordError(400, 50035, f"Unknown form field {name!r}")
        return body, uploads

    def _answer(self, call: Call, record: RecordedRequest) -> web.Response:
        """The true answer to a call."""
        try:
            route = self.routes.find(call.method, call.path)
            if route is None:
                self.unexpected.append(f"{call.method} {call.path}")
                raise DiscordError(404, 0, "404: Not Found")
            handler, params, needs_token = route
            if needs_token and not call.authorized:
                raise unauthorized()
            status, body = handler(call, **params)
        except DiscordError as refusal:
            status, body = refusal.status, refusal.body
        record.status = status
        return _json_response(
            status, body, _rate_headers(call.method, call.path, remaining=49, reset_after=1.0)
        )

    def _refuse_malformed(self, record: RecordedRequest, error: Exception) -> web.Response:
        """Answer a body that lacks what its route needs; a correct client never sends one."""
        self.unexpected.append(f"{record.method} {record.path}: {error!r}")
        record.status = 400
        return _json_response(400, {"message": "Invalid Form Body", "code": 50035}, {})

    def _break(self, request: web.Request, record: RecordedRequest, fault: Fault) -> web.Response:
        """The fault's answer, or none at all: the connection ends instead."""
        record.status = fault.status
        if fault.status is None:
            return _cut(request)
        if fault.status != 429:
            return _json_response(fault.status, {"message": fault.message, "code": fault.code}, {})
        headers = _rate_headers(record.method, record.path, remaining=0, reset_after=fault.retry_after)
        headers |= {"Retry-After": str(max(1, round(fault.retry_after))), "X-RateLimit-Scope": "user"}
        if fault.via:
            headers["Via"] = "1.1 google"
        body = {"message": "You are being rate limited.", "retry_after": fault.retry_after, "global": False}
        return _json_response(429, body, headers)


def _cut(request: web.Request) -> web.Response:
    """End the connection; the response is for the framework alone."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)


def _json_response(status: int, body: Any, headers: dict[str, str]) -> web.Response:
    """A response whose content type is exactly Discord's: clients compare the whole header."""
    if status == 204:
        return web.Response(status=204, headers=headers)
    return web.Response(
        status=status, body=json.dumps(body).encode(), headers={**headers, "Content-Type": "application/json"}
    )


def _rate_headers(method: str, path: str, *, remaining: int, reset_after: float) -> dict[str, str]:
    """The headers that Discord adds to every answer, and that clients pace themselves by."""
    bucket = re.sub(r"\d{10,}|/[\w-]{40,}", "", f"{method}{path}")
    return {
        "X-RateLimit-Limit": "50",
        "X-RateLimit-Remaining": str(remaining),
        "X-RateLimit-Reset": f"{time.time() + reset_after:.3f}",
        "X-RateLimit-Reset-After": f"{reset_after:.3f}",
        "X-RateLimit-Bucket": re.sub(r"\W+", "-", bucket).lower(),
    }
