"""The page on protocols is true: its tables match the code, which reads and writes its bytes."""

import importlib
import json
import re
import struct
from hashlib import sha256
from itertools import product
from pathlib import Path

import msgpack
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from cluster_kit.connectors.tcp import connection, exchange
from cluster_kit.connectors.tcp.arbitration import CASES, Case, Name, PeerRun, Sign, Verdict
from cluster_kit.node import BootId, Fence
from cluster_kit.security.keys import Keyring, SecretKeys
from cluster_kit.wire import envelope, frames, gossip, topics
from cluster_kit.wire.link import TRANSITIONS, Farewell, LinkState, Role
from cluster_kit.wire.sealing import Sealing

PAGE = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text()


def table(*heads):
    """Return the cells of the table whose columns have these heads."""
    first = re.escape("| " + " | ".join(heads) + " |")
    rows = re.search(rf"^{first}\n\|[-|]+\n((?:\|.*\n)+)", PAGE, re.MULTILINE)[1]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows.splitlines()]


def plain(value):
    """Return a decoded value with bytes in hexadecimal, as the page has them."""
    if isinstance(value, list):
        return [plain(each) for each in value]
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    return value.hex() if isinstance(value, bytes) else value


def captured():
    """Yield each example: its title, its bytes, and its value as JSON has it."""
    for title, body in re.findall(
        r"^```text\n# ([^\n]+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL
    ):
        *lines, value = body.splitlines()
        yield pytest.param(bytes.fromhex("".join(lines)), json.loads(value), id=title)


FRAMES = [each for each in captured() if not each.id.startswith(("gossip", "topic", "sealed"))]
PAYLOADS = [
    each for each in captured() if each.id.startswith("topic") and each.id != "topic greeting"
]
GREETINGS = [each for each in captured() if each.id == "topic greeting"]
DATAGRAMS = [each for each in captured() if each.id.startswith("gossip")]
SEALED = [each for each in captured() if each.id.startswith("sealed")]
DATAGRAM_OF = {each.id: each.values[0] for each in DATAGRAMS}
RECORD_OF = {cls.__name__.lower(): cls for cls in topics.Record.__subclasses__()}
TYPE_OF = {cls.__name__.lower(): cls for cls in frames.Frame.__subclasses__()}


@pytest.mark.parametrize(("data", "value"), FRAMES)
def test_captured_frame_is_what_it_says_without_our_code(data, value):
    length, body = int.from_bytes(data[:4], "big"), data[4:]
    assert length == len(body)
    assert plain(msgpack.unpackb(body)) == value


@pytest.mark.parametrize(("data", "value"), FRAMES)
def test_captured_frame_is_read_and_made_by_our_code(data, value):
    frame = frames.decode(data[4:])
    assert type(frame).__struct_config__.tag == value[0]
    assert frames.encode(frame) == data


def test_each_frame_is_captured():
    assert {each.values[1][0] for each in FRAMES} == {
        cls.__struct_config__.tag for cls in TYPE_OF.values()
    }


@pytest.mark.parametrize(("data", "value"), PAYLOADS)
def test_captured_payload(data, value):
    assert plain(msgpack.unpackb(data)) == value
    records = topics.decode(data)
    assert [type(record).__struct_config__.tag for record in records] == [
        plain[0] for plain in value
    ]
    assert topics.encode(records) == data


def test_each_record_is_captured():
    assert {value[0] for each in PAYLOADS for value in each.values[1]} == {
        cls.__struct_config__.tag for cls in RECORD_OF.values()
    }


@pytest.mark.parametrize(("data", "value"), GREETINGS)
def test_captured_greeting_of_an_application(data, value):
    assert plain(msgpack.unpackb(data)) == value
    assert topics.encode_greeting(topics.decode_greeting(data)) == data


@pytest.mark.parametrize(("data", "value"), DATAGRAMS)
def test_captured_datagram(data, value):
    assert data[:6] == b"ckgo\x01\x00"
    assert msgpack.unpackb(data[6:]) == [*value[:-1], value[-1].encode()]
    assert gossip.encode(gossip.decode(data)) == data


@pytest.mark.parametrize(("data", "value"), SEALED)
def test_captured_sealed_datagram_without_our_code(data, value):
    boot, stamp, named = data[22:38], data[38:46], 47 + data[46]
    fence = b"".join(len(part).to_bytes(2) + part for part in (b"shop", b"lan"))
    key = HKDFExpand(SHA256(), 32, b"cluster_kit boot" + boot).derive(bytes(range(32)))
    plain = AESGCM(key).decrypt(bytes(4) + stamp, data[named:], data[:named] + fence)
    host, port, nonce, echo, packet, padding = value
    binary = [bytes.fromhex(nonce), bytes.fromhex(echo), DATAGRAM_OF[packet], padding.encode()]
    assert msgpack.unpackb(plain) == [host, port, *binary]
    assert data[:22] == b"ckgo\x01\x01" + sha256(fence).digest()[:8] + bytes(range(8))
    assert (boot, int.from_bytes(stamp)) == (struct.pack(">QQ", 1_700_000_000_000, 1), 60_000_000)
    assert data[47:named] == b"ann@10.0.0.1"


@pytest.mark.parametrize(("data", "value"), SEALED)
def test_captured_sealed_datagram_is_read_and_made_by_our_code(data, value):
    keys = SecretKeys(id=bytes(range(8)), authority=b"", datagrams=bytes(range(32)))
    sealing = Sealing("ann@10.0.0.1", BootId(1_700_000_000_000, 1), Keyring(keys))
    plain = sealing.open(data, Fence("shop", "lan")).plain
    assert envelope.encode(envelope.decode(plain)) == plain
    assert sealing.seal(plain, Fence("shop", "lan"), 60.0) == data


def test_types_of_frames():
    assert {
        name: int(number) for number, name, *_ in table("type", "frame", "fields", "said by")
    } == {name: cls.__struct_config__.tag for name, cls in TYPE_OF.items()}


def test_types_of_records():
    told = {
        name: (int(number), parts)
        for number, name, parts, _ in table("type", "record", "parts", "meaning")
    }
    assert {name: number for name, (number, _) in told.items()} == {
        name: cls.__struct_config__.tag for name, cls in RECORD_OF.items()
    }
    assert {name: len(parts.split(", ")) if parts else 0 for name, (_, parts) in told.items()} == {
        name: len(cls.__struct_fields__) for name, cls in RECORD_OF.items()
    }


def test_parts_of_a_greeting():
    assert len(table("#", "part", "as", "of the greeting")) == len(
        topics.TopicGreeting.__struct_fields__
    )


def test_states():
    who = {"dialler": {Role.DIALLER}, "acceptor": {Role.ACCEPTOR}, "either": set(Role)}
    told = {
        (LinkState[before.upper()], TYPE_OF[frame]): (who[by], LinkState[after.upper()])
        for before, frame, by, after in table("state", "frame", "said by", "next state")
    }
    assert told == {step: (set(roles), after) for step, (roles, after) in TRANSITIONS.items()}


def test_cases_of_arbitration():
    meaning = [
        {"accepted": {Role.ACCEPTOR}, "dialled": {Role.DIALLER}},
        {"none": {None}, "answered": {LinkState.ANSWERED}, "up": {LinkState.UP}},
        {"any": {None, *PeerRun}, "same": {PeerRun.SAME}, "other": {PeerRun.OTHER}},
        {
            "any": set(Sign),
            "nothing": {Sign.NONE},
            "heard": {Sign.HEARD},
            "came up": {Sign.CONFIRMED},
            "heard, or came up": {Sign.HEARD, Sign.CONFIRMED},
        },
        {
            "any": {None, LinkState.SILENT, LinkState.GREETED},
            "none, or hello not out": {None, LinkState.SILENT},
            "hello out": {LinkState.GREETED},
        },
        {"any": set(Name), "ours": {Name.OURS}, "theirs": {Name.THEIRS}},
    ]
    told = {}
    heads = (
        "newcomer",
        "incumbent",
        "its process",
        "learnt since",
        "our own dial",
        "lower name",
        "verdict",
    )
    for *cells, verdict in table(*heads):
        sides = [words[cell] for words, cell in zip(meaning, cells, strict=True)]
        told |= {Case(*case): Verdict[verdict.upper()] for case in product(*sides)}
    everything = product(*(set().union(*words.values()) for words in meaning))
    cases = {
        Case(*case): [row.verdict for row in CASES if row.fits(Case(*case))] for case in everything
    }
    assert {case: [verdict] for case, verdict in told.items()} == {
        case: verdict for case, verdict in cases.items() if verdict
    }


@pytest.mark.parametrize(("what", "bound", "constant"), table("what", "bound", "constant"))
def test_bounds(what, bound, constant):
    module, name = constant.strip("`").split(":")
    assert getattr(importlib.import_module(module), name) == float(bound)


def test_reasons_of_goodbyes():
    reasons = {
        reason.strip("`")
        for reason, *_ in table("reason", "said by", "the receiver reports the link down as")
    }
    assert reasons - {"anything else"} == set(Farewell)


def test_kinds_of_datagrams():
    assert {int(kind) for kind, *_ in table("kind", "name", "sent")} == set(gossip.Kind)


def test_features_are_named():
    defined = re.search(r"(\w+) are defined: `(\w+)` and `(\w+)`", PAGE)
    assert defined.groups() == ("Two", exchange.FEATURE, connection.MESSAGES)


def test_bounds_and_names_in_the_text_are_those_of_the_code():
    ids, id_bytes = frames.MAX_SECRETS, frames.MAX_SECRET_ID_BYTES
    assert f"array of at most {ids} ids, each of at most {id_bytes} bytes" in PAGE
    assert f"`{frames.PROTOCOL.decode()}`. That is how an acceptor" in PAGE
