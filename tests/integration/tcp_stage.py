"""Nodes with a ``tcp`` connector: in this event loop, or in processes driven by lines of JSON."""

import asyncio
import json
import logging
import os
import signal
import sys
from contextlib import asynccontextmanager

from cluster_kit.connectors.tcp import TcpConnector
from cluster_kit.errors import ConnectError
from cluster_kit.node import BootId, Fence, Node
from cluster_kit.security import Security
from cluster_kit.testing.fakes import RecordingLinks

FENCE = Fence("shop", "web")
DEADLINE_S = 30.0


def at(sock):
    """Return the node to dial for a listening socket."""
    return Node(address=f"127.0.0.1:{sock.getsockname()[1]}")


class Local:
    """A node in this event loop."""

    def __init__(
        self,
        basename,
        *,
        boot_id=None,
        fence=FENCE,
        network=None,
        address="127.0.0.1",
        keyring=None,
        **options,
    ):
        self.connector = TcpConnector(**options)
        self.links = RecordingLinks(
            fence=fence, boot_id=boot_id, deadline_s=DEADLINE_S, network=network
        )
        self.node = Node(name=f"{basename}@{address}", boot_id=self.links.boot_id)
        self.name = self.node.name
        self.links.security = Security(self.node, keyring)

    async def __aenter__(self):
        self.node = await self.connector.start(self.node, self.links)
        return self

    async def __aexit__(self, *exc_info):
        await self.connector.stop()

    async def connect(self, other):
        return await self.connector.connect(other.node)

    async def link(self, other):
        """Link to another, trying again what fails for now, as a worker does."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                try:
                    return await self.connect(other)
                except ConnectError as error:
                    if not error.retryable:
                        raise
                    await asyncio.sleep(0.02)

    def history(self, other):
        return self.links.ups_and_downs(other.name)

    async def down(self, other, count=1):
        return (await self.links.expect("down", other.name, count=count)).reason


class Remote:
    """A node in a process of its own."""

    def __init__(self, process, node):
        self.process = process
        self._passed_over = []
        self.node = node
        self.name = node.name

    @classmethod
    @asynccontextmanager
    async def start(cls, basename, *, boot_id=None, address=None, **options):
        """Start a node, and have it gone at the end of the block."""
        boot_id = boot_id or BootId.new()
        options |= {"port": int(address.rpartition(":")[2])} if address else {}
        setup = {
            "basename": basename,
            "boot_id": [boot_id.started_ms, boot_id.nonce],
            "options": options,
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            __file__,
            json.dumps(setup),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            started = await cls._line(process)
            yield cls(
                process, Node(name=started["name"], address=started["address"], boot_id=boot_id)
            )
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGCONT)
                process.stdin.close()
            await process.wait()
            # else its pipes are closed when it is collected, with a ResourceWarning
            process._transport.close()

    @staticmethod
    async def _line(process):
        async with asyncio.timeout(DEADLINE_S):
            line = await process.stdout.readline()
        assert line, "the peer's process has ended"
        return json.loads(line)

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self):
        """Stop it as a terminal does, and return once it is stopped."""
        self.signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WNOWAIT)

    async def kill(self):
        self.signal(signal.SIGKILL)
        await self.process.wait()

    async def connect(self, other):
        """Have it link to another; return the reason why not, ``None`` if it does."""
        command = {"name": other.node.name, "address": other.node.address}
        self.process.stdin.write(json.dumps(command).encode() + b"\n")
        return (await self.next("connected"))["reason"]

    def reported(self, kind):
        """Return its reports of this kind that were passed over."""
        return [report for report in self._passed_over if report["kind"] == kind]

    async def next(self, *kinds):
        """Return its next report of one of the kinds; others are kept for later."""
        for report in self._passed_over:
            if report["kind"] in kinds:
                self._passed_over.remove(report)
                return report
        while (report := await self._line(self.process))["kind"] not in kinds:
            self._passed_over.append(report)
        return report


class PrintingLinks(RecordingLinks):
    def _keep(self, report):
        name, reason = report.node.name if report.node else None, report.reason
        print(
            json.dumps({"kind": report.kind, "name": name, "reason": reason, "data": report.data}),
            flush=True,
        )


class PrintingHandler(logging.Handler):
    def emit(self, record):
        print(json.dumps({"kind": "log", "text": record.getMessage()}), flush=True)


async def serve(setup):
    logging.basicConfig(handlers=[PrintingHandler()], level=logging.WARNING)
    links = PrintingLinks(fence=FENCE, boot_id=BootId(*setup["boot_id"]))
    connector = TcpConnector(**setup["options"])
    node = await connector.start(Node(name=f"{setup['basename']}@127.0.0.1"), links)
    print(json.dumps({"name": node.name, "address": node.address}), flush=True)
    loop = asyncio.get_running_loop()
    orders = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    while order := await orders.readline():
        try:
            await connector.connect(Node(**json.loads(order)))
            reason = None
        except ConnectError as error:
            reason = error.reason
        print(json.dumps({"kind": "connected", "reason": reason}), flush=True)
    await connector.stop()


if __name__ == "__main__":
    asyncio.run(serve(json.loads(sys.argv[1])))
