"""Signed pictures, read back with the library that other programs read them with."""

from __future__ import annotations

import io
import json
import logging
import random
import socket
import sys
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import c2pa
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PillowImage
from PIL.PngImagePlugin import PngInfo

from bot.content_credentials import MANIFEST_BYTES, ContentSigner, SigningFailed
from bot.errors import OperatorError
from bot.pictures import Upload, pack_uploads, read_parameters
from bot.settings import Settings
from engine.protocol import Image
from engine.provenance import XMP_KEYWORD, xmp_packet
from tests.fixtures import certificates
from tests.fixtures.certificates import NOW, Files, Key, new_key, write
from tests.fixtures.safety import released

PROMPT = "a prompt that nobody else needs to know"


def noise_image(seed: int, side: int = 128) -> Image:
    info = PngInfo()
    info.add_itxt(XMP_KEYWORD, xmp_packet())
    info.add_text("parameters", PROMPT)
    buffer = io.BytesIO()
    pixels = random.Random(seed).randbytes(side * side * 3)
    PillowImage.frombytes("RGB", (side, side), pixels).save(buffer, "PNG", pnginfo=info)
    return Image(png=buffer.getvalue(), seed=seed, width=side, height=side)


PICTURES = [released(noise_image(seed)) for seed in range(4)]
TOTAL = sum(len(picture.png) for picture in PICTURES)


def settings_of(files: Files, **changes: Any) -> Settings:
    return Settings(**{**files.settings, **changes})


def signer_of(files: Files) -> ContentSigner:
    signer = ContentSigner.from_settings(settings_of(files))
    assert signer is not None
    return signer


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> ContentSigner:
    return signer_of(write(tmp_path_factory.mktemp("certificates")))


def read(upload: Upload) -> c2pa.Reader:
    return c2pa.Reader(upload.media_type, io.BytesIO(upload.data))


def is_whole_and_signed(upload: Upload) -> bool:
    """Whether it is as it was signed; nobody trusts who signed it."""
    reader = read(upload)
    results = reader.get_validation_results()
    assert results is not None
    failures = [failure["code"] for failure in results["activeManifest"]["failure"]]
    return reader.get_validation_state() == "Valid" and failures == ["signingCredential.untrusted"]


KEYS: dict[str, Key] = {
    "Es256": new_key(),
    "Es384": ec.generate_private_key(ec.SECP384R1()),
    "Es512": ec.generate_private_key(ec.SECP521R1()),
    "Ps256": rsa.generate_private_key(65537, 2048),
    "Ed25519": ed25519.Ed25519PrivateKey.generate(),
}


@pytest.mark.parametrize("algorithm", KEYS)
@pytest.mark.parametrize(("limit", "name"), [(10**6, "trinart-0.png"), (40_000, "trinart-0.webp")])
def test_both_formats_are_signed_with_every_kind_of_key(
    tmp_path: Path, algorithm: str, limit: int, name: str
) -> None:
    signer = signer_of(write(tmp_path, KEYS[algorithm]))
    (plain,) = pack_uploads(PICTURES[:1], limit - signer.room)
    (signed,) = pack_uploads(PICTURES[:1], limit, signer)
    assert signed.file_name == plain.file_name == name
    assert is_whole_and_signed(signed)
    manifest = read(signed).get_active_manifest()
    assert manifest is not None
    assert manifest["signature_info"]["alg"] == algorithm
    assert manifest["signature_info"]["common_name"] == "Test host"
    assert 0 < len(signed.data) - len(plain.data) <= signer.room
    with (
        PillowImage.open(io.BytesIO(signed.data)) as after,
        PillowImage.open(io.BytesIO(plain.data)) as before,
    ):
        assert after.tobytes() == before.tobytes()
        assert after.info["xmp"] == before.info["xmp"] == xmp_packet().encode()
    assert read_parameters(signed.data) == PROMPT


def test_the_manifest_says_that_a_machine_made_it_and_names_nobody(signer: ContentSigner) -> None:
    (signed,) = pack_uploads(PICTURES[:1], 10**6, signer)
    manifest = read(signed).get_active_manifest()
    assert manifest is not None
    software = {"name": "TrinArt bot", "version": version("trinart-bot")}
    assert manifest["assertions"] == [
        {
            "label": "c2pa.actions.v2",
            "data": {
                "actions": [
                    {
                        "action": "c2pa.created",
                        "softwareAgent": software,
                        "digitalSourceType": (
                            "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
                        ),
                    }
                ]
            },
        }
    ]
    (generator,) = manifest["claim_generator_info"]
    assert generator.items() >= software.items()
    assert set(manifest) == {
        *("claim_generator_info", "instance_id", "assertions", "signature_info", "label", "claim_version")
    }, "no title, no thumbnail, no ingredients"
    assert PROMPT not in json.dumps(manifest)


@pytest.mark.parametrize("limit", [10**6, 40_000])
def test_a_picture_that_was_changed_is_told_from_the_signed_one(signer: ContentSigner, limit: int) -> None:
    (signed,) = pack_uploads(PICTURES[:1], limit, signer)
    assert is_whole_and_signed(signed)
    changed = bytearray(signed.data)
    changed[len(changed) // 2] ^= 1
    assert not is_whole_and_signed(replace(signed, data=bytes(changed)))


@given(limit=st.integers(60_000, TOTAL + 4 * 8_000), count=st.integers(1, 4))
@settings(max_examples=20, deadline=None)
def test_signed_pictures_fit_together(signer: ContentSigner, limit: int, count: int) -> None:
    uploads = pack_uploads(PICTURES[:count], limit, signer)
    assert [upload.seed for upload in uploads] == list(range(count))
    assert sum(len(upload.data) for upload in uploads) <= limit
    assert all(is_whole_and_signed(upload) for upload in uploads)


def test_room_for_the_signatures_is_part_of_the_limit(signer: ContentSigner) -> None:
    just = TOTAL + len(PICTURES) * signer.room
    assert {upload.media_type for upload in pack_uploads(PICTURES, just, signer)} == {"image/png"}
    assert {upload.media_type for upload in pack_uploads(PICTURES, just - 1, signer)} == {"image/webp"}


def test_nothing_is_signed_without_a_certificate_and_nothing_has_to_be_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(sys.modules, "bot.signing_key", raising=False)
    monkeypatch.setitem(sys.modules, "c2pa", None)
    monkeypatch.setitem(sys.modules, "cryptography", None)
    assert ContentSigner.from_settings(Settings()) is None


# --- what a host can get wrong ---


def refused(settings: Settings) -> str:
    """The one sentence; no part of a key is in it."""
    with pytest.raises(OperatorError) as caught:
        ContentSigner.from_settings(settings)
    assert caught.value.exit_code == 2
    assert "PRIVATE KEY-----" not in str(caught.value)
    return str(caught.value)


def test_one_file_without_the_other(tmp_path: Path) -> None:
    files = write(tmp_path)
    for missing in files.settings:
        assert "set both TRINART_C2PA_CERTIFICATE and" in refused(settings_of(files, **{missing: None}))
    assert "set both" in refused(Settings(c2pa_tsa_url="http://127.0.0.1"))


@pytest.mark.parametrize("field", ["c2pa_certificate", "c2pa_private_key"])
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, field: str) -> None:
    files, variable = write(tmp_path), f"TRINART_{field.upper()}"
    nowhere = refused(settings_of(files, **{field: tmp_path / "nowhere"}))
    assert nowhere == f"{variable}: {tmp_path / 'nowhere'} cannot be read: No such file or directory."
    (tmp_path / "text").write_text("no PEM")
    assert refused(settings_of(files, **{field: tmp_path / "text"})).startswith(f"{variable} has to name a ")


def test_the_key_of_another_certificate(tmp_path: Path) -> None:
    files = write(tmp_path, leaf=certificates.certificate(new_key(), "Somebody else"))
    assert "do not belong together" in refused(settings_of(files))


def test_an_encrypted_key(tmp_path: Path) -> None:
    files = write(tmp_path, encryption=serialization.BestAvailableEncryption(b"secret"))
    assert "is encrypted" in refused(settings_of(files))


def test_a_kind_of_key_that_c2pa_does_not_know(tmp_path: Path) -> None:
    assert "of a kind that C2PA does not know" in refused(
        settings_of(write(tmp_path, ec.generate_private_key(ec.SECP256K1())))
    )


def test_a_key_in_the_older_form_is_taken(tmp_path: Path) -> None:
    older = serialization.PrivateFormat.TraditionalOpenSSL
    assert signer_of(write(tmp_path, key_format=older)).key.subject == "CN=Test host,O=Tests"


def test_a_certificate_for_something_else(tmp_path: Path) -> None:
    key = new_key()
    files = write(tmp_path, key, leaf=certificates.certificate(key, "Nothing", purposes=()))
    assert "Pictures cannot be signed with TRINART_C2PA_CERTIFICATE" in refused(settings_of(files))


def test_a_certificate_of_the_past(tmp_path: Path) -> None:
    key = new_key()
    files = write(tmp_path, key, leaf=certificates.certificate(key, "Late", until=NOW))
    assert "not valid at time of signing" in refused(settings_of(files))


@pytest.mark.parametrize("package", ["c2pa", "cryptography"])
def test_the_extra_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    settings = settings_of(write(tmp_path))
    monkeypatch.delitem(sys.modules, "bot.signing_key", raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    assert "pip install -c constraints.txt -e '.[engine,c2pa]'" in refused(settings)


# --- what goes wrong later ---


def test_without_its_timestamp_nothing_is_signed_and_the_address_stays_out_of_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    # Nobody listens there any more.
    timestamps = f"http://user:hunter2@127.0.0.1:{port}/"
    signer = ContentSigner.from_settings(settings_of(write(tmp_path), c2pa_tsa_url=timestamps))
    assert signer is not None, "an authority that is away is no reason not to start"
    assert signer.room > 10_000 + MANIFEST_BYTES, "room for a timestamp"
    with caplog.at_level(logging.DEBUG), pytest.raises(SigningFailed) as caught:
        pack_uploads(PICTURES[:1], 10**6, signer)
    assert not caught.value.permanent
    assert "a picture could not be signed" in caplog.text
    assert "hunter2" not in caplog.text + str(caught.value)
    assert str(port) not in caplog.text + str(caught.value)


def test_a_key_is_not_shown(signer: ContentSigner) -> None:
    assert signer.key.private_key.startswith(b"-----BEGIN PRIVATE KEY-----")
    assert "PRIVATE KEY" not in repr(signer.key)
