"""Who stands for a manifest: Ed25519 signatures of its digest, detached, one file a signer.

A signature is a DSSE envelope around an in-toto statement, whose subject is the root's sha256. So
common tools read it, and what is signed names the kind of thing that it is. A file lies at
`manifests/signatures/<digest>/<keyid>.json` and is created once; keyid is the sha256 of the public
key (SubjectPublicKeyInfo, DER).
"""

import base64
import binascii
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from manifests.errors import ConfigError, Conflict, DataError
from manifests.fingerprint import canonical_json, sha256
from manifests.objects.manifest import read_root
from manifests.objects.root import Root
from manifests.objects.tree import Objects
from manifests.store import Store

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )

PASSWORD = "SCRIPTORIUM_KEY_PASSWORD"
"""Environment variable with the password of an encrypted private key."""
PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "urn:scriptorium:manifest:1"


class Verdict(StrEnum):
    """What a signature is worth."""

    VALID = "valid"
    UNKNOWN_KEY = "unknown key"
    """Well-formed, but by none of the given keys: it proves nothing."""
    BROKEN = "broken"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """One signature file, checked."""

    keyid: str
    """As the file is named."""
    verdict: Verdict
    why: str = ""
    """Of a broken one."""


def sign(store: Store, digest: str, private_key_pem: bytes) -> str:
    """Sign the manifest with this digest; the keyid. Signing again changes nothing.

    Raises:
        ConfigError: The key is no Ed25519 key, or its password is not in `PASSWORD`.
        Conflict: A file that this key did not write lies in the signature's place.
        NotInStore: There is no such manifest.
    """
    key = _private_key(private_key_pem)
    identity = _keyid(key.public_key())
    payload = canonical_json(_statement(digest, read_root(Objects(store), digest)))
    data = _envelope(payload, identity, key.sign(_framed(payload)))
    place = signature_file(digest, identity)
    if not store.create(place, data) and store.get(place) != data:
        raise Conflict(f"{store.url}: {place} is there and not by this key; remove it, sign again")
    return identity


def verify_signatures(store: Store, digest: str, public_keys_pem: Iterable[bytes]) -> list[Checked]:
    """Every signature of a manifest, by keyid; whom to trust is the caller's `public_keys_pem`.

    Raises:
        ConfigError: A key is no Ed25519 public key.
        NotInStore: There is no such manifest.
    """
    keys = {_keyid(key): key for key in map(_public_key, public_keys_pem)}
    statement = canonical_json(_statement(digest, read_root(Objects(store), digest)))
    found = []
    for place in store.list(f"manifests/signatures/{digest}/"):
        identity = place.rpartition("/")[2].removesuffix(".json")
        try:
            _verify(store.get(place), identity, statement, keys.get(identity))
        except DataError as error:
            found.append(Checked(keyid=identity, verdict=Verdict.BROKEN, why=str(error)))
        else:
            verdict = Verdict.VALID if identity in keys else Verdict.UNKNOWN_KEY
            found.append(Checked(keyid=identity, verdict=verdict))
    return found


def signature_file(digest: str, keyid: str) -> str:
    """Key of a signature."""
    return f"manifests/signatures/{digest}/{keyid}.json"


def _statement(digest: str, root: Root) -> dict[str, Any]:
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": root.name, "digest": {"sha256": digest}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": {"name": root.name, "probes": root.probes},
    }


def _framed(payload: bytes) -> bytes:
    """What is signed: the payload with its type, so that no other text can pass for it.

    Source: DSSE v1, pre-authentication encoding.
    """
    kind = PAYLOAD_TYPE.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def _envelope(payload: bytes, keyid: str, signature: bytes) -> bytes:
    return canonical_json(
        {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [{"keyid": keyid, "sig": base64.b64encode(signature).decode()}],
        }
    )


def _verify(data: bytes, keyid: str, statement: bytes, key: "Ed25519PublicKey | None") -> None:
    """Raises DataError unless `data` is the envelope by this key of this very statement."""
    from cryptography.exceptions import InvalidSignature

    try:
        envelope = json.loads(data)
        payload = base64.b64decode(envelope["payload"], validate=True)
        signature = base64.b64decode(envelope["signatures"][0]["sig"], validate=True)
    except (ValueError, TypeError, LookupError, binascii.Error):
        raise DataError("not a DSSE envelope") from None
    # Also finds what signatures do not cover: another keyid, a space, spare bits of base64.
    if _envelope(payload, keyid, signature) != data:
        raise DataError("not an envelope as it is written here, or under another key's name")
    if payload != statement:
        raise DataError("the statement is not about this manifest")
    if key is not None:
        try:
            key.verify(signature, _framed(payload))
        except InvalidSignature:
            raise DataError("the signature is not by this key") from None


def _keyid(key: "Ed25519PublicKey") -> str:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def _private_key(pem: bytes) -> "Ed25519PrivateKey":
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        try:
            key = load_pem_private_key(pem, None)
        except TypeError:  # it is encrypted
            password = os.environ.get(PASSWORD, "")
            if not password:
                raise ConfigError(
                    f"the private key is encrypted; put its password into {PASSWORD}"
                ) from None
            key = load_pem_private_key(pem, password.encode())
    except ConfigError:
        raise
    except (ValueError, UnsupportedAlgorithm):
        raise ConfigError(
            f"not a private key in PEM, or the password in {PASSWORD} is wrong; make one with"
            " openssl genpkey -algorithm ed25519"
        ) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(f"the private key is {_kind(key)}; give an Ed25519 key")
    return key


def _public_key(pem: bytes) -> "Ed25519PublicKey":
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        raise ConfigError(
            "not a public key in PEM; openssl pkey -pubout writes it from the private key"
        ) from None
    if not isinstance(key, Ed25519PublicKey):
        raise ConfigError(f"the public key is {_kind(key)}; give an Ed25519 key")
    return key


def _kind(key: object) -> str:
    return type(key).__name__.lstrip("_").removesuffix("PrivateKey").removesuffix("PublicKey")
