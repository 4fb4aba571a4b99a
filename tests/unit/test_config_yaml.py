"""A YAML file becomes plain data with places, or one clear line."""

import os

import pytest
import yaml

from cluster_kit import ConfigError
from cluster_kit.config import yaml_source
from cluster_kit.config.document import Place
from cluster_kit.config.yaml_source import MAX_BYTES, read_yaml


@pytest.fixture
def read(tmp_path):
    def read(content, **environ):
        file = tmp_path / "cluster.yaml"
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_yaml(str(file), environ)

    return read


@pytest.fixture
def fault(read):
    """Return a function that gives the error of a file, without the folder's name."""

    def fault(content, **environ):
        with pytest.raises(ConfigError) as raised:
            read(content, **environ)
        return str(raised.value).replace(raised.value.file, "cluster.yaml")

    return fault


@pytest.fixture
def unprivileged(tmp_path):
    """A file that must not be read, and a user who is held to that: root isn't."""
    (tmp_path / "cluster.yaml").touch(mode=0)
    user = os.geteuid()
    os.seteuid(user or 65534)
    yield
    os.seteuid(user)


def messages(document):
    return [str(error).replace(document.file, "cluster.yaml") for error in document.errors]


class TestData:
    def test_is_what_yaml_says(self, read):
        text = "a: {b: [1, 2.5, true, null, text, '8080'], c: 0x1F}\nd: !!str 8080\n"
        assert read(text).data == yaml.safe_load(text)

    def test_dates_stay_as_they_are_written(self, read):
        assert read("since: 2026-13-99\nuntil: 2026-11-23").data == {
            "since": "2026-13-99",
            "until": "2026-11-23",
        }

    def test_byte_order_mark_is_no_part_of_it(self, read):
        assert read("\ufeffa: 1").data == {"a": 1}

    def test_expanded_plain_scalar_is_read_again(self, read):
        assert read("port: ${PORT:-45892}\nbind: ${ON}", ON="true").data == {
            "port": 45892,
            "bind": True,
        }

    def test_expanded_quoted_scalar_stays_text(self, read):
        assert read("port: \"${PORT}\"\nhost: '${PORT}'", PORT="1").data == {
            "port": "1",
            "host": "1",
        }

    def test_variable_cannot_add_structure(self, read):
        assert read("a: ${X}", X="{b: [1]}\nc: !!python/name:os.system").data == {
            "a": "{b: [1]}\nc: !!python/name:os.system"
        }

    def test_alias_repeats_its_anchor(self, read):
        assert read("a: &x {b: 1}\nc: *x").data == {"a": {"b": 1}, "c": {"b": 1}}

    def test_merged_keys_give_way_to_own_and_to_earlier_ones(self, read):
        text = "a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 2}\nc: {<<: [*a, *b], x: 3}"
        assert read(text).data["c"] == yaml.safe_load(text)["c"] == {"x": 3, "y": 1, "z": 2}


class TestPlaces:
    def test_keys_and_values_have_their_own(self, read):
        document = read("top:\n  - ä: 1\n    port: 8080\n")
        assert document.keys["top", 0, "port"] == Place(3, 5, "port")
        assert document.values["top", 0, "port"] == Place(3, 11, "8080", expanded="8080")

    def test_columns_count_characters(self, read):
        assert read("a: {ä: 'ü', b: x}").values["a", "b"][:2] == (1, 16)

    def test_quotes_are_noted(self, read):
        assert read("a: '8080'").values["a",] == Place(1, 4, "8080", quoted=True, expanded="8080")

    def test_merged_key_is_where_it_is_written(self, read):
        document = read("a: &a\n  x: 1\nb:\n  <<: *a\n  y: 2\n")
        assert document.values["b", "x"][:2] == (2, 6)
        assert document.values["b",][:2] == (4, 3)


class TestFaults:
    def test_duplicate_key_names_both_places(self, read):
        document = read("a: 1\nb:\n  c: 1\n  c: 2\n  c: 3\n")
        assert messages(document) == [
            (
                "cluster.yaml:4:3: b.c: duplicate key: given first at cluster.yaml:3:3; remove one "
                "of them"
            ),
            (
                "cluster.yaml:5:3: b.c: duplicate key: given first at cluster.yaml:3:3; remove one "
                "of them"
            ),
        ]
        assert document.data["b"] == {"c": 1}

    def test_key_that_is_not_text_asks_for_quotes(self, read):
        assert messages(read("a:\n  8080: x\n  no: y\n  ? [b]\n  : z\n")) == [
            "cluster.yaml:2:3: a: key 8080 is not text: quote it",
            "cluster.yaml:3:3: a: key no is not text: quote it",
            "cluster.yaml:4:5: a: key of several values is not text: quote it",
        ]

    def test_unset_variable_raises_when_the_value_is_read(self, read):
        root = read("a: 1\nb: x${NOWHERE}\n").root
        with pytest.raises(ConfigError) as raised:
            _ = root.by_key()["b"].value
        assert (raised.value.path, raised.value.line, raised.value.column) == ("b", 2, 4)

    @pytest.mark.parametrize(
        ("scalar", "read_as"),
        [("04370", 2296), ("12:30", 750), ("0444", 292), ("-0_10", -8), ("1:30.5", 90.5)],
    )
    def test_number_that_yaml_reads_otherwise_than_it_is_written_is_refused(
        self, read, scalar, read_as
    ):
        with pytest.raises(
            ConfigError, match=rf"1:4: a: YAML 1.1 reads {scalar} as {read_as}: quote it"
        ):
            _ = read(f"a: {scalar}").root.by_key()["a"].value
        assert read(f"a: '{scalar}'").data == {"a": scalar}

    def test_such_a_number_from_the_environment_is_refused_with_its_variable(self, read):
        document = read("port: ${PORT}\nquoted: '${PORT}'\nhost: h${PORT}", PORT="04370")
        with pytest.raises(
            ConfigError, match=r"1:7: port: \$\{PORT\} is 04370; YAML 1.1 reads 04370 as 2296"
        ):
            _ = document.root.by_key()["port"].value
        assert (document.data["quoted"], document.data["host"]) == ("04370", "h04370")

    @pytest.mark.parametrize(
        ("scalar", "value"),
        [
            ("0", 0),
            ("007", 7),
            ("-12", -12),
            ("1_000", 1000),
            ("0x1F", 31),
            ("0b11", 3),
            ("0.5", 0.5),
            ("01.5", 1.5),
            ("1.0e+3", 1000.0),
        ],
    )
    def test_number_that_yaml_reads_as_it_is_written_is_taken(self, read, scalar, value):
        assert read(f"a: {scalar}").data == {"a": value}

    @pytest.mark.parametrize(
        "scalar",
        ["!!python/name:os.system ''", "!secret x", "!!int x", "!!timestamp x", "!!binary aGk="],
    )
    def test_tags_are_refused(self, read, scalar):
        with pytest.raises(ConfigError, match=r"1:4: a: tag '.*' is not supported"):
            _ = read(f"a: {scalar}").root.by_key()["a"].value

    @pytest.mark.parametrize(
        "collection", ["!!python/object/new:os.system [echo]", "!!set {a, b}", "!!omap [a: 1]"]
    )
    def test_tagged_collections_are_refused(self, read, collection):
        with pytest.raises(ConfigError, match="is not supported"):
            _ = read(f"a: {collection}").root.by_key()["a"].value

    def test_number_too_long_to_be_one_is_refused(self, read):
        with pytest.raises(ConfigError):
            _ = read("a: " + "9" * 5000).root.by_key()["a"].value

    def test_merging_something_else_is_refused(self, read):
        assert messages(read("a: {<<: 3}")) == [
            "cluster.yaml:1:9: a: '<<' merges mappings only: expected an alias of one"
        ]


class TestHostileFiles:
    def test_deep_nesting_is_refused_before_it_is_parsed(self, fault):
        assert "nested deeper" in fault("[" * 200_000)

    def test_alias_within_itself_is_refused(self, fault):
        assert "an alias must not contain itself" in fault("a: &a [*a, *a]")
        assert "an alias must not contain itself" in fault("a: &a {<<: *a}")

    def test_alias_bomb_is_refused(self, fault):
        lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
        lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
        assert "values, aliases included" in fault("\n".join(lines))

    def test_large_file_is_refused(self, fault):
        assert "more than 1048576 bytes" in fault("#" * (MAX_BYTES + 1))


class TestUnreadableFiles:
    @pytest.mark.parametrize("content", ["", "\n", "# nothing\n", "---\n", "~"])
    def test_empty(self, fault, content):
        assert (
            fault(content)
            == "cluster.yaml: the file is empty: expected a mapping with the key 'topologies'"
        )

    def test_missing(self, tmp_path):
        with pytest.raises(
            ConfigError, match=r"nowhere.yaml: cannot read the file: No such file or directory$"
        ):
            read_yaml(str(tmp_path / "nowhere.yaml"), {})

    def test_directory(self, tmp_path):
        with pytest.raises(ConfigError, match="cannot read the file: Is a directory"):
            read_yaml(str(tmp_path), {})

    @pytest.mark.usefixtures("unprivileged")
    def test_forbidden(self, tmp_path):
        file = tmp_path / "cluster.yaml"
        with pytest.raises(ConfigError, match="cannot read the file: Permission denied"):
            read_yaml(str(file), {})

    def test_name_that_no_file_can_have(self):
        with pytest.raises(ConfigError, match="cannot read the file: embedded null byte"):
            read_yaml("a\0b", {})

    def test_not_utf8(self, fault):
        assert (
            fault(b"a: 1\nb: \xff\n")
            == "cluster.yaml:2: the file is not UTF-8: save it in that encoding"
        )

    @pytest.mark.parametrize(
        ("content", "place"),
        [
            ("a: 'b", "1:6"),
            ("a: [1,\n", "2:1"),
            ("a: 1\n\tb: 2", "2:1"),
            ("a: 1\n---\nb: 2", "2:1"),
            ("a: *b", "1:4"),
            ("a: b: c", "1:5"),
        ],
    )
    def test_broken_syntax_has_its_place(self, fault, content, place):
        assert fault(content).startswith(f"cluster.yaml:{place}: not valid YAML: ")
        assert "\n" not in fault(content)

    def test_control_character(self, fault):
        assert fault("a: \0") == "cluster.yaml: not valid YAML: control characters are not allowed"

    @pytest.mark.parametrize(
        "content", ["a: 1\n\tb: 2", "a:\n\tb: 2", "a:\n  b: 1\n\tc: 2", "\ta: 1"]
    )
    def test_tab_is_named(self, fault, content):
        line = content[: content.index("\t")].count("\n") + 1
        assert fault(content).startswith(f"cluster.yaml:{line}:")
        assert "a tab cannot indent; replace the tab with spaces" in fault(content)

    @pytest.mark.parametrize(
        ("content", "problem"),
        [
            (
                "lan: {strategy: gossip,\n\tconnector: none bad: x}",
                "did not find expected ',' or '}'",
            ),
            ("a: [1,\n\t2: : 3]", "did not find expected node content"),
            ("a: {b: 1,\n\tc: 'x\n}", "found unexpected end of stream"),
            ("a: @x\tb", "found character that cannot start any token"),
        ],
    )
    def test_tab_is_not_named_where_something_else_is_wrong(self, fault, content, problem):
        assert problem in fault(content)
        assert "tab" not in fault(content)

    def test_tab_that_yaml_allows_is_no_fault(self, read):
        assert read("a:\t1\t# one\nb: [1,\t2]\n").data == {"a": 1, "b": [1, 2]}

    def test_reference_in_a_key_is_refused(self, read):
        assert messages(read("a:\n  ${KEY}: 1")) == [
            "cluster.yaml:2:3: a['${KEY}']: keys are never expanded: write it without ${...}"
        ]

    def test_reference_within_braces_asks_for_quotes(self, fault):
        assert "write the ${...} without { } and [ ] around it, or quote it" in fault(
            "config: {port: ${PORT}}"
        )


def test_works_without_libyaml(read, fault, monkeypatch):
    monkeypatch.setattr(yaml_source, "_Loader", yaml.SafeLoader)
    assert read("port: ${PORT:-1}\nhost: '${PORT:-1}'").data == {"port": 1, "host": "1"}
    assert "nested deeper" in fault("[" * 1000)
