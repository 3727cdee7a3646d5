"""Every error this project raises on purpose.

    ScriptoriumError
    ├── ConfigError             what a person gave is wrong: fix the input (exit 2)
    │   └── StoreUnfit          the root cannot create an object only if it is absent
    ├── DataError               bytes or rows break the contract
    │   ├── ShardCorrupt        bytes differ from what the commit says
    │   └── NotInStore          an object that should be there is not
    ├── Conflict                that name exists with other content
    ├── StoreFull               no room left: nothing committed is lost, free space and run again
    └── ServiceError            something outside failed
        ├── TeacherUnavailable  no replica answers; safe to retry
        ├── TeacherMisconfigured  401, 403, 404, a wrong model: stop the run, say what to fix
        ├── PromptRefused       400, 413, 422: this prompt will never work; becomes a Rejection
        └── SandboxUnavailable  no sandbox can be had here: code is never run without one

A message is one line: what, which, expected, what to do. All are picklable (one string argument).
"""


class ScriptoriumError(Exception):
    """The root: a command prints it as one line, without a traceback."""


class ConfigError(ScriptoriumError, ValueError):
    """What a person gave is wrong; exit status 2."""


class StoreUnfit(ConfigError):
    """The root has no create-only-if-absent, so commits could be lost or doubled."""


class DataError(ScriptoriumError):
    """Bytes or rows break the contract."""


class ShardCorrupt(DataError):
    """Bytes differ from what the commit says."""


class NotInStore(DataError, KeyError):
    """An object that should be there is not."""

    __str__ = Exception.__str__


class Conflict(ScriptoriumError):
    """That name exists with other content."""


class StoreFull(ScriptoriumError, OSError):
    """No room left in the store; nothing committed is lost."""

    __str__ = Exception.__str__


class ServiceError(ScriptoriumError):
    """Something outside failed."""


class TeacherUnavailable(ServiceError, ConnectionError):
    """No replica answers; safe to retry."""

    __str__ = Exception.__str__


class TeacherMisconfigured(ServiceError):
    """The endpoint refuses every call (401, 403, 404, wrong model): the run stops at once."""


class PromptRefused(ServiceError):
    """This prompt will never be answered (400, 413, 422); it becomes a Rejection."""


class SandboxUnavailable(ServiceError):
    """No sandbox can be had here; code is never run without one."""
