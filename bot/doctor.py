"""`trinart doctor`: what a host would check by hand."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import importlib.util
import os
import shutil
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial

from bot.content_credentials import ContentSigner, SigningFailed
from bot.database.session import Database, NoDatabase, head_revision, is_known
from bot.errors import OperatorError
from bot.jobs import utc_now
from bot.pictures import PicturesNotWritable, PictureStore, try_writing
from bot.reconcile import find_discrepancies, mend
from bot.settings import Settings
from engine.client import EngineClient, EngineStatus
from engine.models import ModelError, find_model, read_model
from engine.protocol import EngineReady, EngineUnavailable
from engine.safety_models import read_installed

MIN_FREE_BYTES = 1 << 30
LOAD_SECONDS = 300.0
EXPIRES_SOON = timedelta(days=14)


@dataclass(frozen=True)
class Finding:
    """One check and its outcome, a sentence."""

    check: str
    ok: bool
    text: str


async def examine(settings: Settings, *, fix: bool = False) -> list[Finding]:
    """Run all checks, the quick ones first; with `fix`, mend what jobs, ledger and files disagree about."""
    checks: list[Callable[[Settings], Awaitable[Finding]]] = [
        _python,
        _token,
        _data_dir,
        _pictures,
        _database,
        partial(_accounts, fix=fix),
        _signing,
        _model,
        _classifiers,
        _engine,
    ]
    return [await check(settings) for check in checks]


async def _python(_settings: Settings) -> Finding:
    versions = [
        f"{name} {importlib.metadata.version(name)}"
        for name in ("discord.py", "torch", "diffusers")
        if importlib.util.find_spec(name.split(".")[0])
    ]
    engine = importlib.util.find_spec("torch") and importlib.util.find_spec("diffusers")
    text = f"Python {sys.version.split()[0]}, {', '.join(versions)}"
    return Finding("Packages", bool(engine), text if engine else f"{text}; install the extra 'engine'")


async def _token(settings: Settings) -> Finding:
    present = bool(settings.discord_token and settings.discord_token.get_secret_value().strip())
    return Finding("DISCORD_TOKEN", present, "set" if present else "not set; `trinart run` needs it")


async def _data_dir(settings: Settings) -> Finding:
    folder = settings.data_dir.absolute()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    try:
        await asyncio.to_thread(try_writing, existing)
        free = shutil.disk_usage(existing).free
    except OSError as error:
        return Finding(
            "Data folder",
            False,
            f"{folder} cannot be written ({error.strerror}); make room there and let this user write, "
            "or set TRINART_DATA_DIR to another folder",
        )
    text = f"{folder}, {free / 2**30:.1f} GiB free"
    if free < MIN_FREE_BYTES:
        return Finding("Data folder", False, f"{text}; make room: pictures and the database need 1 GiB")
    return Finding("Data folder", True, text)


async def _pictures(settings: Settings) -> Finding:
    """It may be a disk of its own, and it may be somebody else's."""
    check, folder = "Pictures", settings.pictures_dir
    if not folder.exists():
        return Finding(check, True, "no folder yet; made at the first start")
    try:
        await PictureStore(folder).prepare()
    except PicturesNotWritable as error:
        return Finding(check, False, str(error))
    return Finding(check, True, f"can be written into {folder.absolute()}")


async def _database(settings: Settings) -> Finding:
    url = settings.resolved_database_url
    try:
        async with Database.connect(url, upgrade=False) as database:
            revision = await database.revision()
    except NoDatabase:
        return Finding("Database", True, "none yet; made at the first start")
    except Exception as error:  # whatever a driver raises is the finding
        return Finding("Database", False, f"cannot be opened: {error}")
    if not is_known(revision):
        return Finding("Database", False, f"revision {revision} is of a newer version of the bot")
    return Finding("Database", True, f"revision {revision or 'base'} of {head_revision()}")


async def _accounts(settings: Settings, *, fix: bool) -> Finding:
    """Jobs, ledger and files agree, as every start of the bot sees to as well."""
    check, now = "Accounts", utc_now()
    try:
        async with Database.connect(settings.resolved_database_url, upgrade=False) as database:
            if await database.revision() != head_revision():
                return Finding(check, True, "not looked at: the database is brought up to date at the start")
            found = await find_discrepancies(database, settings.pictures_dir, now)
            texts: list[str] = []
            if fix and found.can_be_mended:
                texts += [f"mended: {sentence}" for sentence in replace(found, underpaid=()).sentences()]
                await mend(database, settings.pictures_dir, found, now)
                found = await find_discrepancies(database, settings.pictures_dir, now)
    except NoDatabase:
        return Finding(check, True, "none yet")
    except Exception as error:  # whatever a driver raises is the finding
        return Finding(check, False, f"cannot be read: {error}")
    texts += found.sentences()
    if found.can_be_mended and not fix:
        texts.append("with the bot stopped, trinart doctor --fix mends it")
    return Finding(check, not found.can_be_mended, "; ".join(texts) or "jobs, ledger and files agree")


async def _signing(settings: Settings) -> Finding:
    """Whether a picture can be signed, with the timestamp that only the running bot asks for."""
    check = "Signing"
    try:
        signer = await asyncio.to_thread(ContentSigner.from_settings, settings)
        if signer is None:
            return Finding(check, True, "off: pictures are not signed (TRINART_C2PA_CERTIFICATE)")
        await asyncio.to_thread(signer.try_out)
    except (OperatorError, SigningFailed) as error:
        return Finding(check, False, str(error))
    text = f"as {signer.key.subject}, until {signer.key.valid_until:%Y-%m-%d}"
    if signer.key.valid_until - utc_now() < EXPIRES_SOON:
        return Finding(check, False, f"{text}; renew the certificate: afterwards no picture is delivered")
    return Finding(check, True, text)


async def _model(settings: Settings) -> Finding:
    try:
        card = read_model(find_model(settings.model, settings.models_dir))
    except ModelError as error:
        return Finding("Model", False, str(error))
    sizes = ", ".join(f"{width}x{height}" for width, height in card.sizes.values())
    return Finding("Model", True, f"{card.name}: {sizes}")


async def _classifiers(settings: Settings) -> Finding:
    """Those that the host added; whether all of them work is told by the last check."""
    check, parts = "Image check", ["the default classifiers"]
    for folder in settings.classifier_folders:
        try:
            installed = read_installed(folder)
            is_unchanged = await asyncio.to_thread(installed.is_unchanged)
        except ModelError as error:
            return Finding(check, False, str(error))
        except OSError as error:
            return Finding(
                check, False, f"{folder} cannot be read: {error.strerror}; pull {folder.name} again"
            )
        if not is_unchanged:
            text = f"{installed.path} is not the file that was pulled on {installed.record.date[:10]}"
            return Finding(check, False, f"{text}; run trinart models pull {installed.name} --replace")
        parts.append(
            f"{installed.name} (sha256 {installed.sha256[:10]}, pulled {installed.record.date[:10]})"
        )
    return Finding(check, True, ", ".join(parts))


async def _engine(settings: Settings) -> Finding:
    os.environ.setdefault("TRINART_LOG_LEVEL", "CRITICAL")
    try:
        engine = EngineClient(
            find_model(settings.model, settings.models_dir),
            devices=settings.devices,
            block_list=settings.block_list,
            classifiers=settings.classifier_folders,
        )
        await engine.start()
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOAD_SECONDS):
                    await engine.wait_until(_has_heard_of_all_devices)
            status = engine.status
        finally:
            await engine.close()
    except (OSError, OperatorError) as error:
        return Finding("Engine", False, f"did not start: {error}")
    match status:
        case EngineReady():
            return _devices(status)
        case EngineUnavailable(reason):
            return Finding("Engine", False, reason)
        case _:
            return Finding("Engine", False, "did not start: it took too long")


def _has_heard_of_all_devices(status: EngineStatus) -> bool:
    return isinstance(status, EngineUnavailable) or (isinstance(status, EngineReady) and not status.starting)


def _devices(ready: EngineReady) -> Finding:
    """Where it loads, and then each device that was asked for and does not draw."""
    parts = [f"loads {ready.model.name} ({ready.model.hash}) on {', '.join(ready.devices) or 'no device'}"]
    if ready.starting:
        parts.append(f"{', '.join(ready.starting)} did not get ready in {LOAD_SECONDS:.0f} s")
    parts += [f"{device} cannot be used ({reason})" for device, reason in ready.given_up.items()]
    return Finding("Engine", len(parts) == 1, "; ".join(parts))
