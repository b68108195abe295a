"""
The application that is moved about: it appends numbered records to its volume, and tells a witness which are safe.

A record has 64 bytes: its number, the time, the monotonic time, both in nanoseconds, and a CRC-32 of all that. It is
acknowledged once fsync(2) has returned, never before; where the disk is slow, one fsync covers many records. Started
again, wherever that is, the ledger goes on behind the last record in its volume.

It needs Python's own library only, and is started with ``python -I -S ledger.py`` in the folder of its volume:

===================  ==============================================================================================
variable             what it says
===================  ==============================================================================================
LEDGER_WITNESS       path of the witness's socket
LEDGER_RATE          records a second; 1000 unless given
LEDGER_BALLAST_MIB   how much incompressible data is put beside the ledger when it is started for the first time
===================  ==============================================================================================

To the witness, one line each: ``hello PID LAST TORN``, LAST being the number of the last record found, and TORN
the length in bytes of what was cut off behind it; then ``ack FIRST LAST CRC`` for the records FIRST to LAST.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
import zlib

LEDGER_FILE = "ledger"
BALLAST_FOLDER = "ballast"
BALLAST_SUMS_FILE = "SHA256SUMS"
RECORD_BYTES = 64
FIRST_RECORD = 1
DEFAULT_RATE = 1000
# So that a stop is never far away.
_MOST_AT_ONCE = 500
# What was missed while the disk was slow is not made up for beyond this.
_MOST_BEHIND_SECONDS = 0.5
_BALLAST_FILE_MIB = 16
_MIB = 1024 * 1024
# Of the text before the checksum: number, space, time, space, monotonic time, space.
_TEXT_BYTES = 12 + 1 + 20 + 1 + 20 + 1


class LedgerDamaged(Exception):
    """
    What is in the volume is not what the ledger wrote. Nothing was changed.
    """


def record(number: int, time_ns: int, monotonic_ns: int) -> bytes:
    """
    One record.

    :param number: counts from ``FIRST_RECORD``.
    """
    text = f"{number:012d} {time_ns:020d} {monotonic_ns:020d} ".encode("ascii")
    return text + f"{zlib.crc32(text):08x}\n".encode("ascii")


def record_number(data: bytes) -> int:
    """
    The number of a record.

    :raises LedgerDamaged: this is not a whole, sound record.
    """
    text, checksum = data[:_TEXT_BYTES], data[_TEXT_BYTES:]
    if len(data) != RECORD_BYTES or checksum != f"{zlib.crc32(text):08x}\n".encode("ascii"):
        raise LedgerDamaged(f"no record: {data!r}")
    return int(text[:12])


def opened_ledger(path: str) -> tuple[int, int, int]:
    """
    Open a ledger for appending, made if it is not there. An incomplete last record, which was never acknowledged, is
    cut off; nothing else is.

    :returns: its descriptor, the number of its last record (0: it has none), and how many bytes were cut off.
    :raises LedgerDamaged: its last whole record is not sound.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    size_bytes = os.fstat(descriptor).st_size
    torn_bytes = size_bytes % RECORD_BYTES
    whole_bytes = size_bytes - torn_bytes
    last = 0
    if whole_bytes:
        last = record_number(os.pread(descriptor, RECORD_BYTES, whole_bytes - RECORD_BYTES))
        if last * RECORD_BYTES != whole_bytes:
            raise LedgerDamaged(f"record {last} is the last of {whole_bytes // RECORD_BYTES}")
    if torn_bytes:
        os.ftruncate(descriptor, whole_bytes)
    os.fsync(descriptor)
    sync_folder(os.path.dirname(path) or ".")  # noqa: PTH120  # pathlib is slow to load
    return descriptor, last, torn_bytes


def append(descriptor: int, first: int, count: int) -> bytes:
    """
    Write records and see them safely on disk.

    :returns: the bytes of all of them.
    """
    data = b"".join(record(number, time.time_ns(), time.monotonic_ns()) for number in range(first, first + count))
    unwritten = memoryview(data)
    while unwritten:
        unwritten = unwritten[os.write(descriptor, unwritten) :]
    os.fsync(descriptor)
    return data


def make_ballast(folder: str, size_mib: int) -> None:
    """
    Files of random bytes, and beside them their SHA-256 sums. Harmless where they are already.
    """
    import hashlib

    sums_path = os.path.join(folder, BALLAST_SUMS_FILE)  # noqa: PTH118
    if os.path.exists(sums_path):  # noqa: PTH110
        return
    os.makedirs(folder, exist_ok=True)  # noqa: PTH103
    sums = []
    for number, start_mib in enumerate(range(0, size_mib, _BALLAST_FILE_MIB)):
        name = f"{number:04d}.bin"
        found = hashlib.sha256()
        with open(os.path.join(folder, name), "wb") as file:  # noqa: PTH118, PTH123
            for _ in range(min(_BALLAST_FILE_MIB, size_mib - start_mib)):
                block = os.urandom(_MIB)
                found.update(block)
                file.write(block)
            file.flush()
            os.fsync(file.fileno())
        sums.append(f"{found.hexdigest()}  {name}\n")
    with open(f"{sums_path}.new", "w", encoding="ascii") as file_of_sums:  # noqa: PTH123
        file_of_sums.writelines(sums)
        file_of_sums.flush()
        os.fsync(file_of_sums.fileno())
    os.rename(f"{sums_path}.new", sums_path)  # noqa: PTH104
    sync_folder(folder)


def sync_folder(path: str) -> None:
    """
    See the names in a folder safely on disk.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def due_records(elapsed_seconds: float, rate: float, written: int) -> int:
    """
    How many records are to be written now.

    :param elapsed_seconds: since the first was due.
    :param written: since then.
    """
    return min(_MOST_AT_ONCE, max(0, int(elapsed_seconds * rate) + 1 - written))


def main() -> None:
    """
    Write until told to end.
    """
    told_to_end: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: told_to_end.append(number))
    rate = float(os.environ.get("LEDGER_RATE", DEFAULT_RATE))
    ballast_mib = int(os.environ.get("LEDGER_BALLAST_MIB", "0"))
    if ballast_mib:
        make_ballast(BALLAST_FOLDER, ballast_mib)
    descriptor, last, torn_bytes = opened_ledger(LEDGER_FILE)
    witness = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    witness.connect(os.environ["LEDGER_WITNESS"])
    witness.sendall(f"hello {os.getpid()} {last} {torn_bytes}\n".encode("ascii"))
    begun_at, written = time.monotonic(), 0
    while not told_to_end:
        elapsed_seconds = time.monotonic() - begun_at
        count = due_records(elapsed_seconds, rate, written)
        if count == 0:
            time.sleep(max(0.0, written / rate - elapsed_seconds))
            continue
        data = append(descriptor, last + 1, count)
        witness.sendall(f"ack {last + 1} {last + count} {zlib.crc32(data):08x}\n".encode("ascii"))
        last, written = last + count, written + count
        behind_seconds = time.monotonic() - begun_at - written / rate
        begun_at += max(0.0, behind_seconds - _MOST_BEHIND_SECONDS)
    os.close(descriptor)


if __name__ == "__main__":
    try:
        main()
    except (LedgerDamaged, OSError) as error:
        sys.exit(f"ledger: {error}")
