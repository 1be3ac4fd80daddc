"""Films signed with the operator's certificate, read by C2PA's own reader; what cannot sign is told at the start."""

import asyncio
import base64
import datetime
import io
import json
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from chatacter.chassis.errors import Misconfigured
from chatacter.chassis.provenance import COMMENT, DIGITAL_SOURCE_TYPE, XMP
from tests.film_material import events, request
from tests.served import served
from visualizr import renditions
from visualizr.app import application
from visualizr.backend import Film, Rendition
from visualizr.backends.fake import FakeBackend
from visualizr.settings import VisualizrSettings

c2pa = pytest.importorskip("c2pa")
from visualizr.signing import Signing, signing_with  # noqa: E402  # needs it

pytestmark = pytest.mark.integration

Key = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
PEM = serialization.Encoding.PEM
DAY = datetime.timedelta(days=1)


def named(name: str) -> x509.Name:
    return x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "A studio"), x509.NameAttribute(NameOID.COMMON_NAME, name)]
    )


def certificate(name: str, key: Key, issuer: str, by: Key, *, authority: bool, until: int = 30) -> x509.Certificate:
    """A certificate as C2PA's profile asks: for signing, and not for vouching unless it is an authority's."""
    now = datetime.datetime.now(datetime.UTC)
    usage = x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )
    made = (
        x509.CertificateBuilder()
        .subject_name(named(name))
        .issuer_name(named(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 30 * DAY)
        .not_valid_after(now + until * DAY)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(by.public_key()), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if not authority:
        made = made.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
    return made.sign(by, None if isinstance(by, ed25519.Ed25519PrivateKey) else hashes.SHA256())


@pytest.fixture
def credentials(tmp_path: Path) -> Callable[..., dict[str, Path]]:
    """Makes a chain of two and its key; returns the settings that name them."""

    def made(kind: Callable[[], Key] = lambda: ec.generate_private_key(ec.SECP256R1()), until: int = 30) -> Any:
        root, key = kind(), kind()
        chain = [
            certificate("films", key, "root", root, authority=False, until=until),
            certificate("root", root, "root", root, authority=True),
        ]
        (tmp_path / "chain.pem").write_bytes(b"".join(each.public_bytes(PEM) for each in chain))
        (tmp_path / "key.pem").write_bytes(
            key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        )
        return {"visualizr_c2pa_certificate": tmp_path / "chain.pem", "visualizr_c2pa_key": tmp_path / "key.pem"}

    return made


def built(**settings: Any) -> Any:
    return application(VisualizrSettings(visualizr_model="fake", **settings), FakeBackend())


async def filmed(form: str, **settings: Any) -> list[tuple[str, bytes]]:
    """The film and its small forms, by their media types."""
    app = await asyncio.to_thread(built, **settings)
    async with served(app) as url, httpx.AsyncClient(base_url=url, timeout=20) as client:
        while (await client.get("/readyz")).status_code != 200:
            await asyncio.sleep(0.01)
        answer = await client.post("/v1/video/generations", json={**request(seconds=1.0), "output_format": form})
    done = events(answer)[-1]
    files = [(done["media_type"], done["video"]), *((each["media_type"], each["data"]) for each in done["renditions"])]
    return [(media_type, base64.b64decode(data)) for media_type, data in files]


def read(media_type: str, data: bytes) -> dict[str, Any]:
    with c2pa.Reader(media_type, io.BytesIO(data)) as reader:
        return dict(json.loads(reader.json()))


KINDS: list[Callable[[], Key]] = [lambda: ec.generate_private_key(ec.SECP256R1()), ed25519.Ed25519PrivateKey.generate]


@pytest.mark.parametrize("kind", KINDS, ids=["P-256", "Ed25519"])
async def test_every_file_says_what_made_it_and_keeps_its_other_mark(credentials: Any, kind: Any) -> None:
    files = await filmed("mp4", **credentials(kind))
    assert [media_type for media_type, _ in files] == ["video/mp4", "image/webp", "image/jpeg", "image/webp"]
    for media_type, data in files:
        told = read(media_type, data)
        manifest = told["manifests"][told["active_manifest"]]
        assert told["validation_state"] == "Valid"
        assert [each["code"] for each in told["validation_status"]] == ["signingCredential.untrusted"]  # a test's root
        (done,) = [each for each in manifest["assertions"] if each["label"].startswith("c2pa.actions")]
        (action,) = done["data"]["actions"]
        assert action["action"] == "c2pa.created"
        assert action["digitalSourceType"] == DIGITAL_SOURCE_TYPE
        assert action["softwareAgent"]["name"] == "fake"
        assert manifest["claim_generator_info"][0]["name"] == "chatacter"
        assert manifest["signature_info"]["common_name"] == "films"
        assert b"Iptc4xmpExt:DigitalSourceType" in data


async def test_a_changed_film_is_told(credentials: Any) -> None:
    (media_type, data), *_ = await filmed("mp4", **credentials())
    at = data.index(COMMENT.encode()[:12])
    changed = data[:at] + b"Human-made. " + data[at + 12 :]
    assert read(media_type, changed)["validation_state"] == "Invalid"


async def test_webm_keeps_its_own_mark_and_its_small_forms_are_signed(credentials: Any) -> None:
    (_, film), (small_type, small), *_ = await filmed("webm", **credentials())
    assert DIGITAL_SOURCE_TYPE.encode() in film
    assert b"c2pa" not in film
    assert read(small_type, small)["validation_state"] == "Valid"


def test_what_another_one_signed_keeps_its_manifest(credentials: Any) -> None:
    """A relay signs what came without a signature, and says of nothing else that it made it."""
    theirs, ours = (signing_with(*credentials().values()) for _ in range(2))
    still = bytes(cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))[1])
    small = (Rendition("spritesheet", "image/jpeg", still),)
    came = Film(theirs.file(still, "image/jpeg", "portrait"), "image/jpeg", 1.0, 8, 8, 25, renditions=small)
    left = ours.signed(came, "remote")
    assert left.data == came.data
    for data, model in ((left.data, "portrait"), (left.renditions[0].data, "remote")):
        told = read("image/jpeg", data)
        (manifest,) = told["manifests"].values()
        assert manifest["assertions"][0]["data"]["actions"][0]["softwareAgent"]["name"] == model


def test_a_manifest_elsewhere_is_not_fetched_and_not_written_over(
    credentials: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = b'dcterms:provenance="http://127.0.0.1:9/film.c2pa" xmlns:dcterms="http://purl.org/dc/terms/" xmlns:xmp='
    monkeypatch.setattr(renditions, "XMP", XMP.replace(b"xmlns:xmp=", there))
    data = renditions.jpeg_marked(bytes(cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))[1]))
    with pytest.raises(c2pa.C2paError, match="must fetch"):
        signing_with(*credentials().values()).file(data, "image/jpeg", "remote")


def test_the_key_is_in_no_text_of_what_signs(credentials: Any) -> None:
    given = credentials()
    signing = signing_with(*given.values())
    assert "PRIVATE KEY" in signing.key.decode()
    assert "PRIVATE KEY" not in repr(signing)
    assert signing.key.decode().splitlines()[1] not in repr(signing)


class Clock:
    """The time; a test may put it forward."""

    def __init__(self) -> None:
        self.ahead = datetime.timedelta()

    def __call__(self) -> datetime.datetime:
        return datetime.datetime.now(datetime.UTC) + self.ahead


async def asked(backend: FakeBackend, signer: Signing, **more: Any) -> httpx.Response:
    """Ask for a film of a service with this signer."""
    settings = VisualizrSettings(visualizr_model="fake")
    app = await asyncio.to_thread(application, settings, backend, signer)
    async with served(app) as url, httpx.AsyncClient(base_url=url, timeout=20) as client:
        while (await client.get("/readyz")).status_code != 200:
            await asyncio.sleep(0.01)
        return await client.post("/v1/video/generations", json={**request(seconds=0.3), **more})


async def test_nothing_is_filmed_once_the_certificate_has_run_out(credentials: Any) -> None:
    clock, backend = Clock(), FakeBackend()
    signer = await asyncio.to_thread(lambda: signing_with(*credentials().values(), clock))
    assert events(await asked(backend, signer))[-1]["type"] == "video.completed"
    clock.ahead = 31 * DAY
    answer = await asked(backend, signer)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "misconfigured")
    assert "VISUALIZR_C2PA_CERTIFICATE has run out" in answer.json()["error"]["message"]
    assert backend.begun == 1


async def test_nothing_is_filmed_where_the_certificate_runs_out_in_the_queue(credentials: Any) -> None:
    clock, backend = Clock(), FakeBackend()
    signer = await asyncio.to_thread(lambda: signing_with(*credentials().values(), clock))

    def a_month_later() -> datetime.datetime:
        now, clock.ahead = clock(), 31 * DAY
        return now

    answer = await asked(backend, replace(signer, clock=a_month_later))
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "misconfigured")
    assert backend.begun == 0


async def test_a_film_that_cannot_be_signed_is_told_as_failed(credentials: Any) -> None:
    """It runs out while the film is made: the signer was valid at the start, and what signs raises later."""
    signer = await asyncio.to_thread(lambda: signing_with(*credentials().values()))
    over = await asyncio.to_thread(credentials(until=-1)["visualizr_c2pa_certificate"].read_bytes)
    last = events(await asked(FakeBackend(), replace(signer, chain=over)))[-1]
    assert (last["type"], last["code"], last["retryable"]) == ("video.failed", "misconfigured", False)
    assert "could not be signed" in last["message"]


def test_a_certificate_that_runs_out_soon_is_told_each_day(credentials: Any, caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    with caplog.at_level(logging.WARNING, "visualizr.signing"):
        signer = signing_with(*credentials().values(), clock)
        assert not caplog.records
        for clock.ahead in (20 * DAY, 20.5 * DAY, 21.5 * DAY):
            signer.check()
    assert [each.getMessage() for each in caplog.records] == ["the certificate that signs films runs out soon"] * 2


def test_half_of_it_is_refused(credentials: Any) -> None:
    given = credentials()
    del given["visualizr_c2pa_key"]
    with pytest.raises(ValueError, match="belong together"):
        built(**given)


def test_what_cannot_sign_is_told_at_the_start(credentials: Any, tmp_path: Path) -> None:
    given = credentials()
    other = ec.generate_private_key(ec.SECP256R1())
    foreign = tmp_path / "foreign.pem"
    foreign.write_bytes(other.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    with pytest.raises(Misconfigured, match="do not sign"):
        built(**{**given, "visualizr_c2pa_key": foreign})
    with pytest.raises(Misconfigured, match=r"VISUALIZR_C2PA_KEY: .* cannot be read"):
        built(**{**given, "visualizr_c2pa_key": tmp_path / "missing.pem"})
    foreign.write_text("no certificate")
    with pytest.raises(Misconfigured, match="no PEM file of certificates"):
        built(**{**given, "visualizr_c2pa_certificate": foreign})
    with pytest.raises(Misconfigured, match="valid today"):
        built(**credentials(until=-1))
