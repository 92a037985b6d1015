"""What can go wrong in the checker process."""

from __future__ import annotations


class CheckerError(Exception):
    """No picture can be checked, and none ever will: the message is one sentence for the host."""


class CheckError(Exception):
    """This picture could not be checked; the message is for the log, and says nothing of its content."""


class PictureRefused(CheckError):
    """A file that is not a picture as the check takes them; the message says why in a few words."""
