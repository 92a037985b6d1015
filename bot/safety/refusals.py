"""What members read when their request is refused, or its pictures are withheld. Never a word of it."""

from __future__ import annotations

from collections.abc import Mapping

from bot.errors import MemberError
from bot.i18n import N_


class PromptRefused(MemberError):
    """The prompt check refuses a request. `code` is its reason; its `decision_id` is where it is recorded."""

    message = N_("This request goes against the rules of this bot, so it was not taken. Nothing was charged.")

    def __init__(self, *, code: str, decision_id: str, **fields: object) -> None:
        self.code = code
        super().__init__(decision_id=decision_id, **fields)


class SexualMinorRefused(PromptRefused):
    message = N_(
        "Sexual content together with anything that points to a minor is drawn for nobody and nowhere. "
        "Nothing was charged."
    )


class SexualRefused(PromptRefused):
    message = N_("Sexual content is not drawn here. Please leave it out. Nothing was charged.")


class RealPersonRefused(PromptRefused):
    message = N_("Real people are not drawn in a sexual context. Nothing was charged.")


class ServerListRefused(PromptRefused):
    message = N_("The admins of this server do not want a word of this request here. Nothing was charged.")


class HostListRefused(PromptRefused):
    message = N_("The host of this bot does not want a word of this request. Nothing was charged.")


class UnreadablyLong(PromptRefused):
    message = N_("This request is too long to be checked. Please shorten it. Nothing was charged.")


REFUSED: Mapping[str, type[PromptRefused]] = {
    "sexual_minor": SexualMinorRefused,
    "sexual": SexualRefused,
    "real_person_sexual": RealPersonRefused,
    "server_list": ServerListRefused,
    "host_list": HostListRefused,
    "too_long": UnreadablyLong,
}
"""The answer to each reason of the prompt check; any other is answered with `PromptRefused`."""


class PicturesWithheld(MemberError):
    """None of a job's pictures may be shown. `decision_ids` are where the decisions are recorded."""

    message = N_(
        "What was drawn may not be shown here, so nobody sees it and it is deleted. Nothing was charged. "
        "Another seed or prompt can give a picture that may. (job {job_id})"
    )

    def __init__(self, *, decision_ids: tuple[str, ...] = (), **fields: object) -> None:
        self.decision_ids = decision_ids
        super().__init__(**fields)

    @property
    def decision_id(self) -> str | None:
        """The one that can be appealed, for all of them."""
        return self.decision_ids[0] if self.decision_ids else None


class PicturesUnchecked(PicturesWithheld):
    message = N_(
        "What was drawn could not be checked, so nobody sees it and it is deleted. Nothing was charged; "
        "please try again later. (job {job_id})"
    )

    @property
    def decision_id(self) -> None:
        """Nothing was decided that moderators could see otherwise."""
