"""From the command line to the teachers of a run: which endpoints, which model for which role."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from infra.teacher.models import Endpoint, Teacher
from infra.teacher.resolve import resolve
from manifests.errors import ConfigError

ROLES = frozenset({"writer", "curator", "critic", "solver", "transformer"})
"""Every role that a generator of the catalog asks for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Teachers:
    """The models of a run."""

    roles: Mapping[str, str]
    """Role to `model@revision`; `writer` is among them, or there are none."""
    endpoints: tuple[Endpoint, ...] = ()
    """None when only planned."""


NOBODY = Teachers(roles={})
"""For recipes that ask no teacher; the others refuse it."""


def find_teachers(
    urls: Sequence[str], model: str | None, roles: Mapping[str, tuple[str, str]]
) -> Teachers:
    """The teachers behind these URLs, and for some roles behind others.

    Args:
        urls: Of the endpoints that serve the writer, and every role not named.
        model: Its name, `NAME` or `NAME@REVISION`; None takes the only one served.
        roles: Model and URL of the roles that another model plays.

    Raises:
        ConfigError, TeacherMisconfigured, TeacherUnavailable: One line that says what to do.
    """
    for url in (*urls, *(url for _, url in roles.values())):
        check_url(url)
    writer = asyncio.run(resolve(urls, model))
    endpoints = list(writer)
    named = {"writer": writer[0].teacher.name}
    for role, (name, url) in roles.items():
        found = asyncio.run(resolve([url], name))
        named[role] = found[0].teacher.name
        endpoints += [e for e in found if e not in endpoints]
    return Teachers(roles=named, endpoints=tuple(endpoints))


def check_url(url: str) -> None:
    """See that this may be the URL of a teacher.

    Raises:
        ConfigError: It cannot.
    """
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable or re.search(r"\s", url):
        raise ConfigError(f"{url!r} is not the URL of a teacher: expected http://HOST:PORT")


def planned_teachers(model: str | None, roles: Mapping[str, tuple[str, str]]) -> Teachers:
    """The teachers of a plan that contacts nobody: addresses hold if the revisions do."""
    if model is None:
        raise ConfigError("give --model NAME@REVISION, or --teacher URL to ask which it serves")
    named = {"writer": Teacher.parse(model).name}
    return Teachers(roles=named | {r: Teacher.parse(name).name for r, (name, _) in roles.items()})


def parse_roles(given: Sequence[str]) -> dict[str, tuple[str, str]]:
    """`critic=NAME=URL` texts, by role.

    Raises:
        ConfigError: Not of that form, or a role given twice.
    """
    roles: dict[str, tuple[str, str]] = {}
    for text in given:
        role, _, rest = text.partition("=")
        model, _, url = rest.partition("=")
        if not (role and model and url):
            raise ConfigError(
                f"--role {text}: expected ROLE=MODEL=URL, as in critic=judge=http://h:1"
            )
        if role not in ROLES:
            known = ", ".join(sorted(ROLES - {"writer"}))
            raise ConfigError(f"--role {role}: no generator asks a {role}; roles are {known}")
        if role in roles or role == "writer":
            raise ConfigError(f"--role {role}: given twice (the writer is --teacher and --model)")
        roles[role] = (model, url)
    return roles
