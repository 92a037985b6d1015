"""The bot half runs where no torch is installed."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import pkgutil, sys
class Forbidden:
    def find_spec(self, name, path=None, target=None):
        assert name.split('.')[0] not in {forbidden}, f'{{name}} is imported'
sys.meta_path.insert(0, Forbidden())
for package in ({packages}):
    module = __import__(package)
    for _, name, _ in pkgutil.walk_packages(module.__path__, package + '.'):
        if not name.startswith({skipped}):
            __import__(name)
print('ok')
"""


def run(script: str) -> str:
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_importing_bot_and_cogs_loads_no_torch() -> None:
    script = SCRIPT.format(
        forbidden={"torch", "diffusers", "transformers", "numpy"},
        packages="'bot', 'cogs'",
        skipped=("bot.__main__",),
    )
    assert run(script) == "ok"


def test_the_engine_core_loads_neither_torch_nor_discord() -> None:
    script = SCRIPT.format(
        forbidden={"torch", "diffusers", "transformers", "discord"},
        packages="'engine',",
        skipped=("engine.worker", "engine.checkpoints", "engine.__main__"),
    )
    assert run(script) == "ok"
