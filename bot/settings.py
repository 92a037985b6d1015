"""Every setting of the host, from the environment and a `.env` file. Built once, in `bot.cli`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from bot.errors import OperatorError
from bot.quotas import HostRules, Quota, Rate
from bot.safety.levels import Level
from bot.shards import Shards
from engine.safety_models import parse_safety_models


class Settings(BaseSettings):
    """The variables are these names with `TRINART_` in front, and `DISCORD_TOKEN`.

    docs/reference/settings.md has the same table; a test holds it to this class.
    """

    model_config = SettingsConfigDict(
        env_prefix="TRINART_", env_file=".env", env_ignore_empty=True, extra="ignore", populate_by_name=True
    )

    discord_token: SecretStr | None = Field(
        default=None, validation_alias=AliasChoices("DISCORD_TOKEN"), description="the bot's token"
    )
    data_dir: Path = Field(default=Path("data"), description="folder of the database, pictures and models")
    database_url: str = Field(default="", description="SQLAlchemy URL; SQLite in the data dir if empty")
    model: str = Field(default="demo", description="demo, derrida, or a folder in diffusers layout")
    devices: str = Field(default="auto", description="auto, cpu, cpu*2, or cuda:0,cuda:1")
    dtype: Literal["auto", "float16", "bfloat16", "float32"] = Field(
        default="auto", description="numbers the model computes with; auto is float16 on CUDA, else float32"
    )
    threads: int = Field(
        default=0, ge=0, le=256, description="torch threads per worker; 0 shares the cores out"
    )
    max_batch_size: int = Field(default=8, ge=1, le=64, description="images in one denoiser call")
    exact: bool = Field(
        default=False, description="pictures equal to the last bit whoever shares their batch; slower"
    )
    compile: Literal["auto", "off"] = Field(
        default="auto", description="compile the model for CUDA devices, with a cache in the data dir"
    )
    queue_limit: int = Field(
        default=200, ge=1, le=100_000, description="jobs that may wait; more are refused"
    )
    deadline: int = Field(
        default=0, ge=0, le=86_400, description="refuse jobs that would take longer, in seconds; 0 for none"
    )
    step_timeout: int = Field(
        default=120, ge=1, le=3600, description="seconds without a step after which a worker counts as hung"
    )
    block_list: Path | None = Field(
        default=None, description="file of hashes of pictures that are never shown"
    )
    default_quota: str = Field(
        default="unlimited", description="what a member may draw where the server's admins set nothing"
    )
    member_cap: str = Field(default="unlimited", description="what one person may draw over all servers")
    server_cap: str = Field(
        default="unlimited", description="what the members of one server may draw together"
    )
    rate: str = Field(default="10/min", description="requests of one person: a number per s, min or h")
    concurrent_jobs: int = Field(
        default=5, ge=1, le=1000, description="requests of one person that may wait or run at a time"
    )
    terms: Literal["required", "off"] = Field(
        default="required", description="whether members accept the terms of use before their first picture"
    )
    retention_days: int = Field(
        default=30, ge=1, le=3650, description="after so many days jobs are deleted, with their prompts"
    )
    safety_level: Level = Field(
        default="default",
        description="the most that may be shown anywhere: strict, default or age-restricted",
    )
    safety_policy: Path | None = Field(
        default=None, description="file with thresholds of your own; the bot's own if not set"
    )
    safety_rules: Path | None = Field(
        default=None, description="TOML file with the host's own lists of words to block and to allow"
    )
    safety_models: str = Field(
        default="", description="classifiers that check pictures beside the default ones, with commas"
    )
    safety_retention_days: int = Field(
        default=365, ge=1, le=3650, description="after so many days the record of safety decisions is deleted"
    )
    c2pa_certificate: Path | None = Field(
        default=None, description="PEM file of the certificates that pictures are signed with"
    )
    c2pa_private_key: Path | None = Field(
        default=None, description="PEM file of the private key of the first certificate"
    )
    c2pa_tsa_url: str = Field(default="", description="timestamp authority (RFC 3161) for signatures")
    shards: str = Field(
        default="", description="this process's shards and the number of all, such as 0,1/4; empty for all"
    )
    guild_id: int | None = Field(default=None, ge=1, description="sync commands to this server at once")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="least level logged"
    )
    discord_api_url: str = Field(default="", description="REST base URL of a proxy; Discord's own if empty")
    discord_gateway_url: str = Field(default="", description="gateway URL of a proxy; Discord's own if empty")

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper(cls, value: Any) -> Any:
        return value.upper() if isinstance(value, str) else value

    @field_validator("default_quota", "member_cap", "server_cap")
    @classmethod
    def _quota(cls, value: str) -> str:
        return str(Quota.parse(value))

    @field_validator("shards")
    @classmethod
    def _shards(cls, value: str) -> str:
        return str(Shards.parse(value))

    @field_validator("safety_models")
    @classmethod
    def _safety_models(cls, value: str) -> str:
        return ",".join(parse_safety_models(value))

    @field_validator("rate")
    @classmethod
    def _rate(cls, value: str) -> str:
        return str(Rate.parse(value))

    @field_validator("c2pa_tsa_url")
    @classmethod
    def _web_address(cls, value: str) -> str:
        if value and not value.startswith(("http://", "https://")):
            raise ValueError("it has to begin with http:// or https://")
        return value

    @property
    def host_rules(self) -> HostRules:
        """The limits that no server can loosen, and the default where it sets none."""
        return HostRules(
            default_quota=Quota.parse(self.default_quota),
            member_cap=Quota.parse(self.member_cap),
            server_cap=Quota.parse(self.server_cap),
            rate=Rate.parse(self.rate),
            concurrent_jobs=self.concurrent_jobs,
            terms_required=self.terms == "required",
        )

    @property
    def resolved_database_url(self) -> str:
        """The URL that is used."""
        return self.database_url or f"sqlite+aiosqlite:///{self.data_dir / 'trinart.db'}"

    @property
    def models_dir(self) -> Path:
        """Where installed models are."""
        return self.data_dir / "models"

    @property
    def classifier_folders(self) -> list[Path]:
        """Where the classifiers are that the host added to the image check."""
        return [self.models_dir / name for name in parse_safety_models(self.safety_models)]

    @property
    def user_key_file(self) -> Path:
        """The key by which the record of safety decisions knows users."""
        return self.data_dir / "user.key"

    @property
    def pictures_dir(self) -> Path:
        """Where pictures wait until Discord has them."""
        return self.data_dir / "pictures"

    @property
    def reported_dir(self) -> Path:
        """Where reported pictures wait for a moderator."""
        return self.data_dir / "reported"


def load_settings() -> Settings:
    """Read the environment.

    Raises:
        OperatorError: the `.env` file cannot be read, or a variable has a value that cannot be used; names
            it, never its value.
    """
    try:
        return Settings()
    except ValidationError as error:
        problems = "; ".join(
            f"{_variable(str(item['loc'][0]))}: {item['msg']}" for item in error.errors(include_input=False)
        )
        raise OperatorError(f"A setting cannot be used: {problems}.") from None
    except UnicodeDecodeError:
        raise OperatorError("The file .env is not UTF-8 text: save it again as UTF-8.") from None
    except OSError as error:
        raise OperatorError(f"The file .env cannot be read: {error.strerror}.") from None


def _variable(location: str) -> str:
    return location if location.isupper() else f"TRINART_{location.upper()}"
