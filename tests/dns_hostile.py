"""A name server on a bad day: silence, lies, garbage, half answers; UDP and TCP on one port."""

import selectors
import socket
import struct
import threading

import dns.flags
import dns.message
import dns.rcode
import dns.rrset

from cluster_kit.strategies.dns.options import read_servers
from cluster_kit.strategies.dns.server import ServerResolver

LOOPBACK = "127.0.0.1"
RCODES = {
    "servfail": dns.rcode.SERVFAIL,
    "refused": dns.rcode.REFUSED,
    "nxdomain": dns.rcode.NXDOMAIN,
}


def patient(kind, lookup_s):
    """Return strategy ``kind``, but with as much time for a question."""

    class Patient(kind):
        def make_resolver(self):
            return ServerResolver(read_servers(self.resolver), lookup_s=lookup_s)

    return Patient


def both_on_one_port(address=LOOPBACK, port=0):
    """Return a datagram and a listening socket, both on ``port`` or on any port free for both."""
    while True:
        datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        datagrams.bind((address, port))
        try:
            return datagrams, socket.create_server(datagrams.getsockname())
        except OSError:
            datagrams.close()
            if port:
                raise


class HostileServer:
    """``with HostileServer() as server``: answers from ``records`` in the given ``manner``.

    Attributes:
        records: Texts of records by name and type, ``{("web.shop.test", "A"): ["127.0.0.2"]}``.
            Other types of a name that has records have no data; other names don't exist, unless
            there is a wildcard of the domain right above them or above those. An alias is of type
            CNAME, and comes with the addresses of its target.
        rotating: Names, or wildcards, of which each answer has one record, in turn.
        additional: Records that come along with every answer.
        manner: One word for all questions, or by name or type: answer, silent, servfail, refused,
            nxdomain, nodata, lame, garbage, wrong_id, wrong_question, truncated (UDP only),
            truncated_everywhere, cut (TCP closes in the middle).
        asked: Each question as (name, type, protocol).
        was_asked: Set with each question.
    """

    def __init__(self, records=None, *, address=LOOPBACK, port=0):
        self.records = dict(records or {})
        self.rotating = set()
        self._turn = 0
        self.additional = []
        self.manner = "answer"
        self.asked = []
        self.was_asked = threading.Event()
        self._udp, self._tcp = both_on_one_port(address, port)
        self._wake, self._woken = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        for sock in (self._udp, self._tcp, self._woken):
            self._selector.register(sock, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._serve, name="hostile name server")

    @property
    def resolver(self):
        """How the option ``resolver`` names it."""
        return "{}:{}".format(*self._udp.getsockname())

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._wake.close()
        self._thread.join()
        for opened in (self._selector, self._udp, self._tcp, self._woken):
            opened.close()

    def _serve(self):
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._woken:
                    return
                if key.fileobj is self._udp:
                    self._serve_datagram()
                else:
                    self._serve_connection()

    def _serve_datagram(self):
        wire, client = self._udp.recvfrom(65535)
        for answer in self._answers(wire, "udp"):
            self._udp.sendto(answer, client)

    def _serve_connection(self):
        connection, _ = self._tcp.accept()
        with connection:
            connection.settimeout(1)
            try:
                size = struct.unpack("!H", connection.recv(2))[0]
                for answer in self._answers(connection.recv(size), "tcp"):
                    whole = struct.pack("!H", len(answer)) + answer
                    connection.sendall(whole[: len(whole) // 2] if self.manner == "cut" else whole)
            except (OSError, struct.error):  # the client has had enough
                return

    def _answers(self, wire, protocol):
        """Return the datagrams or messages to send."""
        query = dns.message.from_wire(wire)
        question = query.question[0]
        name, kind = question.name.to_text(omit_final_dot=True).lower(), question.rdtype.name
        self.asked.append((name, kind, protocol))
        self.was_asked.set()
        manner = self.manner
        if not isinstance(manner, str):
            manner = manner.get(name) or manner.get(kind, "answer")
        response = self._response(query, name, kind, manner)
        if manner == "silent":
            return []
        if manner == "garbage":
            return [b"\xff" * 3, wire[:7], wire[:2] + b"\x80" * 4000]
        if manner == "wrong_id":
            response.id ^= 1
        if manner == "wrong_question":
            response.question = [dns.rrset.from_text("other.test.", 0, "IN", kind)]
        if manner == "truncated_everywhere" or (
            manner in ("truncated", "cut") and protocol == "udp"
        ):
            response = self._response(query, name, kind, "nodata")
            response.flags |= dns.flags.TC
        return [response.to_wire(max_size=65535)]

    def _place_of(self, name):
        """Return under which name the records of ``name`` are, be it a wildcard."""
        names = {known for known, _ in self.records}
        labels = name.split(".")
        wildcards = (".".join(["*", *labels[at:]]) for at in range(1, len(labels)))
        return next((each for each in (name, *wildcards) if each in names), None)

    def _response(self, query, name, kind, manner):
        response = dns.message.make_response(query, recursion_available=manner != "lame")
        place = self._place_of(name)
        known = place is not None
        alias = self.records.get((place, "CNAME"))
        texts = self.records.get((alias[0].rstrip(".") if alias else place, kind), [])
        if place in self.rotating:
            texts = texts[self._turn % len(texts) :][:1] if texts else []
            self._turn += 1
        if manner in RCODES or not known:
            response.set_rcode(RCODES.get(manner, dns.rcode.NXDOMAIN))
        elif manner not in ("nodata", "lame") and texts:
            if alias:
                response.answer.append(dns.rrset.from_text(f"{name}.", 30, "IN", "CNAME", *alias))
            owner = alias[0] if alias else f"{name}."
            response.answer.append(dns.rrset.from_text(owner, 30, "IN", kind, *texts))
            response.additional += [dns.rrset.from_text(*entry) for entry in self.additional]
        return response
