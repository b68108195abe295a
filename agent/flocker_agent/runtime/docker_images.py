"""
Images of the engine: fetched as a container's policy says, and remembered by where they ran.

With the policy ``always``, the registry is asked before each start. Where it doesn't answer, or refuses, a container is
not started with whatever this host happens to have, but for one case: it ran here before, with that very image. Its
move was cancelled or went back, the host was booted, or it was only changed in something else. Nothing newer can be had
then, the old one has stopped already, and keeping the application down would help nobody; the log says what was done.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from eliot import log_message

from flocker_agent.runtime.docker_engine import DockerEngine, EngineRefused
from flocker_agent.runtime.process_writing import replace_text
from flocker_py.model import Container, PullPolicy
from flocker_py.runtime import ContainerNotPrepared, ContainerRuntimeError
from flocker_py.wire import WireError, json_text, json_value

_NEVER_STARTED = "created"
_SHORT_PATIENCE_SECONDS = 20
"""With a registry that hangs, while something that could run doesn't."""


class Images:
    """
    :param folder: for what is remembered, a file for each container with the policy ``always``; made if it is not
        there.
    """

    def __init__(self, engine: DockerEngine, folder: Path) -> None:
        self._engine = engine
        self._folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def fetch(self, container: Container, *, again: bool, silence_seconds: int | None = None) -> None:
        """
        Have the image of a container that may never have been here.

        :param again: ask the registry even if this host has it.
        :param silence_seconds: after how long without any progress it is given up; None: as usual.
        :raises ContainerNotPrepared: it can't be had.
        """
        image = str(container.image)
        if not again and self._engine.image(image) is not None:
            return
        if container.pull is PullPolicy.NEVER:
            raise ContainerNotPrepared(
                f"Container {container.name!r}: this host does not have the image {image}, and its pull policy is never"
            )
        try:
            self._engine.pull(image, silence_seconds=silence_seconds)
        except EngineRefused as error:
            raise ContainerNotPrepared(
                f"Container {container.name!r}: the image {image} can't be fetched: {error}"
            ) from error

    def fetch_to_start(
        self, container: Container, docker_name: str, present: Mapping[str, Any] | None, *, again: bool
    ) -> None:
        """
        The same for one that is started now.

        :param present: the container as Docker still has it, from an earlier start; None: it hasn't.
        :raises ContainerNotPrepared: it can't be had, and isn't what the container ran with here before.
        """
        ran = self._ran(docker_name, present) if again else None
        here = None if ran is None else self._engine.image(str(container.image))
        if here is None or ran != (container.image, here["Id"]):
            self.fetch(container, again=again)
            return
        try:
            self.fetch(container, again=True, silence_seconds=_SHORT_PATIENCE_SECONDS)
        except ContainerNotPrepared as error:
            log_message(
                message_type="flocker:docker:image-not-fetched-again",
                name=container.name,
                started_with=here["Id"],
                reason=str(error),
            )

    def remember(self, container: Container, docker_name: str) -> None:
        """
        The container has been started with the image that this host has.
        """
        if container.pull is not PullPolicy.ALWAYS:
            return
        try:
            here = self._engine.image(str(container.image))
            if here is not None:
                replace_text(str(self._folder / docker_name), json_text([container.image, here["Id"]]))
        except (OSError, ContainerRuntimeError) as error:
            # It only makes a later start more demanding.
            log_message(message_type="flocker:docker:image-not-remembered", name=container.name, reason=str(error))

    def _ran(self, docker_name: str, present: Mapping[str, Any] | None) -> tuple[str, str] | None:
        """
        What image the container last ran with here: its name, and the id that this had then; None: nobody knows.
        """
        if present is not None and present["State"]["Status"] != _NEVER_STARTED:
            return str(present["Config"]["Image"]), str(present["Image"])
        try:
            name, image_id = json_value((self._folder / docker_name).read_text())
        except (OSError, WireError, ValueError, TypeError):
            # Also where the host lost its power while it was written.
            return None
        return str(name), str(image_id)
