"""
Connections that deliver in order, late, or not at all; and partitions.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.simulation.scheduler import Event, Life

if TYPE_CHECKING:
    from tests.simulation.world import World

LEAST_SECONDS, MOST_SECONDS = 0.001, 0.02


class Network:
    """
    Who can't reach whom, and until when.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._until: dict[tuple[str, str], float] = {}
        self._lasting: dict[tuple[str, str], float] = {}
        self.connections: set[Connection] = set()

    def blocked_seconds(self, source: str, target: str) -> float:
        """
        For how long nothing more gets from one to the other; 0: it does.
        """
        return max(0.0, self._until.get((source, target), 0.0) - self._world.scheduler.now)

    def part(self, fault: str) -> None:
        """
        Cut the network in two, in both directions or in one, for a while.
        """
        world, chance = self._world, self._world.chance
        names = ["control", *(node.name for node in world.nodes.values())]
        away = [name for name in names if chance.draw(f"{fault} {name}") < 0.35] or [chance.pick(fault, names)]
        seconds = chance.pick(f"{fault} seconds", (0.5, 5.0, 15.0, 30.0, 45.0))
        direction = chance.pick(f"{fault} direction", ("both", "both", "in", "out"))
        until = world.scheduler.now + seconds
        for one in away:
            for other in names:
                if other in away:
                    continue
                if direction != "in":
                    self._until[one, other] = max(until, self._until.get((one, other), 0.0))
                if direction != "out":
                    self._until[other, one] = max(until, self._until.get((other, one), 0.0))
        world.tell(f"the network parts: {', '.join(away)} ({direction}) for {seconds:g} s")
        for connection in sorted(self.connections, key=lambda c: c.number):
            connection.expect_silence()

    def isolate(self, name: str, seconds: float, *, reset: bool) -> None:
        """
        Let one host reach nobody for a while. That outlasts the other faults.

        :param reset: its connections break, instead of falling silent.
        """
        self._part_from_all(name, seconds, hears=False, is_heard=False)
        if reset:
            for connection in sorted(self.connections, key=lambda c: c.number):
                if any(end.name == name for end in connection.ends):
                    connection.cut()

    def delay_answers(self, name: str, delay_seconds: float, seconds: float) -> None:
        """
        One host is still heard while it hears nothing. When it hears what was said to it meanwhile, it is no longer
        heard for a while. That outlasts the other faults.
        """
        self._part_from_all(name, delay_seconds, hears=False, is_heard=True)
        self._world.scheduler.put(
            delay_seconds / 2,
            "the network parts",
            self._world.always,
            lambda: self._part_from_all(name, seconds, hears=True, is_heard=False),
        )

    def _part_from_all(self, name: str, seconds: float, *, hears: bool, is_heard: bool) -> None:
        world = self._world
        until = world.scheduler.now + seconds
        for other in ["control", *(node.name for node in world.nodes.values())]:
            pairs = [] if hears else [(other, name)]
            pairs += [] if is_heard else [(name, other)]
            for pair in pairs:
                self._until[pair] = self._lasting[pair] = max(until, self._until.get(pair, 0.0))
        what = "hears nothing" if is_heard else "isn't heard" if hears else "is alone"
        world.tell(f"the network parts: {name} {what} for {seconds:g} s")
        for connection in sorted(self.connections, key=lambda c: c.number):
            connection.expect_silence()

    def heal(self) -> None:
        """
        Everybody reaches everybody but who is isolated.
        """
        self._until = dict(self._lasting)


class End:
    """
    One end of a connection.

    :param lost: told when this end learns that the connection is gone.
    """

    def __init__(self, connection: Connection, name: str, life: Life, lost: Callable[[], None]) -> None:
        self.connection = connection
        self.name = name
        self.life = life
        self.open = True
        self.peer: End = self
        self._lost = lost
        self._waiting: deque[tuple[str, Callable[[], None]]] = deque()
        self._silence: Event | None = None
        self._flight: Event | None = None

    def send(self, label: str, deliver: Callable[[], None]) -> None:
        """
        Something for the other end.
        """
        if not self.open:
            return
        self._queue(label, deliver)

    def close(self) -> None:
        """
        Hang up. The other end learns of it after all that was sent before.
        """
        if self.open:
            self._shut()
            self._queue("close", self.peer.lose)

    def vanish(self) -> None:
        """
        The host is gone without a word.
        """
        if self.open:
            self._shut()
            self.peer.fall_silent()

    def lose(self) -> None:
        """
        This end learns that the connection is gone.
        """
        if self.open:
            self._shut()
            self._lost()

    def fall_silent(self) -> None:
        """
        Nothing is heard any more. After a time this end takes the other for dead.
        """
        connection = self.connection
        if self._silence is None and self.open:
            name = connection.world.chance.numbered(f"silence {connection.name} {self.name}")
            wait_seconds = connection.world.chance.seconds(
                name, connection.silence_seconds, connection.silence_seconds * 1.25
            )
            self._silence = connection.world.scheduler.put(
                wait_seconds, f"{connection.name}: {self.name} hears nothing", self.life, self._give_up, timer=True
            )

    def drop(self) -> None:
        """
        What is under way from here never arrives.
        """
        self._waiting.clear()
        if self._flight is not None:
            self._flight.cancel()

    def _give_up(self) -> None:
        self._silence = None
        blocked = self.connection.world.network.blocked_seconds(self.peer.name, self.name) > 0
        if self.open and (blocked or not self.peer.open):
            self._shut()
            self._queue("close", self.peer.lose)
            self._lost()

    def _shut(self) -> None:
        self.open = False
        if self._silence is not None:
            self._silence.cancel()
        if not self.peer.open:
            self.connection.world.network.connections.discard(self.connection)

    def _queue(self, label: str, deliver: Callable[[], None]) -> None:
        self._waiting.append((label, deliver))
        if len(self._waiting) == 1:
            self._send_next()

    def _send_next(self) -> None:
        connection, world = self.connection, self.connection.world
        label = self._waiting[0][0]
        where = f"{connection.name} {self.name}: {label}"
        seconds = world.chance.seconds(world.chance.numbered(where), LEAST_SECONDS, MOST_SECONDS)
        late = world.chance.happens("delay", where)
        if late:
            seconds += world.chance.pick(late, (0.2, 1.0, 5.0, 14.0))
        seconds += world.network.blocked_seconds(self.name, self.peer.name)
        self._flight = world.scheduler.put(seconds, where, world.always, self._arrive)

    def _arrive(self) -> None:
        world = self.connection.world
        blocked_seconds = world.network.blocked_seconds(self.name, self.peer.name)
        if blocked_seconds > 0:
            self._flight = world.scheduler.put(
                blocked_seconds, f"{self.connection.name} again", world.always, self._arrive
            )
            return
        label, deliver = self._waiting.popleft()
        if not self.peer.life.alive or not self.peer.open:
            self.drop()
            return
        if label != "close" and world.chance.happens("cut", f"{self.connection.name} {self.name}: {label}"):
            self.connection.cut()
            return
        if self._waiting:
            self._send_next()
        deliver()


class Connection:
    """
    Two ends.

    :param silence_seconds: after which an end that hears nothing takes the other for dead.
    """

    def __init__(self, world: World, name: str, *, silence_seconds: float) -> None:
        world.connection_number += 1
        self.world = world
        self.name = name
        self.number = world.connection_number
        self.silence_seconds = silence_seconds
        self.ends: list[End] = []

    def add(self, name: str, life: Life, lost: Callable[[], None]) -> End:
        """
        An end. A connection has two.
        """
        end = End(self, name, life, lost)
        self.ends.append(end)
        if len(self.ends) == 2:
            self.ends[0].peer, self.ends[1].peer = self.ends[1], self.ends[0]
            self.world.network.connections.add(self)
        return end

    def cut(self) -> None:
        """
        Broken somewhere on the way: what was under way is lost, and both ends learn of it, each in its own time.
        """
        for end in self.ends:
            end.drop()
            seconds = self.world.chance.seconds(
                self.world.chance.numbered(f"loss {self.name} {end.name}"), LEAST_SECONDS, 3.0
            )
            self.world.scheduler.put(seconds, f"{self.name}: {end.name} loses it", end.life, end.lose)

    def expect_silence(self) -> None:
        """
        The network has parted: ends that hear nothing will give up, if it lasts.
        """
        for end in self.ends:
            if end.open and self.world.network.blocked_seconds(end.peer.name, end.name) > self.silence_seconds:
                end.fall_silent()
