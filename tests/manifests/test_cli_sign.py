import json
from pathlib import Path

import pytest

from manifests.signatures import signature_file
from manifests.store import Store, open_store
from tests.manifests.command_line import Here
from tests.manifests.test_signatures import key_pair
from tests.manifests.verified import small


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    return Here(monkeypatch, capsys)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "root"))


@pytest.fixture
def keys(tmp_path: Path) -> dict[str, str]:
    """Files with the keys of two people, private and public."""
    found = {}
    for name in ("ann", "bob"):
        for kind, pem in zip(("private", "public"), key_pair(), strict=True):
            file = tmp_path / f"{name}.{kind}.pem"
            file.write_bytes(pem)
            found[f"{name} {kind}"] = str(file)
    return found


def test_a_signature_is_good_by_a_key_that_is_trusted(
    store: Store, here: Here, keys: dict[str, str]
) -> None:
    digest = small(store)
    ref, root = f"sha256:{digest}", ("--root", store.url)
    ann, bob = ("--key", keys["ann public"]), ("--key", keys["bob public"])
    status, out, _ = here("verify-signature", ref, *ann, *root)
    assert (status, out) == (1, f"{ref}\nnobody has signed it\n")
    signed = here.fine("sign", ref, "--key", keys["ann private"], *root)
    keyid = signed.split()[-1]
    assert signed == f"{ref} is signed by {keyid}\n"
    assert here.fine("sign", ref, "--key", keys["ann private"], *root) == signed
    assert here.fine("verify-signature", ref, *ann, *root) == f"{ref}\n{keyid} valid\n"
    status, out, _ = here("verify-signature", ref, *bob, *root)
    assert (status, out) == (1, f"{ref}\n{keyid} unknown key\n")
    said = json.loads(here.fine("verify-signature", ref, *bob, *ann, *root, "--json"))
    assert said == {
        "digest": digest,
        "ok": True,
        "signatures": [{"keyid": keyid, "verdict": "valid", "why": ""}],
    }
    said = json.loads(here.fine("sign", ref, "--key", keys["bob private"], *root, "--json"))
    assert store.exists(said["file"])
    out = here.fine("verify-signature", ref, *ann, *root)
    assert sorted(line.split()[1] for line in out.splitlines()[1:]) == ["unknown", "valid"]


def test_one_broken_signature_spoils_the_others(
    store: Store, here: Here, keys: dict[str, str]
) -> None:
    digest = small(store)
    ref, root = f"sha256:{digest}", ("--root", store.url)
    for name in ("ann private", "bob private"):
        keyid = here.fine("sign", ref, "--key", keys[name], *root).split()[-1]
    place = signature_file(digest, keyid)
    store.put(place, store.get(place) + b" ")
    status, out, _ = here("verify-signature", ref, "--key", keys["ann public"], *root)
    assert status == 1
    assert f"{keyid} broken: not an envelope as it is written here" in out
    assert " valid\n" in out


def test_wrong_keys_and_names_are_one_line(
    store: Store, here: Here, keys: dict[str, str], tmp_path: Path
) -> None:
    ref, root = f"sha256:{small(store)}", ("--root", store.url)
    line = here.refused("sign", ref, "--key", keys["ann public"], *root)
    assert line.startswith(f"--key {keys['ann public']}: not a private key")
    line = here.refused("verify-signature", ref, "--key", keys["ann private"], *root)
    assert "not a public key" in line
    absent = str(tmp_path / "absent")
    assert "cannot be read" in here.refused("sign", ref, "--key", absent, *root)
    assert "cannot be read" in here.refused("verify-signature", ref, "--key", absent, *root)
    assert "nothing is published" in here.refused("sign", "x", "--key", keys["ann private"], *root)
    status, _, err = here("verify-signature", ref, *root)
    assert status == 2
    assert "--key" in err
