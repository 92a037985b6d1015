"""Placeholder of this branch: the prompt check comes with its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bot.safety.levels import Level
from bot.safety.rules import ServerLists
from bot.safety.verdicts import PromptVerdict


class PromptScreen:
    @classmethod
    def load(cls, host_rules: Path | None = None) -> PromptScreen:
        return cls()

    def check(
        self,
        prompt: str,
        *,
        negative: str = "",
        others: Sequence[str] = (),
        level: Level = "default",
        server: ServerLists = ServerLists(),
    ) -> PromptVerdict:
        text = " ".join((prompt, *others)).casefold()
        sexual, minor = "nude" in text, "child" in text
        if sexual and minor:
            return PromptVerdict(decision="refuse", reasons=("sexual_minor",), policy_version="0")
        if any(word in text for word in server.block):
            return PromptVerdict(decision="refuse", reasons=("server_list",), policy_version="0")
        if sexual and level != "age-restricted":
            return PromptVerdict(decision="refuse", reasons=("sexual",), policy_version="0")
        if minor:
            return PromptVerdict(decision="strict", reasons=("minor",), policy_version="0")
        return PromptVerdict(decision="allow", policy_version="0")
