"""Rows as aligned columns."""

from cluster_kit.cli.text import columns, pairs


def test_cells_are_padded_to_the_widest_of_their_column():
    assert (
        columns([("A", "NAME"), ("long", "b"), ("c", "")], indent=" ")
        == " A     NAME\n long  b\n c"
    )


def test_cells_can_t_move_the_cursor_nor_make_lines_of_their_own():
    cell = pairs([("k", "\x1b[2J"), ("z", "1\nFAKE  b@h")])
    assert (
        columns([("NODE", "METADATA"), ("a@h", cell)]).splitlines()[1]
        == "a@h   k=\\x1b[2J z=1\\nFAKE  b@h"
    )


def test_nothing_is_a_dash():
    assert pairs([]) == "-"
