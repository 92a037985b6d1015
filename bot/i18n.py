"""English and Japanese: gettext catalogues read with Babel, chosen by the interaction's locale.

English is the language of the sources. `make locales` collects new messages into locales/ja.po.
"""

from __future__ import annotations

import gettext
import io
from functools import cache
from importlib import resources
from typing import Protocol

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

TRANSLATED = ("ja",)


def N_(message: str) -> str:
    """Mark a message for the catalogue; it is translated where its reader's locale is known."""
    return message


class Translate(Protocol):
    """`t("Step {step} of {steps}", step=1, steps=20)` in one language."""

    def __call__(self, message: str, /, **fields: object) -> str: ...


def translator(locale: str) -> Translate:
    """The messages of a Discord locale such as `ja` or `en-US`; English for those we do not have."""
    catalogue = _catalogue(locale.partition("-")[0])

    def t(message: str, /, **fields: object) -> str:
        return catalogue.gettext(message).format(**fields) if fields else catalogue.gettext(message)

    return t


@cache
def _catalogue(language: str) -> gettext.NullTranslations:
    if language not in TRANSLATED:
        return gettext.NullTranslations()
    source = resources.files("bot") / "locales" / f"{language}.po"
    with source.open("rb") as file:
        catalogue = read_po(file, locale=language)
    compiled = io.BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)
