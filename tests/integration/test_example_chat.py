"""The chat example in a real browser: messages at one node reach the browsers of all others."""

import secrets
import shutil
import signal
import socket
import sys
from pathlib import Path

import pytest
from cli_process import Process
from waiting import until

pytestmark = pytest.mark.once

EXAMPLE = Path(__file__).parents[2] / "examples" / "chat.py"


@pytest.fixture
def start():
    processes = []

    def start(name):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        node = Process(sys.executable, EXAMPLE, name, port)
        processes.append(node)
        node.until_printed(f"{name}: http")
        node.url = f"http://127.0.0.1:{port}"
        return node

    yield start
    for process in processes:
        process.end()


@pytest.fixture
def mark():
    """Return a unique part for node names: the example's cluster is open to the whole machine."""
    return secrets.token_hex(4)


@pytest.fixture
def browser(require, monkeypatch, tmp_path):
    require("chromedriver")
    require("chromium")
    selenium = pytest.importorskip("selenium.webdriver")
    for variable in (
        "http_proxy",
        "https_proxy",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "all_proxy",
        "ALL_PROXY",
    ):
        monkeypatch.delenv(variable, raising=False)
    options = selenium.ChromeOptions()
    for switch in (
        "--headless=new",
        "--no-sandbox",
        "--disable-dev-shm-usage",
        f"--user-data-dir={tmp_path / 'profile'}",
    ):
        options.add_argument(switch)
    options.binary_location = shutil.which("chromium")
    driver = selenium.Chrome(
        options=options, service=selenium.ChromeService(shutil.which("chromedriver"))
    )
    yield Browser(driver)
    driver.quit()


class Browser:
    """A browser with a tab for each node."""

    def __init__(self, driver):
        self._driver = driver
        self._tabs = {}

    def open(self, node):
        until(lambda: answers(node.url), f"{node.url} to answer")
        self._driver.switch_to.new_window("tab")
        self._driver.get(node.url)
        self._tabs[node.url] = self._driver.current_window_handle

    def say(self, node, text):
        self._driver.switch_to.window(self._tabs[node.url])
        self._driver.execute_script("input.value = arguments[0]; form.requestSubmit()", text)

    def shown(self, node):
        self._driver.switch_to.window(self._tabs[node.url])
        return self._driver.execute_script(
            "return [...document.querySelectorAll('li')].map(each => each.textContent)"
        )

    def close(self, node):
        self._driver.switch_to.window(self._tabs.pop(node.url))
        self._driver.close()
        self._driver.switch_to.window(next(iter(self._tabs.values())))


def answers(url):
    host, _, port = url.removeprefix("http://").partition(":")
    with socket.socket() as sock:
        return sock.connect_ex((host, int(port))) == 0


def says_until_shown(browser, speaker, text, *hearers):
    """Repeat it until all show it: a node that has just come or gone may miss one."""

    def all_have_it():
        browser.say(speaker, text)
        return all(any(line.endswith(text) for line in browser.shown(hearer)) for hearer in hearers)

    until(all_have_it, f"{text!r} in every browser")


def test_message_at_one_node_reaches_the_browsers_of_all(start, browser, mark):
    a, b, c = (start(f"{name}-{mark}") for name in "abc")
    for node in (a, b, c):
        browser.open(node)
    says_until_shown(browser, a, "good morning", a, b, c)
    says_until_shown(browser, c, "grüß Gott <b>& all</b>\u2028", a, b, c)

    c.signal_all(signal.SIGKILL)
    browser.close(c)
    says_until_shown(browser, b, "c is gone", a, b)
    d = start(f"d-{mark}")
    browser.open(d)
    says_until_shown(browser, a, "welcome d", a, b, d)

    for node in (a, b, d):
        node.signal(signal.SIGINT)
    assert [node.wait() for node in (a, b, d)] == [0, 0, 0]
    assert [node.errors for node in (a, b, d)] == [[], [], []]


def test_browser_that_closes_amid_messages_disturbs_no_other(start, browser, mark):
    a, b = (start(f"{name}-{mark}") for name in "ab")
    for node in (a, b):
        browser.open(node)
    says_until_shown(browser, a, "first", a, b)
    for number in range(50):
        browser.say(a, f"message {number}")
        if number == 25:
            browser.close(b)
    browser.open(b)
    says_until_shown(browser, a, "last", a, b)
    said = {f"a-{mark}: message {number}" for number in range(50)}
    until(
        lambda: said <= set(browser.shown(a)), "all messages at the node where they were said"
    )  # in any order: each is a request
    for node in (a, b):
        node.signal(signal.SIGINT)
    assert [(node.wait(), node.errors) for node in (a, b)] == [(0, []), (0, [])]
