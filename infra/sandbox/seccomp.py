"""The system calls a sandboxed program is refused, as a classic BPF program.

Two sorts: doors into rarely used kernel code (mounts, namespaces, ptrace, bpf, io_uring), and ways
to hold memory that no resource limit counts (memfd, System V shared memory).
"""

import platform
import struct

_LOAD, _JUMP_EQUAL, _JUMP_AT_LEAST, _JUMP_ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16
"""Offsets in struct seccomp_data."""
_ALLOW, _KILL_PROCESS, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_EPERM, _ENOSYS = 1, 38
_CLONE_NAMESPACES = 0x7E020000
"""CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET."""
_X32 = 0x40000000
"""x86-64 calls of the x32 ABI have this bit; they are other numbers for the same doors."""

_MACHINES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
"""AUDIT_ARCH_* and the column of the tables below."""
_CLONE, _CLONE3 = (56, 220), 435
_REFUSED = {
    "add_key": (248, 217),
    "bpf": (321, 280),
    "delete_module": (176, 106),
    "finit_module": (313, 273),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "fspick": (433, 433),
    "init_module": (175, 105),
    "io_uring_setup": (425, 425),
    "kexec_file_load": (320, 294),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "perf_event_open": (298, 241),
    "pivot_root": (155, 41),
    "process_madvise": (440, 440),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "ptrace": (101, 117),
    "request_key": (249, 218),
    "setns": (308, 268),
    "shmget": (29, 194),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "userfaultfd": (323, 282),
}


def supported() -> bool:
    """Whether the call numbers of this machine are known here."""
    return platform.machine() in _MACHINES


def program() -> bytes:
    """The filter for this machine, as `bwrap --seccomp` reads it (an array of sock_filter)."""
    architecture, column = _MACHINES[platform.machine()]
    lines = [
        _line(_LOAD, _ARCHITECTURE),
        _line(_JUMP_EQUAL, architecture, yes=1),
        _line(_RETURN, _KILL_PROCESS),
        _line(_LOAD, _NUMBER),
        *_answer(_JUMP_AT_LEAST, _X32, _EPERM),
        *_answer(_JUMP_EQUAL, _CLONE3, _ENOSYS),  # its flags lie in memory: libc retries with clone
    ]
    for numbers in _REFUSED.values():
        lines += _answer(_JUMP_EQUAL, numbers[column], _EPERM)
    lines += [
        _line(_JUMP_EQUAL, _CLONE[column], no=3),
        _line(_LOAD, _FIRST_ARGUMENT),
        *_answer(_JUMP_ANY_BIT, _CLONE_NAMESPACES, _EPERM),
        _line(_RETURN, _ALLOW),
    ]
    return b"".join(lines)


def _answer(test: int, value: int, errno: int) -> list[bytes]:
    return [_line(test, value, no=1), _line(_RETURN, _ERRNO | errno)]


def _line(code: int, value: int, *, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("=HBBI", code, yes, no, value)
