"""Settings from the environment: clear errors, no leaks."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.errors import OperatorError
from bot.settings import load_settings


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("DISCORD_TOKEN", "TRINART_MODEL", "TRINART_DATA_DIR", "TRINART_DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)


def test_defaults() -> None:
    settings = load_settings()
    assert settings.discord_token is None
    assert settings.resolved_database_url == "sqlite+aiosqlite:///data/trinart.db"
    assert settings.model == "demo"


def test_a_dotenv_file_is_read_and_the_environment_wins(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("DISCORD_TOKEN=from-file\nTRINART_MODEL=derrida\nOTHER=1\n")
    monkeypatch.setenv("TRINART_MODEL", "demo")
    settings = load_settings()
    assert settings.discord_token is not None
    assert settings.discord_token.get_secret_value() == "from-file"
    assert settings.model == "demo"


def test_the_token_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISCORD_TOKEN", "very-secret")
    assert "very-secret" not in repr(load_settings())


def test_a_dotenv_file_in_another_encoding_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("TRINART_MODEL=絵\n", encoding="utf-16")
    with pytest.raises(OperatorError, match=r"\.env is not UTF-8") as caught:
        load_settings()
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TRINART_MAX_BATCH_SIZE", "many"),
        ("TRINART_THREADS", "-1"),
        ("TRINART_GUILD_ID", "my server"),
        ("TRINART_LOG_LEVEL", "LOUD"),
        ("TRINART_C2PA_TSA_URL", "timestamp.example"),
        ("TRINART_SAFETY_MODELS", "safety-anime-rating,derrida"),
        ("TRINART_SAFETY_MODELS", "safety-anime-rating,safety-anime-rating"),
    ],
)
def test_a_bad_value_names_its_variable(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(OperatorError, match=name):
        load_settings()


def test_an_empty_variable_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRINART_GUILD_ID", "")
    monkeypatch.setenv("TRINART_LOG_LEVEL", "warning")
    settings = load_settings()
    assert settings.guild_id is None
    assert settings.log_level == "WARNING"
