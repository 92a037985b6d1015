"""Pictures outside the engine: files that wait for Discord, and uploads that fit its limits."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import io
import os
import re
import tempfile
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image as PillowImage

from bot.content_credentials import ContentSigner
from bot.errors import OperatorError
from bot.jobs import StoredImage
from bot.safety.policy import has_valid_scores
from bot.safety.release import ReleasedImage
from engine.protocol import Image

WEBP_QUALITIES = (95, 90, 80, 65, 50)
_EXIF_IFD, _USER_COMMENT = 0x8769, 0x9286
_UPLOAD_NAME = re.compile(r"(?:SPOILER_)?trinart-(?P<seed>[0-9]{1,20})\.(?:png|webp)")


@dataclass(frozen=True, kw_only=True)
class Upload:
    """One file as it goes to Discord."""

    file_name: str
    data: bytes
    seed: int
    is_spoiler: bool

    @property
    def media_type(self) -> str:
        """Of its two formats, which."""
        return f"image/{Path(self.file_name).suffix.removeprefix('.')}"


class PicturesNotWritable(OperatorError):
    """No picture could be kept until Discord has it, so none may be drawn."""

    def __init__(self, folder: Path, reason: str | None) -> None:
        super().__init__(
            f"Pictures cannot be kept in {folder.absolute()}: {reason}. Let this user write there and make "
            "room, or set TRINART_DATA_DIR to another folder.",
            exit_code=1,
        )


def try_writing(folder: Path) -> None:
    """Raise the OSError that keeps files from being written into a folder, if there is one.

    Permissions and free bytes do not tell it: a quota or a read-only disk is noticed by writing.
    """
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(bytes(4096))
        file.flush()
        os.fsync(file.fileno())


class PictureStore:
    """A folder with the pictures of jobs that Discord has not confirmed yet."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def prepare(self) -> None:
        """Make the folder, and find out now whether pictures can be written into it.

        Raises:
            PicturesNotWritable: none can.
        """
        await asyncio.to_thread(self._prepare)

    async def save(
        self, job_id: str, images: Sequence[Image], withheld: Collection[int] = ()
    ) -> list[StoredImage]:
        """Write the pictures of a job so that a crash leaves whole files or none; not those withheld."""
        return await asyncio.to_thread(self._save, job_id, images, withheld)

    async def load(self, images: Sequence[StoredImage]) -> dict[int, Image] | None:
        """Read pictures back, by their numbers, but for those withheld.

        None if there were none, or any is gone or not what was written.
        """
        return await asyncio.to_thread(self._load, images)

    async def delete(self, images: Sequence[StoredImage]) -> None:
        """Remove pictures that are no longer needed."""
        await asyncio.to_thread(self._delete, images)

    def _prepare(self) -> None:
        try:
            if not self._folder.exists():
                self._folder.mkdir(parents=True)
            try_writing(self._folder)
        except OSError as error:
            raise PicturesNotWritable(self._folder, error.strerror) from error

    def _save(self, job_id: str, images: Sequence[Image], withheld: Collection[int]) -> list[StoredImage]:
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            return self._store(job_id, images, withheld)
        except OSError:
            self._discard(job_id, len(images))
            raise

    def _store(self, job_id: str, images: Sequence[Image], withheld: Collection[int]) -> list[StoredImage]:
        stored: list[StoredImage] = []
        for position, image in enumerate(images):
            name = "" if position in withheld else f"{job_id}-{position}.png"
            if name:
                self._write(name, image.png)
            verdict = image.verdict
            stored.append(
                StoredImage(
                    seed=image.seed,
                    width=image.width,
                    height=image.height,
                    sha256=hashlib.sha256(image.png).hexdigest(),
                    file_name=name,
                    # Scores that are no numbers cannot be kept, and are worth as much as none.
                    verdict=verdict if verdict is not None and has_valid_scores(verdict) else None,
                    is_withheld=position in withheld,
                )
            )
        return stored

    def _write(self, name: str, data: bytes) -> None:
        partial = self._folder / f"{name}.part"
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self._folder / name)

    def _discard(self, job_id: str, count: int) -> None:
        """Take back what was written of a job before something went wrong: a full disk needs the room."""
        for position in range(count):
            for name in (f"{job_id}-{position}.png", f"{job_id}-{position}.png.part"):
                with suppress(OSError):
                    (self._folder / name).unlink()

    def _load(self, images: Sequence[StoredImage]) -> dict[int, Image] | None:
        loaded: dict[int, Image] = {}
        for number, image in enumerate(images):
            if image.is_withheld:
                continue
            try:
                png = (self._folder / image.file_name).read_bytes()
            except OSError:
                return None
            if hashlib.sha256(png).hexdigest() != image.sha256:
                return None
            loaded[number] = Image(
                png=png, seed=image.seed, width=image.width, height=image.height, verdict=image.verdict
            )
        return loaded if images else None

    def _delete(self, images: Sequence[StoredImage]) -> None:
        for image in images:
            if image.file_name:
                (self._folder / image.file_name).unlink(missing_ok=True)


def pack_uploads(
    images: Sequence[ReleasedImage], limit: int, signer: ContentSigner | None = None
) -> list[Upload]:
    """The pictures as files of together at most `limit` bytes, for one message; blocking.

    PNG if all fit; else WebP, each in its share of the limit: with less quality until it fits, and finally
    made smaller. One message, because one can be sent again without becoming two.

    Raises:
        SigningFailed: a host who signs pictures wants none to leave unsigned.
    """
    room = limit - len(images) * (signer.room if signer else 0)
    uploads = [_png_upload(image) for image in images]
    if sum(len(upload.data) for upload in uploads) > room:
        uploads = [_webp_upload(image, room // len(images)) for image in images]
    if signer is None:
        return uploads
    return [replace(upload, data=signer.sign(upload.data, upload.media_type)) for upload in uploads]


def read_parameters(data: bytes) -> str:
    """The settings text in a PNG, or in a WebP written by `pack_uploads`; empty if there is none."""
    with PillowImage.open(io.BytesIO(data)) as image:
        if text := image.info.get("parameters"):
            return str(text)
        comment = image.getexif().get_ifd(_EXIF_IFD).get(_USER_COMMENT, b"")
    return bytes(comment).removeprefix(b"UNICODE\0").decode("utf-16-be", errors="replace")


def seed_of(file_name: str) -> int | None:
    """Which picture of its job a file in Discord is, by its name; None if it is no upload's."""
    named = _UPLOAD_NAME.fullmatch(file_name)
    return int(named["seed"]) if named is not None else None


def _png_upload(image: ReleasedImage) -> Upload:
    return _upload(image, "png", image.png)


def _upload(image: ReleasedImage, ending: str, data: bytes) -> Upload:
    name = f"trinart-{image.seed}.{ending}"
    return Upload(file_name=name, data=data, seed=image.seed, is_spoiler=image.is_spoiler)


def _webp_upload(image: ReleasedImage, limit: int) -> Upload:
    with PillowImage.open(io.BytesIO(image.png)) as opened:
        picture, xmp = opened.convert("RGB"), opened.info.get("xmp", b"")
    exif = PillowImage.Exif()
    # Where other tools look for the settings of a picture that has no text chunks.
    exif.get_ifd(_EXIF_IFD)[_USER_COMMENT] = b"UNICODE\0" + read_parameters(image.png).encode("utf-16-be")
    data = b""
    while True:
        for quality in WEBP_QUALITIES:
            buffer = io.BytesIO()
            picture.save(buffer, "WEBP", quality=quality, method=4, exif=exif, xmp=xmp)
            data = buffer.getvalue()
            if len(data) <= limit:
                return _upload(image, "webp", data)
        if min(picture.size) <= 64:  # a limit of a few kilobytes is not Discord's
            return _upload(image, "webp", data)
        picture = picture.resize((picture.width // 2, picture.height // 2), PillowImage.Resampling.LANCZOS)
