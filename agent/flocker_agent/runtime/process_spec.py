"""
What the process runtime makes of a container: which it can't run, and what its supervisor is to execute.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote, unquote

from pyrsistent import pvector

from flocker_agent.runtime.process_files import TOKEN_VARIABLE, Run
from flocker_py.model import Container, ContainerName, DatasetId
from flocker_py.runtime import ContainerRefused, ContainerStartFailed, RuntimeCapabilities

CAPABILITIES = RuntimeCapabilities(
    name="process",
    container_fields=pvector(("command", "environment", "mounts", "stop_grace_seconds", "labels")),
    mount_paths=False,
    leases=True,
)

CONTAINER_VARIABLE = "FLOCKER_CONTAINER"
VOLUME_VARIABLE = "FLOCKER_VOLUME"
"""The folder of the first mount; of the mounts in order: FLOCKER_VOLUME_1, FLOCKER_VOLUME_2, …"""

# What systemd gives to services.
SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# A file's name has at most 255 bytes (Linux, NAME_MAX), and logs and their predecessors have endings.
_NAME_LIMIT_BYTES = 240

_REASONS = {
    "image": "a plain process has no image; give a command",
    "ports": "a plain process listens where its own settings say",
    "links": "a plain process reaches other applications as its own settings say",
    "memory_bytes": "a plain process has no limit of memory",
    "cpu_shares": "a plain process has no share of the processors",
    "swappiness": "a plain process has no swappiness of its own",
    "pull": "a plain process has no image to fetch",
    "entrypoint": "a plain process has no image; put all of it into the command",
    "environment_file": "let the program itself read it, or give environment",
    "stop_signal": "a plain process gets SIGTERM",
    "cpus": "a plain process has no limit of processors",
    "pids_limit": "a plain process has no limit of processes",
    "health": "a plain process is not checked",
    "log_driver": "the output of a plain process goes to the log of its runtime",
    "log_options": "the output of a plain process goes to the log of its runtime",
    "read_only": "a plain process has the root file system of the host",
    "user": "a plain process runs as its agent does; let the program itself change that",
    "capabilities_add": "a plain process has the capabilities of its agent",
    "capabilities_drop": "a plain process has the capabilities of its agent",
    "security_options": "a plain process has none",
}


def check(container: Container) -> None:
    """
    Answer whether the container can be run as a plain process.

    :raises ContainerRefused: naming the field and the reason.
    """
    reason = _reason_to_refuse(container)
    if reason is not None:
        raise ContainerRefused(f"Container {container.name!r} can't be run by the runtime 'process': {reason}")


def run_of(container: Container, paths: Mapping[DatasetId, Path], *, token: str, log_path: Path, log_bytes: int) -> Run:
    """
    What a supervisor executes for a container that passed ``check``.

    :raises ContainerStartFailed: a mounted dataset is not on this host.
    """
    missing = [str(mount.dataset_id) for mount in container.mounts if mount.dataset_id not in paths]
    if missing:
        raise ContainerStartFailed(f"Container {container.name!r}: not mounted on this host: {', '.join(missing)}")
    folders = [str(paths[mount.dataset_id]) for mount in container.mounts]
    return Run(
        token=token,
        folder=folders[0] if folders else "/",
        policy=container.restart.name.value,
        maximum_retry_count=container.restart.maximum_retry_count,
        stop_grace_seconds=float(container.stop_grace_seconds),
        log_path=str(log_path),
        log_bytes=log_bytes,
        command=container.command,
        environment={
            "PATH": SEARCH_PATH,
            "LANG": "C.UTF-8",
            **container.environment,
            **_volume_variables(folders),
            CONTAINER_VARIABLE: container.name,
            TOKEN_VARIABLE: token,
        },
    )


def same_run(first: Run, second: Run) -> bool:
    """
    Whether two runs differ in nothing but their tokens.
    """
    return _without_token(first) == _without_token(second)


def folder_name(name: ContainerName) -> str:
    """
    The name of the file or folder that belongs to a container; never hidden, never one that means another folder.
    """
    quoted = quote(name, safe="", errors="surrogatepass")
    return f"%2E{quoted[1:]}" if quoted.startswith(".") else quoted


def container_name(folder: str) -> ContainerName:
    """
    The container that a folder belongs to.
    """
    return ContainerName(unquote(folder, errors="surrogatepass"))


def _reason_to_refuse(container: Container) -> str | None:
    defaults = Container(name=container.name, node_id=container.node_id)
    for field, reason in _REASONS.items():
        if getattr(container, field) != getattr(defaults, field):
            return f"{field}: {reason}"
    if not container.name or len(folder_name(container.name)) > _NAME_LIMIT_BYTES:
        return (
            f"name: must have 1 to {_NAME_LIMIT_BYTES} characters; all but letters, digits and _.-~ count as 3 or more"
        )
    if not container.command or not container.command[0]:
        return "command: is empty"
    for index, mount in enumerate(container.mounts):
        if mount.path is not None:
            return f"mounts[{index}].path: a plain process sees the paths of the host; leave it out"
        if mount.read_only:
            return f"mounts[{index}].read_only: a plain process can write wherever its agent can"
    if container.restart.maximum_retry_count is not None and container.restart.name.value != "on-failure":
        return "restart.maximum_retry_count: only the policy on-failure has one"
    return _reason_in_texts(container)


def _reason_in_texts(container: Container) -> str | None:
    texts = {
        "name": container.name,
        **{f"command[{index}]": word for index, word in enumerate(container.command)},
        **{f"environment[{name!r}]": f"{name}{value}" for name, value in container.environment.items()},
    }
    for place, text in texts.items():
        if "\0" in text:
            return f"{place}: contains a NUL character"
        if not _is_unicode(text):
            return f"{place}: contains half of a surrogate pair"
    for name in container.environment:
        if not name or "=" in name:
            return f"environment[{name!r}]: no name of a variable"
        if name in (CONTAINER_VARIABLE, TOKEN_VARIABLE) or name.startswith(VOLUME_VARIABLE):
            return f"environment[{name!r}]: is set by the runtime"
    return None


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _volume_variables(folders: list[str]) -> dict[str, str]:
    if not folders:
        return {}
    numbered = {f"{VOLUME_VARIABLE}_{number}": folder for number, folder in enumerate(folders, start=1)}
    return {VOLUME_VARIABLE: folders[0], **numbered}


def _without_token(run: Run) -> str:
    return run.to_text().replace(run.token, "")
