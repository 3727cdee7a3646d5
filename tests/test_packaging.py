"""The packages as others get them: importable from anywhere, quick to start, whole, pinned."""

import os
import re
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REPOSITORY = Path(__file__).parents[1]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))
PACKAGES = ("manifests", "generators", "filters", "infra", "trainer", "pipelines")
HEAVY = ("ray", "torch", "vllm", "pyarrow", "openai", "datatrove", "apache_beam")
COMMANDS = {
    "manifests": ("", "step", "step list", "init", "plan", "build", "show", "gc", "completion"),
    "pipelines": ("", "run", "plan", "status", "show", "quickstart", "recipes"),
    "infra.teacher": ("", "serve", "check"),
    "infra.simulated": ("",),
    "infra.sandbox": ("", "check", "run"),
    "infra.setup": ("",),
}
ORIGINS = f"""
import importlib
for name in {PACKAGES}:
    print(importlib.import_module(name).__file__)
"""
HELP = """
import runpy, sys
package, verbs, heavy = sys.argv[1], sys.argv[2].split(","), set(sys.argv[3].split(","))
for verb in verbs:
    sys.argv = [package, *verb.split(), "--help"]
    try:
        runpy.run_module(package, run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        print("ended", ended.code)
print("heavy:", *sorted(heavy & set(sys.modules)))
"""


def python(*arguments: str, cwd: Path, path: Path | None = None) -> str:
    """What a fresh interpreter prints."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    if path:
        environment["PYTHONPATH"] = str(path)
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def tracked() -> list[Path]:
    """Files that git knows and that are there."""
    listing = ["git", "-C", str(REPOSITORY), "ls-files", "-z"]
    done = subprocess.run(listing, capture_output=True, check=False)
    if done.returncode:
        pytest.skip("not a git checkout")
    paths = [REPOSITORY / name for name in done.stdout.decode().split("\0") if name]
    return [path for path in paths if path.is_file()]


def origins(out: str) -> list[Path]:
    return [Path(line).resolve().parent for line in out.splitlines()]


@pytest.mark.parametrize("flags", [(), ("-P",)], ids=["plain", "safe_path"])
def test_the_packages_are_those_of_the_repository_from_anywhere(
    flags: tuple[str, ...], tmp_path: Path
) -> None:
    out = python(*flags, "-c", ORIGINS, cwd=tmp_path, path=REPOSITORY)
    assert origins(out) == [REPOSITORY / name for name in PACKAGES]


def test_the_packages_are_importable_from_the_repository_without_a_path() -> None:
    out = python("-c", ORIGINS, cwd=REPOSITORY)
    assert origins(out) == [REPOSITORY / name for name in PACKAGES]


@pytest.mark.parametrize("package", COMMANDS)
def test_help_comes_without_heavy_libraries(package: str, tmp_path: Path) -> None:
    verbs, heavy = ",".join(COMMANDS[package]), ",".join(HEAVY)
    out = python("-c", HELP, package, verbs, heavy, cwd=tmp_path, path=REPOSITORY)
    endings = re.findall(r"^ended (\d+)$", out, re.MULTILINE)
    assert endings == ["2" if package == "infra.setup" else "0"] * len(COMMANDS[package])
    assert len(re.findall(r"^usage: ", out, re.MULTILINE | re.IGNORECASE)) == len(endings)
    assert re.search(r"^heavy:[ \t]*$", out, re.MULTILINE), out.splitlines()[-1]


def test_the_rows_are_importable_without_heavy_libraries(tmp_path: Path) -> None:
    code = f"import sys, manifests.records; print(sorted({set(HEAVY)} & set(sys.modules)))"
    assert python("-c", code, cwd=tmp_path, path=REPOSITORY) == "[]\n"


def test_a_heavy_library_would_be_noticed(tmp_path: Path) -> None:
    (tmp_path / "careless.py").write_text("import pyarrow")
    out = python("-c", HELP, "careless", "", ",".join(HEAVY), cwd=tmp_path, path=tmp_path)
    assert "heavy: pyarrow" in out


def test_every_file_of_a_package_that_is_no_python_is_package_data() -> None:
    data = PROJECT["tool"]["setuptools"]["package-data"]
    globs = [f"{package.replace('.', '/')}/{glob}" for package in data for glob in data[package]]
    names = [str(path.relative_to(REPOSITORY)) for path in tracked()]
    ours = [n for n in names if n.split("/")[0] in PACKAGES and not n.endswith(".py")]
    assert any(name.startswith("generators/prompts/") for name in ours)
    assert [name for name in ours if not any(fnmatch(name, glob) for glob in globs)] == []


def test_every_folder_with_code_is_a_package() -> None:
    include = PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]
    assert sorted(include) == sorted(f"{name}*" for name in PACKAGES)
    folders = {path.parent for path in tracked() if path.suffix == ".py"}
    ours = [f for f in folders if f.relative_to(REPOSITORY).parts[:1] and f != REPOSITORY]
    ours = [f for f in ours if f.relative_to(REPOSITORY).parts[0] in PACKAGES]
    assert len(ours) > len(PACKAGES)
    assert [str(folder) for folder in ours if not (folder / "__init__.py").is_file()] == []


def pins() -> dict[str, str]:
    lines = (REPOSITORY / "requirements" / "main.lock").read_text("utf-8").split()
    found = dict(line.split("==") for line in lines)
    return {str(canonicalize_name(name)): version for name, version in found.items()}


def named_dependencies() -> list[Requirement]:
    project = PROJECT["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    return [Requirement(text) for group in groups for text in group]


@pytest.mark.parametrize("dependency", named_dependencies(), ids=str)
def test_the_lock_pins_what_the_project_names(dependency: Requirement) -> None:
    if dependency.name == "vllm":
        return  # it has a lock of its own
    version = pins()[canonicalize_name(dependency.name)]
    assert dependency.specifier.contains(version), version


def test_the_teacher_has_a_lock_of_its_own() -> None:
    lock = (REPOSITORY / "requirements" / "teacher.lock").read_text("utf-8")
    assert re.search(r"^vllm(?:-cpu)?==\S+$", lock, re.MULTILINE)


FOREIGN = {
    # Written so that this file does not name what it looks for.
    "a path of one machine": r"(?<![\w.)*>-])/(?:wor[k]|tmp/[w]|hom[e]/\w+|roo[t])/",
    "the host of a package registry": r"pyp[i]\.org|python[h]osted|npm[j]s|debian\.(?:or[g]|net)",
    "how it was written": r"(?i)\bclaud[e]\b|anthropi[c]|chat[g]pt|copilo[t]|co-authored-b[y]"
    r"|sub-?agen[t]|\bthis sessio[n]\b|\bthe brie[f]\b|as instructe[d]",
}


@pytest.mark.parametrize("what", FOREIGN)
def test_nothing_in_the_repository_names_what_is_foreign_to_it(what: str) -> None:
    found = []
    for path in tracked():
        if path.suffix == ".lock":
            continue  # names of other people's packages
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError:
            continue
        for match in re.finditer(FOREIGN[what], text):
            found.append(f"{path.relative_to(REPOSITORY)}: {match[0]}")
    assert found == []
