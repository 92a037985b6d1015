"""The parts of the bot process put together, with or without Discord in front."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from bot.administration import Administration
from bot.allowances import Allowances
from bot.content_credentials import ContentSigner
from bot.database.session import Database
from bot.generation import GenerationService
from bot.history import JobHistory
from bot.job_store import JobStore
from bot.own_jobs import OwnJobs
from bot.pictures import PictureStore
from bot.preset_store import PresetStore
from bot.presets import PresetBook
from bot.privacy import Privacy
from bot.reservations import Reservations
from bot.runs import Runs
from bot.safety.appeals import Appeals
from bot.safety.decisions import DecisionLog, UserKeys
from bot.safety.delivery import ReleaseDesk
from bot.safety.kept_files import KeptFiles
from bot.safety.outages import Outages
from bot.safety.policy import Policy
from bot.safety.reports import Reports
from bot.safety.rulings import PictureRulings
from bot.safety.screen import PromptScreen
from bot.safety.screening import Screening
from bot.safety.use_terms import UseTerms
from bot.settings import Settings
from bot.shards import Shards
from bot.upkeep import Upkeep
from engine.client import EngineClient
from engine.models import find_model

JOB_GRACE_SECONDS = 10.0
"""How long running jobs may go on after the bot was told to stop; the rest waits for the next start."""


@dataclass(frozen=True, kw_only=True)
class Services:
    """What the cogs call; each is the only home of its rules."""

    generation: GenerationService
    allowances: Allowances
    history: JobHistory
    own_jobs: OwnJobs
    presets: PresetStore
    privacy: Privacy
    administration: Administration
    use_terms: UseTerms
    appeals: Appeals
    reports: Reports
    rulings: PictureRulings
    outages: Outages
    shards: Shards
    signer: ContentSigner | None = None
    """Signs each picture before it leaves, where the host has a certificate."""


@asynccontextmanager
async def open_services(
    settings: Settings, *, worker_module: str = "engine.worker", checker_module: str = "engine.safety"
) -> AsyncGenerator[Services]:
    """Open the database, start the engine, and end both in order. The engine may still be loading.

    Raises:
        OperatorError: the database, the host's own policy or rules, the data folder, or the certificate for
            pictures cannot be used.
    """
    policy, prompts = Policy.load(settings.safety_policy), PromptScreen.load(settings.safety_rules)
    signer = await asyncio.to_thread(ContentSigner.from_settings, settings)
    engine = _make_engine(settings, policy, worker_module, checker_module)
    shards = Shards.parse(settings.shards)
    async with Database.connect(settings.resolved_database_url) as database:
        jobs, pictures = JobStore(database), PictureStore(settings.pictures_dir)
        kept_files = KeptFiles(settings.reported_dir)
        reports = Reports(database, kept_files)
        runs = Runs()
        upkeep = Upkeep(
            database,
            jobs,
            pictures,
            also=[reports.expire],
            pictures_dir=settings.pictures_dir,
            retention=timedelta(days=settings.retention_days),
            shards=shards,
            runs=runs,
        )
        await pictures.prepare()
        await upkeep.reconcile()
        book = PresetBook.load()
        decisions = _make_decisions(settings, policy)
        screening = Screening(database, prompts, decisions, cap=settings.safety_level)
        presets = PresetStore(database, book, screening)
        desk = ReleaseDesk(database, jobs, pictures, policy, decisions, screening)
        reservations = Reservations(database, settings.host_rules)
        service = GenerationService(
            engine=engine,
            jobs=jobs,
            reservations=reservations,
            pictures=pictures,
            screening=screening,
            desk=desk,
            presets=book,
            server_presets=presets,
            shards=shards,
            runs=runs,
            deadline_seconds=settings.deadline,
        )
        outages = Outages(settings.data_dir / "outages.json")
        service.outcomes.checked = outages.checked
        administration = Administration(
            database,
            settings.host_rules,
            book,
            kept_days=settings.retention_days,
            cap=settings.safety_level,
        )
        await engine.start()
        try:
            async with service, upkeep.running(also=service.take_up), outages.running(engine):
                yield Services(
                    generation=service,
                    administration=administration,
                    allowances=Allowances(database, settings.host_rules),
                    history=JobHistory(database),
                    own_jobs=OwnJobs(service, jobs, shards),
                    presets=presets,
                    privacy=Privacy(database, pictures, decisions.user_key),
                    use_terms=UseTerms(database, required=settings.terms == "required"),
                    appeals=Appeals(database),
                    reports=reports,
                    rulings=PictureRulings(database, kept_files, desk),
                    outages=outages,
                    shards=shards,
                    signer=signer,
                )
                await service.runs.drain(grace=JOB_GRACE_SECONDS)
        finally:
            await engine.close()
            await screening.settled()
            await reservations.settled()


def _make_decisions(settings: Settings, policy: Policy) -> DecisionLog:
    keys = UserKeys.load(settings.user_key_file)
    return DecisionLog(keys, policy, kept_for=timedelta(days=settings.safety_retention_days))


def _make_engine(settings: Settings, policy: Policy, worker_module: str, checker_module: str) -> EngineClient:
    return EngineClient(
        find_model(settings.model, settings.models_dir),
        devices=settings.devices,
        threads=settings.threads,
        max_batch_size=settings.max_batch_size,
        dtype=settings.dtype,
        exact=settings.exact,
        compile_cache=settings.data_dir / "compiled" if settings.compile == "auto" else None,
        queue_limit=settings.queue_limit,
        step_timeout=settings.step_timeout,
        worker_module=worker_module,
        # The engine need not send what is shown nowhere.
        preview_limit=min(policy.levels["strict"].least_hidden, 1.0),
        block_list=settings.block_list,
        classifiers=settings.classifier_folders,
        checker_module=checker_module,
    )
