"""A DNS server on loopback that knows what a test tells it: as a container engine's, it names every replica."""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

ADDRESS_RECORD = 1
NO_SUCH_NAME = 3


class NameServer:
    """Answers questions for A records. `names` may change while it runs."""

    def __init__(self, names: dict[str, list[str]]) -> None:
        self.names = names
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.address = "{}:{}".format(*self.socket.getsockname())

    def serve(self) -> None:
        while True:
            try:
                question, sender = self.socket.recvfrom(512)
            except OSError:
                return
            if not question:
                return
            self.socket.sendto(self.answer(question), sender)

    def answer(self, question: bytes) -> bytes:
        """Make the answer to one question. Source: RFC 1035, section 4.1."""
        labels, at = [], 12
        while question[at]:
            labels.append(question[at + 1 : at + 1 + question[at]].decode())
            at += 1 + question[at]
        kind = struct.unpack(">H", question[at + 1 : at + 3])[0]
        addresses = self.names.get(".".join(labels)) if kind == ADDRESS_RECORD else []
        code = NO_SUCH_NAME if addresses is None else 0
        head = question[:2] + struct.pack(">HHHHH", 0x8180 | code, 1, len(addresses or ()), 0, 0)
        record = struct.pack(">HHHIH", 0xC00C, ADDRESS_RECORD, 1, 1, 4)
        return head + question[12 : at + 5] + b"".join(record + socket.inet_aton(each) for each in addresses or ())


@contextmanager
def answering(names: dict[str, list[str]]) -> Iterator[NameServer]:
    """Run one until the end of the block."""
    server = NameServer(names)
    threading.Thread(target=server.serve, daemon=True).start()
    try:
        yield server
    finally:
        server.socket.sendto(b"", server.socket.getsockname())  # wakes it, so that it sees that it is over
        server.socket.close()
