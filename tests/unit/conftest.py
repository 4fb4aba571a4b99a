"""Fixtures that several files share: applications, their messengers, a link table, plugins."""

import pytest
from installed_plugins import install
from joined_boards import Application
from message_ends import Pair
from tcp_tables import Table

__all__ = ["install"]


def running(name):
    application = Application(name).start()
    yield application
    application.stop()


@pytest.fixture
def ann():
    """Return a running application, not linked yet."""
    yield from running("ann")


@pytest.fixture
def bob():
    """Return another one."""
    yield from running("bob")


@pytest.fixture
def pair():
    """Return two linked messengers."""
    return Pair()


@pytest.fixture
def table():
    """Return a link table without links."""
    return Table()
