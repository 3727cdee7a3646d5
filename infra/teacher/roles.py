"""Which teacher plays which role."""

from collections.abc import Mapping, Sequence

from infra.teacher.models import Teacher
from manifests.errors import ConfigError


def cast_roles(roles: Mapping[str, str], teachers: Sequence[str]) -> dict[str, str]:
    """Role to full teacher name, `writer` always among them."""
    if not teachers:
        raise ConfigError("a teacher pool needs at least one endpoint")
    cast = {}
    for role, wanted in roles.items():
        fit = [t for t in teachers if wanted in (t, Teacher.parse(t).model)]
        if len(fit) != 1:
            have = ", ".join(teachers)
            raise ConfigError(f"role {role!r} wants teacher {wanted!r}; there are: {have}")
        cast[role] = fit[0]
    if "writer" not in cast:
        if len(teachers) > 1:
            raise ConfigError(f"which of {', '.join(teachers)} is the writer? name it in roles")
        cast["writer"] = teachers[0]
    return cast
