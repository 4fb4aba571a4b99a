"""A browser at each of two servers."""

import shutil
from functools import partial
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.support.wait import WebDriverWait

PROGRAMS = ("chromedriver", "chromium")


@pytest.fixture
def browser(tmp_path):
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        pytest.skip(f"needs {missing[0]}")
    options = webdriver.ChromeOptions()
    for switch in (
        "--headless=new",
        "--no-sandbox",
        "--disable-dev-shm-usage",
        f"--user-data-dir={tmp_path / 'profile'}",
    ):
        options.add_argument(switch)
    options.binary_location = shutil.which("chromium")
    driver = webdriver.Chrome(
        options=options, service=webdriver.ChromeService(shutil.which("chromedriver"))
    )
    yield driver
    driver.quit()


def test_message_from_one_browser_is_shown_in_the_other(start, browser):
    tabs = []
    for port in (start(Path(__file__).parent), start(Path(__file__).parent)):
        browser.switch_to.new_window("tab")
        browser.get(f"http://127.0.0.1:{port}/")
        WebDriverWait(browser, 20).until(lambda browser: browser.title == "open")
        tabs.append(browser.current_window_handle)

    for speaker, listener in (tabs, tabs[::-1]):
        text = f"grüß Gott <b>\u2028 {speaker}"
        WebDriverWait(browser, 30).until(
            partial(is_shown, speaker=speaker, listener=listener, text=text)
        )


def is_shown(browser, speaker, listener, text):
    """Say it, again and again: one that was linked this moment may miss something."""
    browser.switch_to.window(speaker)
    browser.execute_script("say(arguments[0])", text)
    browser.switch_to.window(listener)
    return text in browser.execute_script("return [...said.children].map(each => each.textContent)")
