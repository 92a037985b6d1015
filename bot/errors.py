"""What can go wrong, as classes that carry data and know how to say it to a person.

A `MemberError` is answered to the member, in the member's language; an `OperatorError` ends the command
line with one sentence and an exit code.
"""

from __future__ import annotations

from typing import ClassVar

from bot.i18n import N_, translator


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
        "Discord did not take the picture here. Nothing was charged; please try it in another channel."
    )


class GenerationCancelled(MemberError):
    message = N_("Cancelled. No picture was drawn.")


class UnexpectedError(MemberError):
    message = N_("Something went wrong on our side. Nothing was charged; please try again.")


class NotYourJob(MemberError):
    message = N_("Only the member who asked for this picture can cancel it.")


class JobNotFound(MemberError):
    message = N_("This picture could not be looked up just now. Please try again.")


class JobAlreadyEnded(MemberError):
    message = N_("This picture is already finished.")
