"""Checkpoints of a phase as directories: there whole under their name, or not at all.

A checkpoint is written beside its name (`step-00000010.part`) and renamed when all of it is on the
disk; one that goes is renamed (`.gone`) before it is removed. So a kill at any moment leaves the
last whole one as it was, and what has an ending is rubbish. The sizes of all files stand in
`state.json`, which is written last: a copy that broke off is seen.
"""

import os
import re
import shutil
from pathlib import Path

from manifests.errors import ConfigError, DataError
from manifests.fingerprint import sha256
from trainer.loop.state import STATE_FILE, State, read_state, write_state

_NAME = re.compile(r"step-([0-9]{8,})")
_RUBBISH = re.compile(rf"{_NAME.pattern}\.(part|gone)")


def refuse_unwritable(out: Path) -> None:
    """Raise ConfigError where a run's folder can be neither made nor written to."""
    nearest = next(path for path in (out, *out.parents) if path.exists())
    if not nearest.is_dir():
        raise ConfigError(f"--out {out}: {nearest} is a file; give a folder, or a new name")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise ConfigError(f"--out {out}: you may not write to {nearest}; give another")


def directory_of(folder: Path, step: int) -> Path:
    """The checkpoint after `step` steps."""
    return folder / f"step-{step:08d}"


def steps_of(folder: Path) -> list[int]:
    """Steps that there are checkpoints of, whole by their name, in order."""
    if not folder.is_dir():
        return []
    found = (_NAME.fullmatch(path.name) for path in folder.iterdir())
    return sorted(int(name[1]) for name in found if name)


def part_of(folder: Path, step: int) -> Path:
    """Where the checkpoint after `step` steps is written, until it is whole."""
    path = directory_of(folder, step)
    return path.with_name(f"{path.name}.part")


def begin(folder: Path, step: int) -> Path:
    """An empty directory to write the checkpoint after `step` steps into."""
    part = part_of(folder, step)
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    return part


def publish(part: Path, state: State) -> Path:
    """Give a checkpoint, written whole, its state and its name; where it is then.

    One that has the name already stays: it was written by the same steps.
    """
    whole = part.with_suffix("")
    write_state(part, state)
    for path in [*(found for found in part.rglob("*")), part]:
        _sync(path)
    if whole.exists():
        shutil.rmtree(part)
    else:
        part.rename(whole)
    _sync(whole.parent)
    return whole


def clean(folder: Path) -> list[str]:
    """Remove what was left half written or half removed; the names."""
    rubbish = folder.iterdir() if folder.is_dir() else ()
    names = [path.name for path in rubbish if _RUBBISH.fullmatch(path.name)]
    for name in names:
        shutil.rmtree(folder / name)
    return sorted(names)


def prune(folder: Path, keep: int) -> list[int]:
    """Remove all but the newest `keep` checkpoints; 0 keeps all. The steps that went."""
    old = steps_of(folder)[:-keep] if keep else []
    for step in old:
        remove(directory_of(folder, step))
    return old


def remove(path: Path) -> None:
    """Remove a checkpoint, of which no half is ever seen under its name."""
    gone = path.with_name(f"{path.name}.gone")
    path.rename(gone)
    _sync(path.parent)
    shutil.rmtree(gone)


def newest(folder: Path) -> tuple[Path, State] | None:
    """The newest checkpoint of a phase; None when there is none.

    Raises:
        DataError: It is broken: somebody has to look before a run goes on from an older one.
    """
    steps = steps_of(folder)
    return open_checkpoint(directory_of(folder, steps[-1])) if steps else None


def open_checkpoint(path: Path) -> tuple[Path, State]:
    """A checkpoint, or the newest one of a phase's folder or of a phase.

    Raises:
        ConfigError: There is none.
        DataError: It is broken: files are missing, or are others than when it was written.
    """
    if not (path / STATE_FILE).is_file():
        for folder in (path, path / "checkpoints"):
            if steps := steps_of(folder):
                return open_checkpoint(directory_of(folder, steps[-1]))
        raise ConfigError(
            f"{path}: no checkpoint; give one such as OUT/pretrain/checkpoints/step-00000100"
        )
    state = read_state(path)
    for name, size in state.files.items():
        if not _as_written(path / name, size, state.digests.get(name)):
            raise DataError(
                f"{path}: {name} is not as it was written ({size:,} bytes); copy the checkpoint"
                " again, or remove its directory to go on from an older one"
            )
    return path, state


def _as_written(file: Path, size: int, digest: str | None) -> bool:
    if not file.is_file() or file.stat().st_size != size:
        return False
    return digest is None or sha256(file.read_bytes()) == digest


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
