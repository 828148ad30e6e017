"""Frames of bytes over a socket: a length, then so many bytes, each awaited no longer than to a deadline."""

import math
import select
import socket
import struct
import time

LONGEST = 64 << 20
"""Bytes of a frame."""
_LENGTH = struct.Struct("!Q")


class Channel:
    """One end of a conversation. Whatever goes wrong is an `OSError`: `TimeoutError` at a deadline.

    Deadlines are readings of `time.monotonic`.
    """

    def __init__(self, end: socket.socket) -> None:
        self._socket = end

    def close(self) -> None:
        self._socket.close()

    def send(self, frame: bytes, deadline: float) -> None:
        self._socket.settimeout(max(0.001, deadline - time.monotonic()))
        self._socket.sendall(_LENGTH.pack(len(frame)) + frame)

    def receive(self, deadline: float = math.inf, watched: "Channel | None" = None) -> bytes:
        """The next frame.

        Args:
            watched: another conversation; it must be silent, and when it is not, its end is gone.

        Raises:
            TimeoutError: the frame is not whole at the deadline.
            ConnectionError: the other end, or the watched one, is gone.
            OSError: the frame is longer than `LONGEST`.
        """
        (length,) = _LENGTH.unpack(self._read(_LENGTH.size, deadline, watched))
        if length > LONGEST:
            raise OSError(f"{length} bytes, at most {LONGEST} are taken")
        return self._read(length, deadline, watched)

    def _read(self, count: int, deadline: float, watched: "Channel | None") -> bytes:
        found = bytearray()
        while len(found) < count:
            self._wait(deadline, watched)
            part = self._socket.recv(min(count - len(found), 1 << 20))
            if not part:
                raise ConnectionError("closed")
            found += part
        return bytes(found)

    def _wait(self, deadline: float, watched: "Channel | None") -> None:
        poll = select.poll()
        for each in (self, watched):
            if each is not None:
                poll.register(each._socket, select.POLLIN)
        left = None if deadline == math.inf else max(0.0, deadline - time.monotonic()) * 1000
        ready = poll.poll(left)
        if not ready:
            raise TimeoutError
        if watched is not None and watched._socket.fileno() in [descriptor for descriptor, _ in ready]:
            raise ConnectionError("the watched end is gone")
