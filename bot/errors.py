"""What can go wrong, as classes that carry data and know how to say it to a person.

A `MemberError` is answered to the member, in the member's language; an `OperatorError` ends the command
line with one sentence and an exit code.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar, cast

from bot.i18n import N_, Translate, translator


class TrinArtError(Exception):
    """Base of everything this bot raises on purpose."""


class OperatorError(TrinArtError):
    """The host must do something; the message is one sentence saying what."""

    def __init__(self, message: str, *, exit_code: int = 2) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class MemberError(TrinArtError):
    """A request that cannot be done. `message` says what to change; its fields are the keyword arguments."""

    message: ClassVar[str]

    def __init__(self, **fields: object) -> None:
        self.fields = fields
        super().__init__(self.text("en-US"))

    @property
    def decision_id(self) -> str | None:
        """The decision behind it that its member can appeal, if there is one."""
        found = self.fields.get("decision_id")
        return found if isinstance(found, str) else None

    def text(self, locale: str) -> str:
        """The answer in the language of a Discord locale."""
        t = translator(locale)
        fields = dict(self.fields)
        if "option" in fields:  # members know the command's options under translated names
            fields["option"] = t(str(fields["option"]))
        return t(self.message, **fields)


class BlankPrompt(MemberError):
    message = N_("The prompt is empty. Describe the picture you want, for example: 1girl, blue hair, smile")


class TextTooLong(MemberError):
    message = N_("`{option}` has {length} characters; at most {limit} are allowed. Please shorten it.")


class ControlCharacters(MemberError):
    message = N_("`{option}` contains invisible control characters. Please type it again without them.")


class UnknownPreset(MemberError):
    message = N_("There is no preset “{preset}”. Choose one of: {known}.")


class SizeNotOffered(MemberError):
    message = N_("The size “{size}” is not offered by this model. Choose one of: {offered}.")


class UnknownSampler(MemberError):
    message = N_("There is no sampler “{sampler}”. Choose one of: {known}.")


class OutOfRange(MemberError):
    message = N_("`{option}` must be between {low} and {high}; you gave {value}.")


class InvalidSeed(MemberError):
    message = N_(
        "The seed must be a whole number from 0 to {high}, or left out for a random one; you gave “{value}”."
    )


class EngineNotReady(MemberError):
    message = N_("The picture engine is still starting. Please try again in half a minute.")


class ModelUnavailable(MemberError):
    message = N_(
        "The picture model could not be loaded, so nothing can be drawn. "
        "The host of this bot has to repair it; nothing was charged."
    )


class ShuttingDown(MemberError):
    message = N_("The bot is restarting. Please try again in a minute.")


class DatabaseUnavailable(MemberError):
    message = N_(
        "Your request could not be recorded, so nothing was drawn or charged. Please try again later."
    )


class GenerationFailed(MemberError):
    message = N_("The picture could not be drawn. Nothing was charged; please try again. (job {job_id})")


class QueueFull(MemberError):
    message = N_(
        "Too many pictures are waiting to be drawn, so this one was not taken. "
        "Nothing was charged; please try again in a few minutes."
    )


class DeadlineNotMet(MemberError):
    message = N_(
        "The pictures that wait would keep this one longer than the host allows, so it was not taken. "
        "Nothing was charged; please try again when it is quieter, or ask for fewer pictures or steps."
    )


class NotDelivered(MemberError):
    message = N_(
        "Discord did not take the picture here. It is kept for a day: /jobs hands it out. "
        "If you do not fetch it, its cost comes back to you."
    )


class NotSigned(MemberError):
    message = N_(
        "The picture could not be signed just now, and the host lets none out unsigned. "
        "It is kept: please try again in a few minutes."
    )


class GenerationCancelled(MemberError):
    message = N_("Cancelled. No picture was drawn. Nothing was charged.")


class CancelledMidway(GenerationCancelled):
    message = N_(
        "Cancelled. No picture was drawn. "
        "The {step} of {steps} steps that were done cost {paid} instead of {cost}."
    )


def cancelled(*, paid: int, cost: int, step: int, steps: int) -> GenerationCancelled:
    """A job that its member stopped, which pays thousandths of a picture for the steps done."""
    if not paid:
        return GenerationCancelled()
    return CancelledMidway(paid=pictures(paid), cost=pictures(cost), step=step, steps=steps)


class UnexpectedError(MemberError):
    message = N_("Something went wrong on our side. Nothing was charged; please try again.")


class PictureNotKept(MemberError):
    message = N_(
        "The picture was drawn, but the bot's disk did not take it, so it cannot be shown. "
        "Nothing was charged; please try again later. (job {job_id})"
    )


class Postponed(MemberError):
    message = N_(
        "The bot's records cannot be reached just now. Your picture is not lost: it comes by itself "
        "when they can."
    )


class ElsewhereJob(MemberError):
    message = N_(
        "Another part of the bot has this picture. Please do this in the server in which you asked for it."
    )


class OnItsWay(MemberError):
    message = N_("This picture is on its way to you. Please wait a minute.")


class NotYourJob(MemberError):
    message = N_("This picture belongs to another member.")


class JobNotFound(MemberError):
    message = N_("This picture could not be looked up just now. Please try again.")


class JobAlreadyEnded(MemberError):
    message = N_("This picture is already finished.")


class LimitReached(MemberError):
    """A limit of the server or the host; says which, how much is left, and when to try again."""

    def text(self, locale: str) -> str:
        """Amounts as pictures, times as Discord shows them in the reader's own zone."""
        return Phrase(self.message, self.fields).text(translator(locale))

    @property
    def code(self) -> str:
        """The name that the database and the admins' plot know it by."""
        return re.sub(r"(?<!^)(?=[A-Z])", "_", type(self).__name__).lower()


@dataclass(frozen=True)
class Phrase:
    """A text with its fields, or a part of one, translated when it is known who reads it."""

    message: str
    fields: Mapping[str, object] = field(default_factory=dict[str, object])

    def text(self, t: Translate) -> str:
        """In the reader's language."""
        places = _places(self.fields.get("cost"), self.fields.get("left"))
        return t(self.message, **{name: _told(name, value, t, places) for name, value in self.fields.items()})


def _places(cost: object, left: object) -> int:
    """Decimals with which what is left does not look like enough where it is not."""
    amounts = [amount for amount in (cost, left) if isinstance(amount, int)]
    return 2 if len({pictures(amount) for amount in amounts}) == len(set(amounts)) else 3


def _told(name: str, value: object, t: Translate, places: int) -> object:
    match name, value:
        case _, Phrase():
            return value.text(t)
        case "cost", int(thousandths):
            return amount_text(thousandths, t, places)
        case (("left" | "amount"), int(thousandths)):
            return pictures(thousandths, places)
        case "window", str(window):
            return window_text(window, t)
        case (("when" | "until"), datetime()):
            return f"<t:{math.ceil(value.timestamp())}:R>"
        case "when", None:
            return t(N_("later"))
        case "until", None:
            return t(N_("when it is lifted"))
        case "channels", list():
            return ", ".join(f"<#{channel}>" for channel in cast("list[int]", value)[:10])
        case _:
            return value


def pictures(thousandths: int, places: int = 2) -> str:
    """An amount as members read it: `0.94`, `12`, never 0 for what is not nothing."""
    return (
        f"{thousandths / 1000:.{places}f}".rstrip("0").rstrip(".")
        if abs(thousandths) >= 5
        else ("0" if not thousandths else f"{thousandths / 1000:g}")
    )


def amount_text(thousandths: int, t: Translate, places: int = 2) -> str:
    """With its unit: `1 picture`, `0.94 pictures`."""
    count = pictures(thousandths, places)
    return t(N_("1 picture")) if count == "1" else t(N_("{count} pictures"), count=count)


WINDOWS = {"day": N_("today"), "week": N_("this week"), "month": N_("this month")}


def window_text(window: str, t: Translate) -> str:
    """A quota's window, to follow "left": `today`, `in 24 hours`, `in 7 days`."""
    if window in WINDOWS:
        return t(WINDOWS[window])
    hours = int(window.removesuffix("h"))
    if hours == 1:
        return t(N_("in an hour"))
    if hours % 24 or hours == 24:
        return t(N_("in {hours} hours"), hours=hours)
    return t(N_("in {days} days"), days=hours // 24)


class MemberBlocked(LimitReached):
    message = N_(
        "The moderators of this server have blocked you: {reason} (ends {until}). Nothing was charged."
    )


class BlockedByHost(LimitReached):
    message = N_(
        "The host of this bot has blocked you everywhere: {reason} (ends {until}). Nothing was charged."
    )


class StrikePause(LimitReached):
    message = N_(
        "You cannot ask for pictures for a while: what you asked for or made before was against the rules. "
        "The pause ends {until}. Nothing was charged."
    )


class TermsNotAccepted(LimitReached):
    message = N_(
        "Before your first picture, please read the terms of use and accept them: /terms shows them. "
        "Nothing was charged."
    )


class ServerSwitchedOff(LimitReached):
    message = N_("The admins of this server have switched the bot off here. Nothing was charged.")


class ServerSuspended(LimitReached):
    message = N_("The host of this bot has switched it off for this server. Nothing was charged.")


class ChannelNotAllowed(LimitReached):
    message = N_("Pictures are drawn in other channels of this server: {channels}. Nothing was charged.")
