"""Who stands for a manifest: signing, and telling whose signatures are good."""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from manifests.cli.options import echo_json, json_option, ref_argument, root_option
from manifests.exits import FAILED

if TYPE_CHECKING:
    from manifests.signatures import Checked

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@ref_argument
@root_option
@click.option("--key", required=True, type=_FILE, metavar="FILE", help="Ed25519, private, PEM.")
@json_option
def sign(ref: str, root: str, key: Path, as_json: bool) -> None:
    """Sign the manifest REF with a private key.

    The signature is kept beside the manifest, one a key. It is of the digest, so it stands for all
    that the digest does: data, mixture and order. The password of an encrypted key is taken from
    SCRIPTORIUM_KEY_PASSWORD. `openssl genpkey -algorithm ed25519` makes a key.
    """
    from manifests.errors import ConfigError
    from manifests.objects.refs import Refs
    from manifests.signatures import sign as sign_digest
    from manifests.signatures import signature_file
    from manifests.store import open_store

    pem = _read(key, "--key")
    store = open_store(root)
    digest = Refs(store).resolve(ref).digest
    try:
        keyid = sign_digest(store, digest, pem)
    except ConfigError as error:
        raise ConfigError(f"--key {key}: {error}") from error
    if as_json:
        echo_json({"digest": digest, "keyid": keyid, "file": signature_file(digest, keyid)})
    else:
        click.echo(f"sha256:{digest} is signed by {keyid}")


@click.command("verify-signature")
@ref_argument
@root_option
@click.option(
    "--key",
    "keys",
    required=True,
    multiple=True,
    type=_FILE,
    metavar="PUBLIC",
    help="Ed25519, public, PEM: a key that you trust; may be given several times.",
)
@json_option
def verify_signature(ref: str, root: str, keys: Sequence[Path], as_json: bool) -> None:
    """Tell whose signatures the manifest REF has, and whether they are good.

    A signature by a key that was not given proves nothing. Exit status 0: one by a given key is
    valid and none is broken; 1: not so; 2: no such manifest, or no key.
    """
    from manifests.errors import ConfigError
    from manifests.objects.refs import Refs
    from manifests.signatures import Verdict, verify_signatures
    from manifests.store import open_store

    trusted = [_read(key, "--key") for key in keys]
    store = open_store(root)
    digest = Refs(store).resolve(ref).digest
    try:
        found = verify_signatures(store, digest, trusted)
    except ConfigError as error:
        raise ConfigError(f"--key: {error}") from error
    verdicts = {one.verdict for one in found}
    good = Verdict.VALID in verdicts and Verdict.BROKEN not in verdicts
    if as_json:
        echo_json({"digest": digest, "ok": good, "signatures": [asdict(one) for one in found]})
    else:
        click.echo("\n".join(_text(digest, found)))
    sys.exit(0 if good else FAILED)


def _text(digest: str, found: Sequence["Checked"]) -> list[str]:
    lines = [f"{one.keyid} {one.verdict}{f': {one.why}' if one.why else ''}" for one in found]
    return [f"sha256:{digest}", *(lines or ["nobody has signed it"])]


def _read(file: Path, option: str) -> bytes:
    from manifests.errors import ConfigError

    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigError(f"{option} {file}: cannot be read ({error.strerror})") from error
