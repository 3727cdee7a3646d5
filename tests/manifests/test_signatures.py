import base64
import json
import subprocess
from pathlib import Path

import pytest

from manifests.errors import ConfigError, Conflict, NotInStore
from manifests.objects.manifest import Manifest
from manifests.signatures import (
    PASSWORD,
    PREDICATE_TYPE,
    Verdict,
    sign,
    signature_file,
    verify_signatures,
)
from manifests.store import Store, open_store
from tests.manifests.exported import leaf_table, manifest_of


def openssl(*arguments: str, given: bytes = b"") -> bytes:
    return subprocess.run(
        ["openssl", *arguments], input=given, check=True, capture_output=True
    ).stdout


def key_pair(algorithm: str = "ed25519", *options: str) -> tuple[bytes, bytes]:
    private = openssl("genpkey", "-algorithm", algorithm, *options)
    return private, openssl("pkey", "-pubout", given=private)


def small(store: Store, name: str = "mix") -> Manifest:
    table = leaf_table(store, "web", [["one text", "another text"]])
    return manifest_of(store, {"web": table}, {"web": 8}, name=name)


@pytest.fixture
def local(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "root"))


def test_each_signer_has_a_file_and_only_known_keys_prove_anything(store: Store) -> None:
    digest = small(store).digest
    (first, first_public), (second, _) = key_pair(), key_pair()
    names = {sign(store, digest, first), sign(store, digest, second)}
    assert sign(store, digest, first) in names, "again changes nothing"
    found = {one.keyid: one.verdict for one in verify_signatures(store, digest, [first_public])}
    assert set(found) == names
    assert found[sign(store, digest, first)] is Verdict.VALID
    assert found[sign(store, digest, second)] is Verdict.UNKNOWN_KEY
    assert verify_signatures(store, small(store, "other").digest, [first_public]) == []


def test_an_envelope_is_what_in_toto_and_openssl_know(local: Store, tmp_path: Path) -> None:
    manifest = small(local)
    private, public = key_pair()
    name = sign(local, manifest.digest, private)
    der = openssl("pkey", "-pubin", "-outform", "DER", given=public)
    assert name == openssl("dgst", "-sha256", "-r", given=der).split()[0].decode()
    envelope = json.loads(local.get(signature_file(manifest.digest, name)))
    assert envelope["payloadType"] == "application/vnd.in-toto+json"
    payload = base64.b64decode(envelope["payload"])
    statement = json.loads(payload)
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["subject"] == [{"name": "mix", "digest": {"sha256": manifest.digest}}]
    assert statement["predicateType"] == PREDICATE_TYPE
    assert statement["predicate"] == {"name": "mix", "probes": {"train": "0" * 64}}
    kind = envelope["payloadType"]
    (tmp_path / "signed").write_bytes(
        f"DSSEv1 {len(kind)} {kind} {len(payload)} ".encode() + payload
    )
    (tmp_path / "sig").write_bytes(base64.b64decode(envelope["signatures"][0]["sig"]))
    (tmp_path / "public").write_bytes(public)
    said = openssl(
        "pkeyutl", "-verify", "-pubin", "-inkey", str(tmp_path / "public"), "-rawin",
        "-in", str(tmp_path / "signed"), "-sigfile", str(tmp_path / "sig"),
    )  # fmt: skip
    assert b"Successfully" in said


def test_a_change_of_any_byte_is_found(local: Store) -> None:
    digest = small(local).digest
    private, public = key_pair()
    place = signature_file(digest, sign(local, digest, private))
    data = local.get(place)
    for at in range(len(data)):
        for changed in (
            data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :],
            data[:at] + data[at + 1 :],
        ):
            local.put(place, changed)
            (found,) = verify_signatures(local, digest, [public])
            assert found.verdict is Verdict.BROKEN, (at, found)
            assert found.why
    local.put(place, data + b"\n")
    assert verify_signatures(local, digest, [public])[0].verdict is Verdict.BROKEN
    local.put(place, data)
    assert verify_signatures(local, digest, [public])[0].verdict is Verdict.VALID


def test_a_signature_counts_for_its_manifest_and_its_key_only(local: Store) -> None:
    digest, other = small(local).digest, small(local, "other").digest
    (first, first_public), (second, second_public) = key_pair(), key_pair()
    signed, by_second = sign(local, digest, first), sign(local, digest, second)
    data = local.get(signature_file(digest, signed))
    local.create(signature_file(other, signed), data)
    (found,) = verify_signatures(local, other, [first_public])
    assert (found.verdict, found.why) == (
        Verdict.BROKEN,
        "the statement is not about this manifest",
    )
    forged = data.replace(signed.encode(), by_second.encode())
    local.put(signature_file(digest, by_second), forged)
    verdicts = {x.keyid: x.verdict for x in verify_signatures(local, digest, [second_public])}
    assert verdicts == {signed: Verdict.UNKNOWN_KEY, by_second: Verdict.BROKEN}
    with pytest.raises(Conflict, match="remove it, sign again"):
        sign(local, digest, second)
    with pytest.raises(NotInStore):
        sign(local, "0" * 64, first)


def test_an_encrypted_key_takes_its_password_from_the_environment(
    local: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = small(local).digest
    locked = ("-aes-256-cbc", "-pass", "pass:open sesame")
    private = openssl("genpkey", "-algorithm", "ed25519", *locked)
    with pytest.raises(ConfigError, match=f"encrypted; put its password into {PASSWORD}"):
        sign(local, digest, private)
    monkeypatch.setenv(PASSWORD, "wrong")
    with pytest.raises(ConfigError, match="is wrong"):
        sign(local, digest, private)
    monkeypatch.setenv(PASSWORD, "open sesame")
    name = sign(local, digest, private)
    public = openssl("pkey", "-pubout", "-passin", "pass:open sesame", given=private)
    assert [(x.keyid, x.verdict) for x in verify_signatures(local, digest, [public])] == [
        (name, Verdict.VALID)
    ]
    monkeypatch.setenv(PASSWORD, "of another key")
    plain, _ = key_pair()
    assert sign(local, digest, plain) != name, "a password that is not needed does no harm"


@pytest.mark.parametrize(
    ("algorithm", "options", "kind"),
    [("x25519", (), "X25519"), ("EC", ("-pkeyopt", "ec_paramgen_curve:P-256"), "EC")],
)
def test_keys_of_another_kind_are_refused_in_one_line(
    local: Store, algorithm: str, options: tuple[str, ...], kind: str
) -> None:
    digest = small(local).digest
    private, public = key_pair(algorithm, *options)
    with pytest.raises(ConfigError, match=f"the private key is {kind}; give an Ed25519 key"):
        sign(local, digest, private)
    with pytest.raises(ConfigError, match=f"the public key is {kind}; give an Ed25519 key"):
        verify_signatures(local, digest, [public])
    for text in (b"", b"no key", public):
        with pytest.raises(ConfigError, match="not a private key") as refused:
            sign(local, digest, text)
        assert "\n" not in str(refused.value)
    with pytest.raises(ConfigError, match="not a public key"):
        verify_signatures(local, digest, [private])
