"""Laws of configuration: any document gives a value or a ``ConfigError`` that points into it."""

import copy
import re
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster_kit import ConfigError, Connector, PluginError, Strategy, Topology
from cluster_kit.config import ClusterConfig, Secret, load_config
from cluster_kit.config.document import Document
from cluster_kit.config.expand import expand
from cluster_kit.config.options import read_options
from cluster_kit.config.yaml_source import read_yaml
from cluster_kit.fault import format_path


@dataclass(frozen=True, kw_only=True)
class Finder(Strategy):
    port: int = 1
    host: str = "x"
    ratio: float = 1.0
    mode: Literal["a", "b"] = "a"
    path: Path = Path("/")
    secret: Secret | None = None
    ports: tuple[int, ...] = ()
    tags: dict[str, str] = field(default_factory=dict)

    async def discover(self, ctx):
        return
        yield


@dataclass(frozen=True, kw_only=True)
class Listing:
    hosts: tuple[str, ...]


class Linker(Connector):
    async def start(self, local, links):
        return local

    async def connect(self, node):
        return node

    async def disconnect(self, node): ...

    async def stop(self): ...


class Everyone(Topology):
    def select(self, local, known):
        return known


class Shelf:
    def resolve(self, kind, name):
        if name not in ("finder", "tcp", "full_mesh"):
            raise PluginError(f"unknown {kind} {name!r}", plugin=name)
        return {"strategy": Finder, "connector": Linker, "topology": Everyone}[kind]

    def origin(self, kind, name):
        return "plugin shelf"


VALID: dict[str, Any] = {
    "node": "web@127.0.0.1",
    "cluster": "shop",
    "metadata": {"zone": "a"},
    "insecure": False,
    "topologies": {
        "lan": {
            "strategy": "finder",
            "config": {
                "port": 1,
                "ports": [1, 2],
                "tags": {"a": "b"},
                "secret": "s",
                "ratio": 0.5,
                "mode": "b",
            },
            "connector": {"name": "tcp"},
            "topology": "full_mesh",
            "child_spec": {"restart": "permanent", "max_restarts": 3},
            "group": "g",
            "max_nodes": 10,
        },
        "wan": {"strategy": [{"name": "finder", "host": "y"}, "finder"], "prune": True},
    },
}

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["finder", "a:b", "${X}"])
)
keys = st.text(max_size=8) | st.sampled_from(
    ["port", "name", "strategy", "config", "secret", "connect", "lan", "<<"]
)
junk = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=8,
)


def paths(value, path=()):
    """Yield the path of everything in a document."""
    yield path
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from paths(inner, (*path, key))


@st.composite
def mutated(draw):
    """Return the valid document with up to three pieces replaced, added or removed."""
    document = copy.deepcopy(VALID)
    for _ in range(draw(st.integers(1, 3))):
        *above, last = draw(st.sampled_from([path for path in paths(document) if path]))
        target = document
        for key in above:
            target = target[key]
        match draw(st.sampled_from(["replace", "remove", "add"])):
            case "replace":
                target[last] = draw(junk)
            case "remove":
                del target[last]
            case "add" if isinstance(target, dict):
                target[draw(keys)] = draw(junk)
        if not document:
            break
    return document


def errors_of(source):
    try:
        assert isinstance(load_config(source, Shelf(), environ={}), ClusterConfig)
    except ConfigError as exc:
        return exc.errors
    return ()


def written(document, folder):
    file = Path(folder) / "cluster.yaml"
    file.write_text(yaml.safe_dump(document, allow_unicode=True, sort_keys=False, width=10_000))
    return file


def lines_of(file):
    """Return the lines of a file as YAML 1.1 counts them."""
    return [
        f"{line}\n" for line in re.split("\r\n|[\n\r\x85\u2028\u2029]", file.read_bytes().decode())
    ]


def test_unmutated_document_is_valid():
    assert not errors_of(VALID)


@settings(deadline=None)
@given(mutated())
def test_dict_gives_a_value_or_errors_that_point_into_it(document):
    known = {format_path(path) for path in paths(document)} | {
        format_path(("topologies", name, part)) for name, part in defaults(document)
    }
    for error in errors_of(document):
        # one value may stand for a list of one
        assert error.path in known or error.path.removesuffix("[0]") in known
        assert "\n" not in str(error)


def defaults(document):
    """Yield the parts that a topology has although nobody wrote them."""
    topologies = document.get("topologies")
    for name in topologies if isinstance(topologies, dict) else ():
        yield from ((name, "connector"), (name, "topology"))


@settings(max_examples=50, deadline=None)
@given(mutated())
def test_file_has_the_same_errors_as_the_dict_each_with_its_place(document):
    if not document:
        return
    with tempfile.TemporaryDirectory() as folder:
        file = written(document, folder)
        read = yaml.safe_load(file.read_text())
        lines = len(lines_of(file))
        from_file = errors_of(file)
    if "${" not in str(read):
        assert sorted(error.path for error in from_file) == sorted(
            error.path for error in errors_of(read)
        )
    for error in from_file:
        assert error.file == str(file)
        assert 1 <= error.line <= lines


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.text(min_size=1), junk, min_size=1))
def test_places_point_at_what_they_claim(document):
    with tempfile.TemporaryDirectory() as folder:
        file = written(document, folder)
        lines = lines_of(file)
        read = read_yaml(str(file), {"X": "x"})
    for path, place in read.keys.items():
        rest = lines[place.line - 1][place.column - 1 :]
        assert rest[0] in "'\"?" or rest.startswith(path[-1].split("\n")[0])
    for place in read.values.values():
        if place.text is not None and not place.quoted:
            assert lines[place.line - 1].startswith(place.text.split("\n")[0], place.column - 1)


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="ab:- \n\t[]{}&*!#|>'\"%@`$,?<0.~", max_size=60) | st.binary(max_size=60))
def test_any_file_gives_a_value_or_a_configuration_error(content):
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "cluster.yaml"
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        assert all("\n" not in str(error) for error in errors_of(file))


@given(
    st.text(alphabet="${}:-AB_x "),
    st.dictionaries(st.sampled_from(["A", "B", "AB", "x"]), st.text(alphabet="${}:-AB")),
)
def test_expansion_gives_text_or_a_value_error(text, environ):
    try:
        expanded = expand(text, environ)
    except ValueError:
        return
    if "${" not in text:
        assert expanded == text


@given(st.text(alphabet="x$ "), st.text(), st.text(alphabet="x$ "))
def test_expansion_puts_in_what_the_variable_holds_and_nothing_else(before, value, after):
    before = before.rstrip("$")  # `$${` is an escape
    assert expand(f"{before}${{A}}{after}", {"A": value}) == f"{before}{value}{after}"


@given(st.text(alphabet="${A}x"))
def test_doubled_dollar_keeps_any_text_as_it_is(text):
    try:
        assert expand(text.replace("${", "$${"), {}) == text
    except ValueError:
        pytest.fail("an escaped reference was expanded")


def scalar(text, environ=None):
    """Return what the value ``text`` of a file is read as, or ``None`` where it is refused."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "cluster.yaml")
        file.write_text(f"key: {text}\n")
        try:
            return read_yaml(str(file), environ or {}).root.by_key()["key"].value
        except ConfigError:
            return None


@given(st.from_regex(r"[-+]?[0-9][0-9_]{0,6}(:[0-5]?[0-9]){0,2}(\.[0-9]{0,3})?", fullmatch=True))
def test_number_is_read_as_it_is_written_or_refused(text):
    for value in (scalar(text), scalar("${NUMBER}", {"NUMBER": text})):
        if isinstance(value, int | float):
            assert value == float(text.replace("_", ""))
        else:
            assert value in (None, text)


elements = st.text(st.characters(codec="utf-8", exclude_characters=",\0"), min_size=1).filter(
    lambda text: text == text.strip()
)


@given(
    st.lists(elements), st.sampled_from([",", ", ", " ,", ",,"]), st.sampled_from(["", ",", " , "])
)
def test_list_as_text_with_commas_is_the_list(hosts, between, end):
    part = Document(data={"hosts": between.join(hosts) + end}).root
    assert read_options(part, Listing) == {"hosts": tuple(hosts)}


@given(st.lists(st.integers(0, 99_999), min_size=1))
def test_numbers_as_text_with_commas_are_the_numbers(ports):
    part = Document(data={"ports": ",".join(map(str, ports))}).root
    assert read_options(part, Finder) == {"ports": tuple(ports)}
