"""Two ends of TLS in memory, and what each makes of the other."""

from cluster_kit.errors import RemoteProtocolError
from cluster_kit.wire.tls import Tls


class End:
    """One end, with what it has received, and how it failed."""

    def __init__(self, trust, *, dialled):
        self.tls = Tls(trust, dialled=dialled)
        self.heard = b""
        self.error = None

    def take(self, data, step=65536):
        """Take in ``data``, and return what is to be sent."""
        replies = b""
        for start in range(0, len(data), step):
            if self.error:
                break
            try:
                pieces, reply = self.tls.receive(memoryview(data)[start : start + step])
            except RemoteProtocolError as error:
                self.error = error
                return replies + self.tls.closing_bytes()
            self.heard += b"".join(pieces)
            replies += reply
        return replies


def talk(dialler, acceptor, *, step=65536):
    """Bring each what the other says until both are silent."""
    said = dialler.tls.start()
    while said:
        said = acceptor.take(said, step)
        if said:
            said = dialler.take(said, step)
