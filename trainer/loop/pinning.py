"""A run holds the manifests that its checkpoints were trained on, so that `gc` keeps them."""

import json
import secrets
from datetime import UTC, datetime
from pathlib import Path

from manifests.errors import ConfigError, DataError
from manifests.objects.pins import pin, pins, unpin
from manifests.store import Store
from trainer.loop.directories import directory_of, steps_of
from trainer.loop.state import read_state

_FILE = "run.json"


def holder_of(out: Path) -> str:
    """The name that a run holds manifests under; made up when its folder is new."""
    file = out / _FILE
    if not file.exists():
        out.mkdir(parents=True, exist_ok=True)
        part = out / f"{_FILE}.part"
        part.write_text(json.dumps({"holder": f"trainer-{secrets.token_hex(8)}"}) + "\n")
        part.replace(file)
    try:
        return str(json.loads(file.read_bytes())["holder"])
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{file}: not the name of a run; copy it again, or remove it: the run gets a new name,"
            " and what the old one holds stays held"
        ) from error


def hold(store: Store, out: Path, digest: str) -> None:
    """Keep a manifest for as long as this run needs it."""
    pin(store, digest, holder_of(out), datetime.now(UTC).isoformat(timespec="seconds"))


def needed(out: Path) -> set[str]:
    """Digests of the manifests that the run's checkpoints were trained on."""
    folders = [path for path in out.glob("*/checkpoints") if path.is_dir()]
    paths = [directory_of(folder, step) for folder in folders for step in steps_of(folder)]
    return {read_state(path).manifest for path in paths}


def let_all_go(store: Store, out: Path) -> list[str]:
    """Hold nothing any longer for a run whose folder is about to go; what went.

    Raises:
        ConfigError: There is no run in that folder.
    """
    if not (out / _FILE).exists():
        raise ConfigError(f"{out}: no run; give the --out of one")
    holder = holder_of(out)
    gone = sorted(one.digest for one in pins(store) if one.who == holder)
    for digest in gone:
        unpin(store, digest, holder)
    return gone


def let_go(store: Store, out: Path, current: str = "") -> list[str]:
    """Hold no longer what no checkpoint of the run needs, nor the current manifest; what went."""
    holder, kept = holder_of(out), needed(out) | {current}
    gone = sorted(one.digest for one in pins(store) if one.who == holder and one.digest not in kept)
    for digest in gone:
        unpin(store, digest, holder)
    return gone
