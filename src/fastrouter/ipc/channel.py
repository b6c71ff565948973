"""One end of the socket pair between the control process and a worker.

What travels is a sequence of frames. One that is marked is a message, a MessagePack array (messages.py); any other is
a batch of table changes. Descriptors travel with the frame of the message that needs them.
"""

import asyncio
import os
import socket
from collections import deque
from collections.abc import Callable, Sequence

import msgspec

from fastrouter.ipc.frames import MARK, MAX_FRAME, next_frame, word_of

# Taken off the socket at a time. A worker handles that much in a millisecond or two, then looks at its clients again.
_READ_SIZE = 64 * 1024
# What the kernel sends at a time (SCM_MAX_FD).
_MAX_DESCRIPTORS = 253

_ENCODER = msgspec.msgpack.Encoder()


class ChannelError(Exception):
    """What came over a channel is not all that was sent; the text says what is missing."""


class Channel:
    """Sends and receives frames without ever blocking; what the peer does not take yet waits here.

    `on_message` and `on_batch` get the frames that come in: the body of a message, a batch with its word. `on_end` is
    called once, when the peer is gone or will send nothing more. The channel owns `end`.

    `on_fault` is called instead, once, with the exception of a handler, or of a send that failed for another reason
    than the peer's end. Frames are useful only in order and without gaps, so no further one is handled or sent: the
    owner of the channel must end its side. Frames with a body of more than `max_frame` bytes, and messages with more
    than `max_descriptors` at once, are such faults.
    """

    def __init__(
        self,
        end: socket.socket,
        *,
        on_message: Callable[[bytes], None],
        on_end: Callable[[], None],
        on_fault: Callable[[Exception], None],
        on_batch: Callable[[bytes], None] | None = None,
        max_frame: int = MAX_FRAME,
        max_descriptors: int = _MAX_DESCRIPTORS,
    ) -> None:
        end.setblocking(False)
        self._end = end
        self._on_message = on_message
        self._on_batch = on_batch
        self._on_end = on_end
        self._on_fault = on_fault
        self._max_frame = max_frame
        self._max_descriptors = max_descriptors
        self._loop = asyncio.get_running_loop()
        self._outgoing: deque[tuple[bytes | memoryview, Sequence[int]]] = deque()
        # Descriptors to be closed as soon as they are sent.
        self._lent: set[int] = set()
        self._is_waiting_to_send = False
        self._can_send = True
        self._is_closed = False
        self._has_failed = False
        self._incoming = bytearray()
        self._descriptors: deque[int] = deque()
        # Bytes that wait for the peer to take them.
        self.unsent = 0
        self._loop.add_reader(end, self._receive)

    def send_message(self, message: msgspec.Struct, descriptors: Sequence[int] = (), *, closes: bool = False) -> None:
        """Send a message; `descriptors` must stay open until the peer has them, which is after its answer.

        With `closes` they are the channel's from now on.
        """
        body = _ENCODER.encode(message)
        if closes:
            self._lent.update(descriptors)
        self.send(word_of(len(body), MARK) + body, descriptors)

    def send(self, frame: bytes, descriptors: Sequence[int] = ()) -> None:
        """Send a whole frame. To a peer that is gone nothing is sent."""
        if not self._can_send:
            self._close_lent(descriptors)
            return
        self._outgoing.append((frame, descriptors))
        self.unsent += len(frame)
        if not self._is_waiting_to_send:
            self._send_waiting()

    def take_descriptor(self) -> int:
        """Return the descriptor that was received first of those not taken yet; the caller owns it.

        Raises ChannelError if there is none.
        """
        if not self._descriptors:
            raise ChannelError("a message speaks of a descriptor that has not come with it")
        return self._descriptors.popleft()

    def stop_sending(self) -> None:
        """Send nothing more, which the peer sees as the end; frames that wait are dropped."""
        if not self._can_send:
            return
        self._give_up_sending()
        try:
            self._end.shutdown(socket.SHUT_WR)
        except OSError:
            # It is gone already.
            return

    def take_rest(self) -> None:
        """Handle what a peer that has ended has sent before; the end of its process may be noticed first."""
        if not self._is_closed and not self._has_failed:
            self._receive()

    def close(self) -> None:
        """Close this end. Nothing is called any more."""
        if self._is_closed:
            return
        self._is_closed = True
        self._give_up_sending()
        self._loop.remove_reader(self._end)
        self._end.close()
        while self._descriptors:
            os.close(self._descriptors.popleft())

    def _send_waiting(self) -> None:
        while self._outgoing:
            frame, descriptors = self._outgoing[0]
            try:
                rights = list(descriptors)
                sent = socket.send_fds(self._end, [frame], rights) if rights else self._end.send(frame)
            except BlockingIOError:
                if not self._is_waiting_to_send:
                    self._is_waiting_to_send = True
                    self._loop.add_writer(self._end, self._send_waiting)
                return
            except (BrokenPipeError, ConnectionResetError):
                # The peer is gone, which the reader is about to find out too.
                self._give_up_sending()
                return
            except OSError as error:
                self._fail(error)
                return
            self.unsent -= sent
            self._close_lent(rights)
            if sent < len(frame):
                # The descriptors went with the first byte.
                self._outgoing[0] = (memoryview(frame)[sent:], ())
            else:
                self._outgoing.popleft()
        self._stop_waiting_to_send()

    def _give_up_sending(self) -> None:
        self._can_send = False
        self._stop_waiting_to_send()
        self._close_lent(list(self._lent))
        self._outgoing.clear()
        self.unsent = 0

    def _close_lent(self, descriptors: Sequence[int]) -> None:
        for descriptor in descriptors:
            if descriptor in self._lent:
                self._lent.remove(descriptor)
                os.close(descriptor)

    def _stop_waiting_to_send(self) -> None:
        if self._is_waiting_to_send:
            self._is_waiting_to_send = False
            self._loop.remove_writer(self._end)

    def _receive(self) -> None:
        try:
            self._take_in()
        except Exception as error:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        if self._has_failed or self._is_closed:
            return
        self._has_failed = True
        self._loop.remove_reader(self._end)
        # Who is told may have a last word to send.
        self._on_fault(error)
        self._give_up_sending()

    def _take_in(self) -> None:
        try:
            data, descriptors, flags, _ = socket.recv_fds(self._end, _READ_SIZE, self._max_descriptors)
        except BlockingIOError:
            return
        except (ConnectionResetError, BrokenPipeError):
            data, descriptors, flags = b"", [], 0
        for descriptor in descriptors:
            # recv_fds has no argument for MSG_CMSG_CLOEXEC.
            os.set_inheritable(descriptor, False)
            self._descriptors.append(descriptor)
        if flags & socket.MSG_CTRUNC and not self._max_descriptors:
            raise ChannelError("a descriptor has come that nobody wants")
        if flags & socket.MSG_CTRUNC:
            # The kernel drops what a process at its limit has no room for, and goes on.
            raise ChannelError("descriptors were lost: too many open files")
        if not data:
            self._loop.remove_reader(self._end)
            self._on_end()
            return
        self._incoming += data
        self._hand_over()

    def _hand_over(self) -> None:
        incoming = self._incoming
        at = 0
        while not self._is_closed and not self._has_failed:
            frame = next_frame(incoming, at, "a frame", MARK, self._max_frame)
            if frame is None:
                break
            if frame.is_marked:
                self._on_message(bytes(incoming[frame.start : frame.end]))
            elif self._on_batch is not None:
                self._on_batch(bytes(incoming[at : frame.end]))
            else:
                raise ChannelError("nobody sends table changes to the control process")
            at = frame.end
        del incoming[:at]
