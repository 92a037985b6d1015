"""C2PA content credentials: a signature in each picture that says who made it, and that a machine did.

Runs in the bot process just before a picture leaves, so that the engine and its workers know no key. What it
needs comes with the extra `c2pa`, and is imported only where the host has set a certificate.
"""

# c2pa's types are beside its code, without the marker that says so.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false

from __future__ import annotations

import io
import logging
import re
from typing import TYPE_CHECKING

from PIL import Image as PillowImage

from bot.errors import OperatorError
from bot.reply import Undeliverable
from bot.settings import Settings
from engine.provenance import MACHINE_MADE, SOFTWARE, software_version

if TYPE_CHECKING:
    import c2pa

    from bot.signing_key import SigningKey

log = logging.getLogger(__name__)

MANIFEST_BYTES = 2048
"""More than a manifest takes beside its signature, certificates and timestamp, whose size c2pa knows."""

# A thumbnail would be a second copy of a picture that whoever reads the manifest has before them.
SDK_SETTINGS = {"builder": {"thumbnail": {"enabled": False}}}


class SigningFailed(Undeliverable):
    """A picture stays here for now: a host who signs pictures wants none to leave unsigned."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"a picture could not be signed: {reason}", permanent=False)
        self.reason = reason


class ContentSigner:
    """Puts a signed manifest into pictures. Usable from several threads at a time."""

    def __init__(self, key: SigningKey, *, timestamp_url: str = "") -> None:
        self.key = key
        self._timestamp_url = timestamp_url
        with self._signer() as signer:
            self.room = signer.reserve_size() + MANIFEST_BYTES
            """By how many bytes a file grows at most."""

    @classmethod
    def from_settings(cls, settings: Settings) -> ContentSigner | None:
        """The signer that the host wants, if any; tried out, but for its timestamps. Blocking.

        Raises:
            OperatorError: pictures cannot be signed like this.
        """
        certificate, private_key = settings.c2pa_certificate, settings.c2pa_private_key
        timestamp_url = settings.c2pa_tsa_url
        if certificate is None and private_key is None and not timestamp_url:
            return None
        if certificate is None or private_key is None:
            raise OperatorError(
                "To sign pictures, set both TRINART_C2PA_CERTIFICATE and TRINART_C2PA_PRIVATE_KEY."
            )
        try:
            import c2pa

            from bot.signing_key import SigningKey
        except ImportError as error:
            raise OperatorError(
                "TRINART_C2PA_CERTIFICATE is set, but what signs pictures is not installed: "
                "pip install -c constraints.txt -e '.[engine,c2pa]'."
            ) from error
        key = SigningKey.read(certificate, private_key)
        try:
            cls(key).try_out()
            signer = cls(key, timestamp_url=timestamp_url)
        except (SigningFailed, c2pa.C2paError) as error:
            reason = error.reason if isinstance(error, SigningFailed) else str(error)
            raise OperatorError(
                f"Pictures cannot be signed with TRINART_C2PA_CERTIFICATE: {reason}."
            ) from error
        log.info("pictures are signed as %s, until %s", key.subject, key.valid_until.date())
        return signer

    def try_out(self) -> None:
        """Sign a picture that nobody sees.

        Raises:
            SigningFailed: it cannot be done.
        """
        picture = io.BytesIO()
        PillowImage.new("RGB", (8, 8)).save(picture, "PNG")
        self.sign(picture.getvalue(), "image/png")

    def sign(self, data: bytes, media_type: str) -> bytes:
        """The same picture with a signed manifest in it; blocking, for as long as a timestamp takes.

        Raises:
            SigningFailed: c2pa, which also verifies what it has signed, could not.
        """
        import c2pa

        signed = io.BytesIO()
        try:
            with (
                self._signer() as signer,
                c2pa.Context.from_dict(SDK_SETTINGS) as context,
                c2pa.Builder(manifest(), context) as builder,
            ):
                builder.sign(signer, media_type, io.BytesIO(data), signed)
        except c2pa.C2paError as error:
            # An address can have a password in it.
            reason = re.sub(r"\w+://[^\s)]+", "TRINART_C2PA_TSA_URL", str(error))
            log.error("a picture could not be signed: %s", reason)
            raise SigningFailed(reason) from None
        return signed.getvalue()

    def _signer(self) -> c2pa.Signer:
        """A new one each time: it is made in microseconds, and belongs to one thread."""
        import c2pa

        key = self.key
        return c2pa.Signer.from_info(
            c2pa.C2paSignerInfo(key.algorithm, key.certificates, key.private_key, self._timestamp_url or None)
        )


def manifest() -> dict[str, object]:
    """What is signed, beside the hash of the picture: no prompt, and nobody's name."""
    software = {"name": SOFTWARE, "version": software_version()}
    created = {"action": "c2pa.created", "digitalSourceType": MACHINE_MADE, "softwareAgent": software}
    return {
        "claim_generator_info": [software],
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [created]}}],
    }
