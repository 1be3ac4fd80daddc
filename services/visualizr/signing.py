"""Films signed with the operator's certificate: a C2PA manifest says that, by whom and with what they were made.

Source: C2PA Technical Specification 2.2, "Actions" (`c2pa.created` with a digital source type). Whoever changes a
signed film breaks its signature; whoever strips it is left with the other marks, which are in the signed file too.
"""

import io
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import c2pa
import cv2
import numpy as np
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from chatacter.chassis import provenance
from chatacter.chassis.errors import Misconfigured
from visualizr.backend import Film, Rendition

logger = logging.getLogger(__name__)

# WebM has no place for a manifest: such films keep their other marks.
SIGNABLE: Final = frozenset({"video/mp4", "image/jpeg", "image/webp"})
# The manifest holds no picture of what it stands in, and asks nobody on the network.
MANNERS: Final = {
    "builder": {"thumbnail": {"enabled": False}},
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False},
}
CURVES: Final = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}

UNREADABLE: Final = "{name}: {path} cannot be read: {why}."
NO_CERTIFICATE: Final = (
    "VISUALIZR_C2PA_CERTIFICATE: {path} is no PEM file of certificates; the one that signs comes first, then those "
    "that vouch for it."
)
NO_ALGORITHM: Final = "VISUALIZR_C2PA_CERTIFICATE: C2PA signs with no such key: use P-256 or Ed25519."
REFUSED: Final = (
    "VISUALIZR_C2PA_CERTIFICATE and VISUALIZR_C2PA_KEY do not sign: the key (PEM, PKCS#8, no password) has to be the "
    "certificate's, which has to be valid today and made for signing, as C2PA's certificate profile asks. {why}"
)
EXPIRED: Final = "VISUALIZR_C2PA_CERTIFICATE has run out. Put a valid one there and start anew, or unset it."
FAILED: Final = "The film could not be signed with VISUALIZR_C2PA_CERTIFICATE; the log says why."
# A certificate that has less left is told in the log, once a day while films are asked for.
SOON: Final = timedelta(days=14)
TOLD_EACH: Final = timedelta(days=1)


def now() -> datetime:
    """Say what time it is."""
    return datetime.now(UTC)


class Warned:
    """When somebody was last told that a certificate runs out. A race tells it twice at worst."""

    def __init__(self) -> None:
        self._at: datetime | None = None

    def due(self, at: datetime) -> bool:
        """Whether it is to be told now; then it counts as told."""
        due = self._at is None or at - self._at >= TOLD_EACH
        if due:
            self._at = at
        return due


@dataclass(frozen=True, slots=True)
class Signing:
    """Signs films and their small forms. May be used from several threads at once."""

    chain: bytes
    key: bytes = field(repr=False)
    algorithm: str
    until: datetime
    """When the certificate runs out."""
    clock: Callable[[], datetime] = now
    warned: Warned = field(default_factory=Warned, repr=False, compare=False)

    def check(self) -> None:
        """Raise `Misconfigured` once the certificate has run out, so that nothing is filmed that cannot be signed."""
        at = self.clock()
        if at >= self.until:
            raise Misconfigured(EXPIRED)
        if self.until - at < SOON and self.warned.due(at):
            logger.warning("the certificate that signs films runs out soon", extra={"until": self.until.isoformat()})

    def signed(self, film: Film, model: str) -> Film:
        """Return a film that the model made, its files signed where their form has a place for it.

        Raises `Misconfigured`: a film that was to be signed does not leave unsigned.
        """
        try:
            small = tuple(
                Rendition(each.variant, each.media_type, self.file(each.data, each.media_type, model))
                for each in film.renditions
            )
            return replace(film, data=self.file(film.data, film.media_type, model), renditions=small)
        except c2pa.C2paError as error:
            logger.error("a film could not be signed", exc_info=error, extra={"error.type": type(error).__name__})
            raise Misconfigured(EXPIRED if self.clock() >= self.until else FAILED) from error

    def file(self, data: bytes, media_type: str, model: str) -> bytes:
        """Return one file signed. One of another form is returned as it is, and so is one that has a manifest already.

        Whoever made that one said so, and a signature of ours would say that we did. Raises `C2paError`.
        """
        if media_type not in SIGNABLE:
            return data
        info = c2pa.C2paSignerInfo(alg=self.algorithm.encode(), sign_cert=self.chain, private_key=self.key, ta_url=None)
        signed = io.BytesIO()
        with c2pa.Context.from_dict(MANNERS) as context:
            if tells(data, media_type, context):
                return data
            with (
                c2pa.Signer.from_info(info) as signer,
                c2pa.Builder(json.dumps(manifest(model)), context=context) as builder,
            ):
                builder.sign(signer, media_type, io.BytesIO(data), signed)
        return signed.getvalue()


def tells(data: bytes, media_type: str, context: c2pa.Context) -> bool:
    """Whether a file has a manifest, valid or not. Raises `C2paError` where one is said to be elsewhere."""
    reader = c2pa.Reader.try_create(media_type, io.BytesIO(data), context=context)
    if reader is None:
        return False
    reader.close()
    return True


def manifest(model: str) -> Mapping[str, Any]:
    """Say that a model made it."""
    created = {
        "action": "c2pa.created",
        "digitalSourceType": provenance.DIGITAL_SOURCE_TYPE,
        "softwareAgent": {"name": model},
    }
    return {
        "claim_generator_info": [{"name": provenance.GENERATOR, "version": version("chatacter")}],
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [created]}}],
    }


def signing_with(certificate: Path, key: Path, clock: Callable[[], datetime] = now) -> Signing:
    """Return what signs with a certificate. Signs once; raises `Misconfigured` where that does not work."""
    chain = content(certificate, "VISUALIZR_C2PA_CERTIFICATE")
    first = first_of(chain, certificate)
    signing = Signing(chain, content(key, "VISUALIZR_C2PA_KEY"), algorithm_of(first), first.not_valid_after_utc, clock)
    probe = bytes(cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))[1])
    try:
        signing.file(probe, "image/jpeg", provenance.GENERATOR)
    except c2pa.C2paError as error:
        raise Misconfigured(REFUSED.format(why=error)) from error
    signing.check()
    return signing


def content(path: Path, name: str) -> bytes:
    """Read a file that a setting names. Raises `Misconfigured`."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise Misconfigured(UNREADABLE.format(name=name, path=path, why=error.strerror)) from error


def first_of(chain: bytes, path: Path) -> x509.Certificate:
    """Read the first certificate of a file, which signs. Raises `Misconfigured`."""
    try:
        return x509.load_pem_x509_certificate(chain)
    except ValueError as error:
        raise Misconfigured(NO_CERTIFICATE.format(path=path)) from error


def algorithm_of(certificate: x509.Certificate) -> str:
    """Name the signature that a certificate's kind of key makes. Raises `Misconfigured`."""
    public = certificate.public_key()
    if isinstance(public, EllipticCurvePublicKey) and public.curve.name in CURVES:
        return CURVES[public.curve.name]
    if isinstance(public, Ed25519PublicKey):
        return "ed25519"
    if isinstance(public, RSAPublicKey):
        return "ps256"
    raise Misconfigured(NO_ALGORITHM)
