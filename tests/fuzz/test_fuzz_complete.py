"""Every decoder is in the table of targets, or excluded here with a reason."""

import ast
import importlib
import re
from functools import cache
from pathlib import Path

import pytest
from fuzz_targets import CORPUS, TARGETS, kept

PACKAGE = Path(__file__).parent.parent.parent / "cluster_kit"
MAX_FILES = 60
MAX_CORPUS_BYTES = 65536
STAND_FOR = {decoder for target in TARGETS.values() for decoder in target.of}

BYTES = re.compile(r"\b(bytes|bytearray|memoryview|Datagram)\b")
READS = re.compile(
    r"(^|\.)(loads|safe_load|get_single_node|from_wire|read_text|read_bytes|recv|recvfrom|unpack|unpack_from|Decoder)"
    r"|^(msgspec\.(json|msgpack)\.)?decode$"
)

NOT_DECODERS = {
    "abc:LinkReport.secrets": "ids that a link reported, which frames bound",
    "abc:Connector.send": "a contract",
    "abc:LinkReport.message": "a contract",
    "abc:LinkReport.up": "a contract",
    "cli.authority_folder:AuthorityFolder.put": "writes",
    "cli.authority_folder:AuthorityFolder.put_machine": "writes",
    "connectors.tcp:TcpConnector.send": "sends",
    "connectors.tcp.connection:Connection.add_greeting": "pieces that frames have bounded",
    "connectors.tcp.hub:TcpHub.received": "hands on to Link.receive",
    "connectors.tcp.hub:TcpHub.send": "sends",
    "connectors.tcp.session:SessionHandler.received": "a contract",
    "connectors.tcp.session:Session.carry": "sends",
    "connectors.tcp.session:Session.received": "hands on to TcpHub.received",
    "connectors.tcp.session:Session.write": "sends",
    "connectors.tcp.table:LinkTable.update": "ids of our own",
    "connectors.tcp.handshake_queue:QueuedStream.received": "hands on to ProtectedStream.received",
    "connectors.tcp.handshake_queue:QueuedStream.send": "sends",
    "netdevice:flags_of": "an answer of the kernel",
    "network:Datagrams.listen": "a contract",
    "network:Datagrams.send": "sends",
    "network:Stream.send": "sends",
    "network:StreamReader.received": "a contract",
    "network.datagrams:SystemDatagrams.send": "sends",
    "network.streams:SystemStream.send": "sends",
    "network.streams:dial": "hands on",
    "pipe.channel:Channel.send_parcel": "a contract",
    "pipe.reader:parcel_head": "sends",
    "pipe.writer:PipeWriter.add": "sends",
    "pipe.socket_channel:SocketChannel.send_parcel": "sends",
    "pipe.socket_channel:SocketChannel.send_raw": "sends",
    "security.certificates:Authority.certify": "a key of our own",
    "security.certificates:pem_of_certificate": "writes what Authority made",
    "security.certificates:pem_of_key": "writes what Authority made",
    "security.issuing:load_certificates": "a file of the user's own authority, for cryptography",
    "security.issuing:load_key": "a file of the user's own authority, for cryptography",
    "security.key_files:as_file": "writes",
    "security.keys:derive": "any bytes are a secret",
    "security.links:ProtectedStream.received": "hands on to Tls.receive",
    "security.links:ProtectedStream.send": "sends",
    "strategies.gossip.freshness:Freshness.asked": "a nonce of an envelope",
    "strategies.gossip.freshness:Freshness.judge": "a nonce of an envelope",
    "strategies.gossip.freshness:Freshness.must_echo": "a nonce of an envelope",
    "supervisor.control:describe": "ids of our own",
    "topics.incoming:PartialRecord.add": "collects, and cuts off what is too long",
    "topics.link:TopicLink.ask": "sends",
    "topics.link:TopicLink.identify": "a run that was told, which records have bounded",
    "topics.link:TopicLink.publish": "sends",
    "topics.link:TopicLink.send": "sends",
    "topics.peers:TopicPeers.link_up": "a run that was told, which records have bounded",
    "wire.sealing:Sealing.is_own": "compares with our own",
    "supervisor.line:WorkerLine.send_parcel": "sends",
    "rendezvous:owners": "any bytes are a key",
    "supervisor.aio:AsyncSupervisor.owner": "any bytes are a key",
    "supervisor.aio:AsyncSupervisor.owners": "any bytes are a key",
    "supervisor.topics.messaging:Messaging.owner": "any bytes are a key",
    "supervisor.topics.messaging:Messaging.owners": "any bytes are a key",
    "supervisor.topics.switchboard:Switchboard.publish": "sends",
    "supervisor.topics.switchboard:Switchboard.submit": "sends",
    "wire.sealing:Sealing.seal": "sends",
    "wire.tls:Tls.send": "sends",
    "wire.topics:copied": "looks at nothing",
    "worker.connector_runner:ConnectorRunner.secrets_changed": "ids of our own",
    "worker.forwarding:Forwarding.greet": "hands on",
    "worker.forwarding:Forwarding.message": "hands on, unread",
    "worker.forwarding:Forwarding.up": "hands on, unread",
    "worker.report_receivers:LinkReceiver.message": "hands on, unread",
    "worker.report_receivers:LinkReceiver.secrets": "ids that a link reported, which frames bound",
    "worker.report_receivers:LinkReceiver.up": "hands on, unread",
    "pipe.messages:Inspected.of": "ids that a link reported, which frames bound",
    "worker.outbox:Outbox.send_parcel": "sends",
    "worker.trust_warnings:DroppedSecrets.changed": "ids of our own",
}
READ_NO_FORM = {
    "cli.demo.cluster": "lines of the demo's own nodes, which it has started",
    "cli.new.distribution": "templates of our own",
    "cli.plugins.survey": "a process that it has started itself",
    "cli.simulate": "an option of the command line",
    "config.lists": "an option's text, of which Hypothesis makes lists (test_config_laws)",
    "plugins.entry_points": "metadata that pip has written",
    "netdevice": "an answer of the kernel",
    "network.datagrams": "whole datagrams, unread",
    "network.interfaces": "tables of the kernel",
    "network.streams": "pieces of streams, unread",
    "strategies.dns.system": "words of /etc/hosts, whatever they are",
    "strategies.mdns.browser": "hands on to records.decode",
    "strategies.mdns.diagnosis": "compares datagrams, unread",
    "supervisor.reaper": "tables of the kernel, and names of processes, whatever they are",
    "supervisor.recursion_guard": "compares with what a supervisor says first",
    "supervisor.topics.answering": "hands on to topics.data.decode",
    "supervisor.topics.request": "hands on to topics.data.decode",
    "supervisor.topics.subscription": "hands on to topics.data.decode",
}


@cache
def modules():
    """Return name and syntax tree of each module that may receive data made by others."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = [
            part for part in path.relative_to(PACKAGE).with_suffix("").parts if part != "__init__"
        ]
        if parts and parts[0] != "testing":
            found.append((".".join(parts), ast.parse(path.read_text())))
    return found


def functions(body, prefix=""):
    """Yield public functions and methods of public classes, each with its qualified name."""
    for each in body:
        if isinstance(each, ast.ClassDef) and not each.name.startswith("_"):
            yield from functions(each.body, f"{prefix}{each.name}.")
        elif isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef) and not each.name.startswith(
            "_"
        ):
            yield f"{prefix}{each.name}", each


def takes_bytes(function):
    arguments = (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs)
    return any(
        each.annotation is not None and BYTES.search(ast.unparse(each.annotation))
        for each in arguments
    )


def stands_for(name):
    """Whether a target covers the function or its class."""
    whole = f"cluster_kit.{name}"
    return whole in STAND_FOR or whole.rpartition(".")[0] in STAND_FOR


def test_whatever_takes_bytes_has_a_target_or_needs_none():
    taking = {
        f"{module}:{name}"
        for module, tree in modules()
        for name, each in functions(tree.body)
        if takes_bytes(each)
    }
    assert {name for name in taking if not stands_for(name)} == NOT_DECODERS.keys()


def test_whatever_reads_a_form_has_a_target_or_needs_none():
    reading = {
        module
        for module, tree in modules()
        if any(
            READS.search(ast.unparse(each.func))
            for each in ast.walk(tree)
            if isinstance(each, ast.Call)
        )
    }
    covered = {decoder.partition(":")[0].removeprefix("cluster_kit.") for decoder in STAND_FOR}
    assert reading - covered == READ_NO_FORM.keys()


@pytest.mark.parametrize("decoder", sorted(STAND_FOR))
def test_decoder_is_there(decoder):
    module, _, name = decoder.partition(":")
    found = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    assert callable(found)


@pytest.mark.parametrize("name", TARGETS)
def test_corpus_is_small(name):
    sizes = [path.stat().st_size for path in kept(TARGETS[name])]
    assert len(sizes) <= MAX_FILES
    assert sum(sizes) <= MAX_CORPUS_BYTES


def test_corpus_folders_belong_to_targets():
    assert {folder.name for folder in CORPUS.iterdir()} <= TARGETS.keys()
