"""Browsers without a screen: they keep cookies and send forms as pages hold them."""

import re
from html import unescape

import httpx
import pytest

from gateway_tuning.access.permissions import Role

# Who may open a page is decided before any database differs from another.
HOME = "/dashboard"


@pytest.fixture(params=["sqlite"])
def engine(engine):
    return engine


class Browser:
    def __init__(self, url):
        self.client = httpx.Client(base_url=url, timeout=20, trust_env=False, verify=False)  # noqa: S501 - plain http on loopback

    def get(self, path, **options):
        return self.client.get(path, **options)

    def send(self, page, path, **fields):
        """The form of `page` that goes to `path`, with its hidden fields."""
        found = re.search(rf'<form[^>]*action="{re.escape(path)}".*?</form>', page.text, re.DOTALL)
        assert found, f"the page has no form for {path}"
        hidden = {
            unescape(name): unescape(value)
            for name, value in re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', found[0])
        }
        return self.client.post(path, data=hidden | fields)

    def sign_in(self, credentials, path=HOME):
        page = self.get(f"{HOME}/sign-in", params={"next": path})
        return self.send(page, f"{HOME}/sign-in", credentials=credentials)


@pytest.fixture
def browser(server):
    opened = []

    def open_():
        opened.append(Browser(server.url))
        return opened[-1]

    yield open_
    for one in opened:
        one.client.close()


@pytest.fixture
def signed_in(browser, key_for):
    """A browser in which somebody of the role and tenant has signed in."""

    def make(role=Role.MODEL_ADMIN, tenant="default"):
        made = browser()
        assert made.sign_in(key_for(role, tenant)[1]).status_code == 303
        return made

    return make
