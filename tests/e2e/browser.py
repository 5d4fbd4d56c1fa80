"""A real browser without a window, for tests of pages. Chromium and its driver are big: tests/run.sh installs them only
with --all, and without them the tests of pages say that they were skipped."""

import shutil
import unittest

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
LIMIT_SECONDS = 60


def needs_browser(test_class):
    return unittest.skipUnless(CHROMIUM and DRIVER, "chromium and chromium-driver are not installed")(test_class)


def open_browser(test_class):
    """Closed with the class."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    # No sandbox: tests often run as root in a container, where Chromium refuses to start with one.
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--no-proxy-server",
                     "--hide-scrollbars", "--force-device-scale-factor=1"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(service=Service(DRIVER), options=options)
    test_class.addClassCleanup(browser.quit)
    browser.set_page_load_timeout(LIMIT_SECONDS)
    return browser


def set_width(browser, width, height=900):
    """Of the page itself, which a window's frame and least width would change."""
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride",
                            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600})


def overflow(browser):
    """By how many pixels the page is wider than the screen."""
    return browser.execute_script(
        "return document.documentElement.scrollWidth - document.documentElement.clientWidth")


def wait_for(browser, condition):
    from selenium.webdriver.support.ui import WebDriverWait
    return WebDriverWait(browser, LIMIT_SECONDS).until(condition)


def complaints(browser):
    """What the page said on its console, refused content among it, since last asked."""
    return [entry["message"] for entry in browser.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]
