"""The options of a plugin class, by the types of its fields."""

import copy
import dataclasses
import pickle
import pprint
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
import pytest
from config_parts import Full, Listing, Polling, Renamed, Retry, Silent, Unresolvable

from cluster_kit import ConfigError
from cluster_kit.config import Secret
from cluster_kit.config.document import Document
from cluster_kit.config.options import construct, convert, read_options
from cluster_kit.config.yaml_source import read_yaml
from cluster_kit.strategies.static import StaticStrategy


def options(given, cls=Full):
    return read_options(Document(data=given).root, cls)


def faults(given, cls=Full):
    with pytest.raises(ConfigError) as raised:
        options(given, cls)
    return [str(error) for error in raised.value.errors]


@pytest.mark.parametrize(
    ("name", "given", "value"),
    [
        ("text", "abc", "abc"),
        ("number", -3, -3),
        ("ratio", 3, 3.0),
        ("ratio", 0.25, 0.25),
        ("flag", True, True),
        ("path", "/run/x", Path("/run/x")),
        ("path", Path("x"), Path("x")),
        ("secret", "hush", Secret("hush")),
        ("secret", Secret("hush"), Secret("hush")),
        ("secret", None, None),
        ("mode", "endpoints", "endpoints"),
        ("ports", [1, 2], (1, 2)),
        ("ports", (), ()),
        ("ports", "1, 2,", (1, 2)),
        ("ports", 1, (1,)),
        ("ports", " , ", ()),
        ("ports", "", ()),
        ("tags", {"zone": "a"}, {"zone": "a"}),
        ("tags", None, {}),
        ("retry", {"times": 3}, Retry(times=3)),
        ("retry", Retry(times=3), Retry(times=3)),
        ("retry", None, None),
        ("retries", [{"times": 1, "wait_s": 2}], (Retry(times=1, wait_s=2.0),)),
        ("maybe", 3, 3),
        ("maybe", None, None),
        ("bounded", 9, 9),
        ("either", 3, 3),
        ("either", "http", "http"),
        ("either", None, None),
    ],
)
def test_value_of_each_type_is_taken(name, given, value):
    taken = options({name: given})[name]
    assert taken == value
    assert type(taken) is type(value)


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("text", 1, "text: invalid value 1: expected str, got int"),
        ("number", "\udcff", "number: invalid value '\\udcff': expected int, got str"),
        ("text", None, "text: invalid value None: expected str, got nothing"),
        ("number", "1", "number: invalid value '1': expected int, got str"),
        ("number", 1.0, "number: invalid value 1.0: expected int, got float"),
        ("number", True, "number: invalid value True: expected int, got bool"),
        ("number", {}, "number: invalid value {}: expected int, got mapping"),
        ("ratio", "x", "ratio: invalid value 'x': expected float, got str"),
        ("ratio", float("nan"), "ratio: invalid value nan: expected a finite number"),
        ("ratio", float("-inf"), "ratio: invalid value -inf: expected a finite number"),
        ("flag", 0, "flag: invalid value 0: expected bool, got int"),
        ("path", 3, "path: expected text, got int: quote it"),
        ("path", "", "path: is empty; give it a value, or leave it out"),
        ("secret", 1234, "secret: expected text, got int: quote it"),
        ("mode", "endpoint", "mode: invalid value 'endpoint': did you mean 'endpoints'?"),
        ("mode", 3, "mode: invalid value 3: expected one of endpoints, pods"),
        ("ports", [1, "x", 3, None], "ports[1]: invalid value 'x': expected int, got str"),
        ("ports", {}, "ports: expected a list, got mapping"),
        ("ports", None, "ports: expected a list, got nothing"),
        ("ports", "1,x,3", "ports[1]: invalid value 'x': expected int, got str"),
        ("ports", "1,04", "ports[1]: invalid value '04': expected int, got str"),
        ("retries", "a,b", "retries: expected a list, got str"),
        ("tags", {"a": 1}, "tags.a: invalid value 1: expected str, got int"),
        ("tags", {1: "a"}, "tags: key 1 is not text: quote it"),
        ("tags", ["a"], "tags: expected a mapping, got list"),
        ("retry", {"time": 3}, "retry.time: unknown key: did you mean 'times'?"),
        ("retry", {}, "retry: missing key 'times'"),
        ("retry", 3, "retry: expected a mapping, got int"),
        ("retries", [{"times": "x"}], "retries[0].times: invalid value 'x': expected int, got str"),
        ("maybe", "x", "maybe: invalid value 'x': expected int, got str"),
        ("bounded", 10, "bounded: invalid value 10: expected at least 1 and at most 9"),
        ("either", True, "either: invalid value True: expected int | str, got bool"),
        ("nunber", 3, "nunber: unknown key: did you mean 'number'?"),
    ],
)
def test_wrong_value_says_what_was_expected(name, given, message):
    assert faults({name: given})[0] == message


@pytest.mark.parametrize("name", ["known", "derived"])
def test_class_variables_and_derived_fields_are_no_options(name):
    [fault] = faults({name: 3})
    assert fault.startswith(
        f"{name}: unknown key: expected one of bounded, callback, either, flag, maybe, mode, "
    )


def test_every_fault_is_found():
    given = {
        "number": "x",
        "ports": [1, "x", None],
        "retry": {"times": "x", "tims": 1},
        "tags": {"a": 1, "b": 2},
    }
    assert len(faults(given)) == 7


def test_long_values_are_shown_short():
    assert len(faults({"number": "x" * 10_000})[0]) < 200


def test_only_what_is_given_is_returned():
    assert options({}) == {}


def test_required_options_are_asked_for():
    assert faults({"interval_s": "x"}, Polling) == [
        "interval_s: invalid value 'x': expected float, got str",
        "missing key 'query'",
    ]


def test_class_that_is_no_dataclass_takes_no_options():
    assert options({}, Silent) == {}
    assert faults({"a": 1}, Silent) == [
        "Silent takes no options: only the fields of a dataclass are options"
    ]


def test_type_that_cannot_be_resolved_is_named():
    message = (
        "the option types of Unresolvable cannot be resolved: NameError: name 'Missing' is not "
        "defined"
    )
    assert faults({}, Unresolvable) == [message]


@pytest.mark.parametrize(
    "kind",
    [
        Any,
        list[int],
        tuple[int, int],
        tuple,
        Mapping,
        Mapping[int, str],
        int | list[int],
        object,
        bytes,
    ],
)
def test_other_types_cannot_be_configured(kind):
    with pytest.raises(ConfigError, match="no configuration can give a value of type"):
        convert(Document(data=1).root, kind)


def test_bounds_of_a_collection_are_not_ignored():
    with pytest.raises(ConfigError, match="no configuration can give"):
        convert(Document(data=[1]).root, Annotated[tuple[int, ...], "at least two"])


def test_constructor_error_is_reported_at_its_option():
    with pytest.raises(ConfigError) as raised:
        construct(
            Document(data={}).root.child("config", {}), Polling, {"query": "x", "interval_s": -1.0}
        )
    assert str(raised.value) == "config.interval_s: -1.0 is not positive"


class TestAliases:
    def test_an_alias_gives_the_option(self):
        assert options({"old_selector": "app=web"}, Renamed) == {"selector": "app=web"}
        assert options({"selector": "app=web", "older_port": 1}, Renamed) == {
            "selector": "app=web",
            "port": 1,
        }

    def test_a_wrong_value_is_reported_under_the_name_that_was_used(self):
        assert faults({"selector": "x", "old_port": "x"}, Renamed) == [
            "old_port: invalid value 'x': expected int, got str"
        ]

    def test_both_names_are_refused_by_name(self):
        assert faults({"selector": "x", "old_port": 1, "port": 1}, Renamed) == [
            "port: is another name of 'old_port', which is given too: give one of them"
        ]
        assert (
            len(faults({"selector": "x", "old_port": 1, "port": 1, "older_port": 1}, Renamed)) == 2
        )

    def test_a_required_option_is_asked_for_by_its_own_name(self):
        assert faults({}, Renamed) == ["missing key 'selector'"]

    def test_the_nearest_name_may_be_an_alias(self):
        assert faults({"selector": "x", "old_prot": 1}, Renamed) == [
            "old_prot: unknown key: did you mean 'old_port'?"
        ]


class TestYamlHints:
    @pytest.fixture
    def hint(self, tmp_path):
        def hint(text):
            file = tmp_path / "o.yaml"
            file.write_text(text)
            with pytest.raises(ConfigError) as raised:
                read_options(read_yaml(str(file), {"PORT": "8080", "PIN": "0444"}).root, Full)
            return str(raised.value).partition(": ")[2]

        return hint

    def test_yaml_1_1_surprises_ask_for_quotes(self, hint):
        assert (
            hint("text: no")
            == "text: invalid value False: expected str, got bool; YAML reads no as bool: quote it"
        )
        assert hint("text: 12").endswith("got int; YAML reads 12 as int: quote it")
        assert "YAML 1.1 reads 12:30 as 750: quote it if it is text" in hint("text: 12:30")
        assert hint("ratio: 1e3").endswith("got str; YAML 1.1 reads 1e3 as text: write 1000")
        assert hint("number: 08").endswith("got str; YAML 1.1 reads 08 as text: write 8")
        assert hint("number: 0o17").endswith("got str; YAML 1.1 reads 0o17 as text: write 15")
        assert hint("number: -0O17").endswith("got str; YAML 1.1 reads -0O17 as text: write -15")
        assert hint("number: 012:30").endswith(
            "YAML 1.1 reads 012:30 as text: write it without leading zeros and colons"
        )
        assert hint("number: '0o17'").endswith("got str")
        assert hint("number: 0o18").endswith("got str")
        assert hint("mode: off").endswith("YAML reads off as bool: quote it")
        assert hint("ports: [10, '010']").endswith("expected int, got str")

    def test_empty_variable_is_named(self, hint):
        assert hint("number: ${NO_PORT:-}").endswith(
            "got nothing; ${NO_PORT:-} is empty: set the variable, or write a default"
        )

    def test_secret_that_yaml_misreads_is_not_shown(self, hint):
        for text in ("secret: 0444", "secret: ${PIN}"):
            assert hint(text) == "secret: expected text, got a number: quote it"

    def test_quoted_reference_asks_for_the_quotes_to_go(self, hint):
        assert hint("number: '${PORT}'").endswith(
            "a quoted ${...} is text: write it unquoted, on a line of its own"
        )

    def test_there_is_none_where_quotes_would_not_help(self, hint):
        assert hint("number: true") == "number: invalid value True: expected int, got bool"
        assert hint("number: 'x'") == "number: invalid value 'x': expected int, got str"


class Quoting(Polling):
    """Quotes the text that it refuses."""

    def __post_init__(self):
        raise ValueError(f"query: cannot use {self.query!r}")


def seed_errors(tmp_path, seeds):
    """Return what is wrong with the seeds of a static list that one variable holds."""
    file = tmp_path / "seeds.yaml"
    file.write_text("nodes: ${SEEDS}")
    root = read_yaml(str(file), {"SEEDS": seeds}).root
    with pytest.raises(ConfigError) as raised:
        construct(root, StaticStrategy, read_options(root, StaticStrategy))
    return [str(error) for error in raised.value.errors]


class TestLists:
    @pytest.fixture
    def taken(self, tmp_path):
        def taken(text, cls=Full, **environ):
            file = tmp_path / "o.yaml"
            file.write_text(text)
            return read_options(read_yaml(str(file), environ).root, cls)

        return taken

    @pytest.mark.parametrize(
        ("seeds", "hosts"),
        [
            ("a:1,b:2", ("a:1", "b:2")),
            (" a:1 , b:2,, ", ("a:1", "b:2")),
            ("a:1", ("a:1",)),
            ("", ()),
            (",", ()),
        ],
    )
    @pytest.mark.parametrize(
        "text", ["hosts: ${SEEDS}", "hosts: '${SEEDS}'", "hosts: >\n  ${SEEDS},\n"]
    )
    def test_one_variable_can_hold_the_whole_list(self, taken, text, seeds, hosts):
        assert taken(text, Listing, SEEDS=seeds) == {"hosts": hosts}

    def test_numbers_come_from_a_variable_too(self, taken):
        assert taken("ports: ${PORTS}", PORTS="1,2") == {"ports": (1, 2)}
        assert taken("ports: ${PORTS}", PORTS="1") == {"ports": (1,)}
        assert taken("ports: ${PORTS:-}") == {"ports": ()}

    def test_bounded_text_that_looks_like_a_number_stays_text(self):
        part = Document(data="1,2").root
        assert convert(part, tuple[Annotated[str, msgspec.Meta(min_length=1)], ...]) == ("1", "2")

    def test_element_of_a_list_proper_keeps_its_comma(self, taken):
        assert taken("hosts: ['a,b', c]", Listing) == {"hosts": ("a,b", "c")}

    def test_forgotten_list_is_not_an_empty_one(self, taken):
        with pytest.raises(ConfigError, match="expected a list, got nothing"):
            taken("hosts:\n", Listing)

    @pytest.mark.parametrize(
        "seeds", ["null", "Null", "~", " null ", "4370", "10.5", "true", "04370", "12:30"]
    )
    def test_single_text_is_taken_as_it_is_written(self, taken, seeds):
        assert taken("hosts: ${SEEDS}", Listing, SEEDS=seeds) == {"hosts": (seeds.strip(),)}

    def test_written_number_is_a_text_too(self, taken):
        assert taken("hosts: 4370", Listing) == {"hosts": ("4370",)}

    @pytest.mark.parametrize("seeds", ["", " ", "\n", "\t"])
    def test_only_a_blank_variable_is_an_empty_list(self, taken, seeds):
        assert taken("hosts: ${SEEDS}", Listing, SEEDS=seeds) == {"hosts": ()}
        assert taken("ports: ${SEEDS}", SEEDS=seeds) == {"ports": ()}

    @pytest.mark.parametrize("ports", ["null", "Null", "~"])
    def test_null_is_no_list_of_numbers(self, taken, ports):
        with pytest.raises(
            ConfigError,
            match=re.escape(f"ports[0]: invalid value '{ports}': expected int, got str"),
        ):
            taken("ports: ${PORTS}", PORTS=ports)

    @pytest.mark.parametrize(
        "seeds",
        [
            "[a:1,b:2]",
            "[a:1]",
            '"a:1","b:2"',
            "'a:1'",
            "a:1 b:2",
            "a:1;b:2",
            "a:1\nb:2",
            '["a@x:1", "b@x:2"]',
            "[[::1]:1",
        ],
    )
    def test_other_notation_of_a_list_is_one_error_with_the_cure(self, tmp_path, seeds):
        [error] = seed_errors(tmp_path, seeds)
        assert error.endswith("; separate them by commas, without brackets or quotes")

    @pytest.mark.parametrize(
        "seeds", ["[::1]:99999", "4370", "10.5", "true", "null", "a:1,a:1", "a:1,b"]
    )
    def test_other_faults_of_elements_do_not_name_separators(self, tmp_path, seeds):
        [error] = seed_errors(tmp_path, seeds)
        assert "separate" not in error

    @pytest.mark.parametrize("ports", ["[1,2]", "1 2", "1;2", '"1","2"'])
    def test_other_notation_of_a_list_of_numbers_has_the_same_cure(self, taken, ports):
        with pytest.raises(ConfigError) as raised:
            taken("ports: ${PORTS}", PORTS=ports)
        [error] = raised.value.errors
        assert str(error).endswith(
            "expected int, got str; separate them by commas, without brackets or quotes"
        )

    def test_text_that_is_no_list_does_not_name_separators(self):
        given = {"query": "a b", "interval_s": -1.0}
        with pytest.raises(ConfigError) as raised:
            construct(Document(data=given).root, Quoting, given)
        assert str(raised.value) == "query: cannot use 'a b'"

    @pytest.mark.parametrize("text", ["hosts: null", "hosts: ~"])
    def test_written_null_is_no_list(self, taken, text):
        with pytest.raises(ConfigError, match="expected a list, got nothing"):
            taken(text, Listing)


class Holder:
    def __init__(self):
        self.secret = Secret("hush")


class TestSecret:
    def test_is_never_shown(self):
        secret = Secret("hush")
        shown = f"{secret} {secret!r} {secret!s:>20} {[secret]} {Full(secret=secret)}"
        assert "hush" not in shown
        assert secret.reveal() == "hush"

    def test_is_not_shown_field_by_field(self):
        full = Full(secret=Secret("hush"))
        copied = vars(pickle.loads(pickle.dumps(Holder())))
        assert "hush" not in f"{dataclasses.asdict(full)} {pprint.pformat(full)} {copied}"

    def test_is_equal_to_the_same_text_only(self):
        assert len({Secret("hush"), Secret("hush"), Secret("hust")}) == 2
        assert Secret("hush") != "hush"
        assert copy.deepcopy(Secret("hush")) == Secret("hush")

    def test_is_not_shown_where_it_is_wrong(self):
        assert "1234" not in str(faults({"secret": {"value": 1234}}))
