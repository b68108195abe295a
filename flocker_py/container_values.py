"""
Values that fields of containers can have, and what is said about others.

Each function takes what somebody wrote and answers it in its one spelling, or raises ``ValueUnusable``.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from flocker_py.errors import FlockerError

LOWEST_CPUS = 0.01
"""What Docker gives at the least."""
HIGHEST_CPUS = 4096
HIGHEST_PIDS = 2**22
"""Linux has no more processes: PID_MAX_LIMIT, proc(5)."""
HIGHEST_SWAPPINESS = 100
LONGEST_DURATION_SECONDS = 86_400
HIGHEST_HEALTH_RETRIES = 1000
LOG_OPTIONS = 64
LOG_DRIVER_PATTERN = r"[a-zA-Z0-9][a-zA-Z0-9_./:-]{0,127}"
LOG_DRIVER_MEANING = "the name of a log driver: letters, digits, '_', '.', '/', ':' or '-'"
USER_PATTERN = r"[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,31}\$?(:[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,31}\$?)?"
USER_MEANING = "a name or number of a user, and perhaps a group after a colon"
OPTION_PATTERN = r"[a-zA-Z0-9_.:/@=,+*-]{1,256}"

_HIGHEST_ID = 2**31 - 1
_HIGHEST_SIGNAL = 64
# Numbers of Linux, but for Alpha, MIPS, PARISC and SPARC: signal(7).
_SIGNALS = {
    "HUP": 1,
    "INT": 2,
    "QUIT": 3,
    "ILL": 4,
    "TRAP": 5,
    "ABRT": 6,
    "BUS": 7,
    "FPE": 8,
    "KILL": 9,
    "USR1": 10,
    "SEGV": 11,
    "USR2": 12,
    "PIPE": 13,
    "ALRM": 14,
    "TERM": 15,
    "STKFLT": 16,
    "CHLD": 17,
    "CONT": 18,
    "STOP": 19,
    "TSTP": 20,
    "TTIN": 21,
    "TTOU": 22,
    "URG": 23,
    "XCPU": 24,
    "XFSZ": 25,
    "VTALRM": 26,
    "PROF": 27,
    "WINCH": 28,
    "IO": 29,
    "PWR": 30,
    "SYS": 31,
    "RTMIN": 34,
    "RTMAX": 64,
    **{f"RTMIN+{above}": 34 + above for above in range(1, 16)},
    **{f"RTMAX-{below}": 64 - below for below in range(1, 15)},
}
_SIGNAL_NAMES = {number: f"SIG{name}" for name, number in _SIGNALS.items()}
# Nothing ends by these: the one stops, the other goes on.
_USELESS = ("STOP", "CONT")

# capabilities(7), Linux 6.12.
CAPABILITIES = (
    *("AUDIT_CONTROL", "AUDIT_READ", "AUDIT_WRITE", "BLOCK_SUSPEND", "BPF", "CHECKPOINT_RESTORE", "CHOWN"),
    *("DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "IPC_LOCK", "IPC_OWNER", "KILL", "LEASE"),
    *("LINUX_IMMUTABLE", "MAC_ADMIN", "MAC_OVERRIDE", "MKNOD", "NET_ADMIN", "NET_BIND_SERVICE", "NET_BROADCAST"),
    *("NET_RAW", "PERFMON", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYSLOG", "SYS_ADMIN", "SYS_BOOT"),
    *("SYS_CHROOT", "SYS_MODULE", "SYS_NICE", "SYS_PACCT", "SYS_PTRACE", "SYS_RAWIO", "SYS_RESOURCE", "SYS_TIME"),
    *("SYS_TTY_CONFIG", "WAKE_ALARM"),
)
ALL_CAPABILITIES = "ALL"

# What the engine itself knows. Docker's own client makes other things of systempaths and of seccomp's files.
_SECURITY = {
    "apparmor": None,
    "label": None,
    "seccomp": ("unconfined", "builtin"),
}
_NO_NEW_PRIVILEGES = "no-new-privileges"


class ValueUnusable(FlockerError):
    """
    A field of a container can't have this value. The text says which ones it can have.
    """

    lasting = True


def signal_name(written: object) -> str:
    """
    A signal by its name: ``SIGINT`` for ``int``, ``SIGINT`` and 2.

    :raises ValueUnusable: there is no such signal, or nothing can end by it.
    """
    name = written.upper().removeprefix("SIG") if isinstance(written, str) else ""
    number = int(written) if isinstance(written, str) and re.fullmatch(r"[0-9]{1,2}", written, re.ASCII) else written
    if type(number) is int:
        name = _SIGNAL_NAMES.get(number, "").removeprefix("SIG")
    if name not in _SIGNALS:
        wrong = repr(written)[:60]
        raise ValueUnusable(f"must be a signal such as SIGINT, or its number up to {_HIGHEST_SIGNAL}, not {wrong}")
    if name in _USELESS:
        raise ValueUnusable(f"SIG{name} ends nothing: choose another signal")
    return f"SIG{name}"


def capability(written: str) -> str:
    """
    A capability by its name: ``NET_ADMIN`` for ``net_admin`` and ``CAP_NET_ADMIN``.

    :raises ValueUnusable: Linux has none of that name.
    """
    name = written.upper().removeprefix("CAP_")
    if name != ALL_CAPABILITIES and name not in CAPABILITIES:
        close = difflib.get_close_matches(name, CAPABILITIES, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise ValueUnusable(f"must be a capability of Linux such as NET_ADMIN, or ALL, not {written[:60]!r}{hint}")
    return name


def security_option(written: str) -> str:
    """
    An option of Docker's ``--security-opt`` in its one spelling: ``no-new-privileges``, or ``name=value``.

    :raises ValueUnusable: it is none that can be given to an engine on any node.
    """
    found = re.fullmatch(r"([a-z-]+)(?:[=:](.+))?", written)
    name, setting = (found[1], found[2]) if found else ("", None)
    if name == _NO_NEW_PRIVILEGES:
        if setting not in (None, "true", "false"):
            raise ValueUnusable(f"{name} is true or false, not {setting!r}")
        return f"{name}=false" if setting == "false" else name
    if name not in _SECURITY:
        names = ", ".join((_NO_NEW_PRIVILEGES, *(f"{each}=…" for each in _SECURITY)))
        raise ValueUnusable(f"must be one of {names}, not {written[:60]!r}")
    if setting is None or not re.fullmatch(OPTION_PATTERN, setting):
        raise ValueUnusable(f"{name} needs a value of at most 256 letters, digits and signs: {name}=…")
    choices = _SECURITY[name]
    if choices is not None and setting not in choices:
        raise ValueUnusable(f"{name} is {' or '.join(choices)}, and no file: not {setting[:60]!r}")
    return f"{name}={setting}"


def user_complaint(written: str) -> str | None:
    """
    What is wrong with the user of a container, and its group; None: nothing.
    """
    if not re.fullmatch(USER_PATTERN, written, re.ASCII):
        return f"must be {USER_MEANING}, not {written[:60]!r}"
    for part in written.split(":"):
        if part.isdigit() and int(part) > _HIGHEST_ID:
            return f"{part} is no number of a user or group: they end at {_HIGHEST_ID}"
    return None


def capabilities_complaint(add: Iterable[str], drop: Iterable[str]) -> str | None:
    """
    What is wrong with two lists of capabilities together; None: nothing.
    """
    both = sorted(set(add) & set(drop))
    return f"{both[0]} can't be both added and dropped" if both else None


def cpus_complaint(cpus: float) -> str | None:
    """
    What is wrong with a number of processors; None: nothing.
    """
    # What is no number is not between two.
    if LOWEST_CPUS <= cpus <= HIGHEST_CPUS:
        return None
    return f"must be a number of processors from {LOWEST_CPUS} to {HIGHEST_CPUS}, not {cpus}"


def file_complaint(path: str) -> str | None:
    """
    What is wrong with the path of a file on a node; None: nothing.
    """
    if not path.startswith("/") or path.endswith("/") or ".." in path.split("/") or "\n" in path:
        return f"must be the absolute path of a file on its node, without '..', not {path[:60]!r}"
    return None
