"""What can go wrong with appeals, reports and moderation."""

from __future__ import annotations

from bot.errors import MemberError
from bot.i18n import N_


class NotAModerator(MemberError):
    message = N_(
        "This needs the permission Manage Server or Timeout Members in this server. Nothing was changed."
    )


class DecisionForgotten(MemberError):
    message = N_("This decision is no longer kept, so it cannot be appealed or decided.")


class NotYourDecision(MemberError):
    message = N_("Only the member whom the decision is about can appeal.")


class AlreadyAppealed(MemberError):
    message = N_("A decision can be appealed once. You can read with /appeals what became of yours.")


class TooManyAppeals(MemberError):
    message = N_("You can appeal {limit} times in 24 hours. Please try again later.")


class NobodyTakesAppeals(MemberError):
    message = N_(
        "There are no moderators here who take appeals: in direct messages there are none, and in a server "
        "its admins have to choose a channel for them."
    )


class AppealNotSent(MemberError):
    message = N_("Your appeal could not be sent to the moderators. Please press the button again later.")


class QueueNotPrivate(MemberError):
    message = N_(
        "Your appeal is kept. The moderators get it as soon as they have a channel that only they can read; "
        "the bot has told the admins. You can read with /appeals what became of it."
    )


class AlreadyDecided(MemberError):
    message = N_("Somebody has decided this already.")


class OnlyTheHostDecides(MemberError):
    message = N_("The host of this bot decides about this appeal, no server can. Nothing was changed.")


class OwnAppeal(MemberError):
    message = N_("Somebody else has to decide about your own appeal.")


class TooManyReports(MemberError):
    message = N_("You can report {limit} pictures in 24 hours. Please tell a moderator.")


class NothingToReport(MemberError):
    message = N_("This picture has been looked at by a moderator, who decided about it.")


class PictureGone(MemberError):
    message = N_("The picture is no longer kept, so it cannot be shown again. It stays hidden.")


class NotAgeRestricted(MemberError):
    message = N_("The channel of the picture is no longer age-restricted. The picture stays hidden.")


class NotShownThereNow(MemberError):
    message = N_(
        "What may be shown in {channel} has become less since then, so this picture cannot be shown there "
        "again. It stays hidden. `/admin safety show` in that channel says what counts; “Remove for good” "
        "deletes the picture."
    )


class PictureNotEdited(MemberError):
    message = N_("Discord did not take the change of the message. Please press the button again later.")


class EverybodyReadsThere(MemberError):
    message = N_(
        "Everybody in the server can read {channel}. Appeals show prompts, so choose a channel that only "
        "moderators can read. Nothing was changed."
    )
