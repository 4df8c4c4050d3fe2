"""The browser of a test: a page that watches what must never happen, steps with names, and the API.

Everything on the page is found by role and label, as a person with a screen reader finds it. What a
program cannot see by looking once (a request to a foreign address, a violation of the content security
policy, an error in the console) is watched all the while and fails the step in which it happens.
"""

import http.client
import json
import os
import pathlib
import re
import socket
import urllib.error
import urllib.request
from contextlib import contextmanager

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect, sync_playwright

ORIGIN = os.environ["POSTRIDER_ORIGIN"]
OPERATOR = os.environ["POSTRIDER_TOKEN"]
RECEIVER = os.environ["POSTRIDER_RECEIVER"]
CHROMIUM = os.environ["POSTRIDER_CHROMIUM"]
SHOTS = pathlib.Path(os.environ["POSTRIDER_SHOTS"])
PATIENCE_MS = 20_000
# A refused form is an answer of 4xx, which the browser notes as an error of its own.
REFUSED = re.compile(r"Failed to load resource: the server responded with a status of (401|403|404|409|412|422)")

expect.set_options(timeout=PATIENCE_MS)


def api(method, path, body=None, token=OPERATOR):
    """A call of the admin API past the page; the answer's JSON."""
    request = urllib.request.Request(
        f"{ORIGIN}/api/v1{path}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"authorization": f"Bearer {token}", "content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        text = answer.read()
        return json.loads(text) if text else None


def account(name):
    api("PUT", f"/accounts/{name}", {})
    return name


def token(of, role="account_owner", platform_user=True):
    body = {"name": role, "kind": "user", "role": role, "platformUser": platform_user}
    return api("POST", f"/accounts/{of}/tokens", body)["token"]


def subscribe(of, name, path="/hook", events=("*",), **more):
    body = {"name": name, "callbackUrl": RECEIVER + path, "events": list(events), **more}
    return api("POST", f"/accounts/{of}/subscriptions", body)


def send(of, event, type="user.created", data=None):
    """An event over the socket, as the platform writes it."""
    wire = socket.socket(socket.AF_UNIX)
    wire.connect(os.environ["POSTRIDER_SOCKET"])
    connection = http.client.HTTPConnection("localhost")
    connection.sock = wire
    body = json.dumps({"accountId": of, "id": event, "type": type, "data": data or {"id": event}})
    connection.request("POST", "/v1/events", body, {"content-type": "application/json"})
    answer = connection.getresponse()
    assert answer.status == 202, answer.read()
    connection.close()


class Watch:
    """What a page did that it must not do."""

    def __init__(self, page):
        self.refusals_allowed = False
        self.faults = []
        page.on("request", self.asked)
        page.on("console", self.said)
        page.on("pageerror", lambda error: self.faults.append(f"a script failed: {error}"))
        page.on("crash", lambda _: self.faults.append("the page crashed"))
        page.add_init_script(
            "document.addEventListener('securitypolicyviolation', (event) =>"
            " console.error('policy violated: ' + event.violatedDirective + ' by ' + event.blockedURI));"
        )

    def asked(self, request):
        if not request.url.startswith((ORIGIN + "/", "data:", "blob:" + ORIGIN)):
            self.faults.append(f"asked a foreign address: {request.url}")

    def said(self, message):
        if message.type not in ("error", "warning"):
            return
        if self.refusals_allowed and REFUSED.match(message.text):
            return
        self.faults.append(f"console {message.type}: {message.text}")


class Run:
    """One scenario: a browser, and steps."""

    def __init__(self, name, browser):
        self.name = name
        self.browser = browser
        self.pages = []
        self.page = None
        self.watch = None

    def open(self, width=1280, height=900, **options):
        """A page of a browser that has never been here."""
        context = self.browser.new_context(viewport={"width": width, "height": height}, **options)
        context.set_default_timeout(PATIENCE_MS)
        self.page = context.new_page()
        self.watch = Watch(self.page)
        self.pages.append((self.page, self.watch))
        self.page.goto(ORIGIN + "/")
        return self.page

    @contextmanager
    def step(self, what, refused=False):
        """`refused`: the server says no in this step, on purpose."""
        print(f"  {what}", flush=True)
        self.watch.refusals_allowed = refused
        try:
            yield
            # A message of the browser comes after what caused it.
            self.page.evaluate("() => new Promise((done) => setTimeout(done, 0))")
            for _, watch in self.pages:
                assert not watch.faults, "; ".join(watch.faults)
        except BaseException:
            self.shoot(f"failed-{slug(what)}")
            print(f"FAILED in the step: {what}", flush=True)
            print(self.page.locator("body").aria_snapshot()[:6000], flush=True)
            raise
        finally:
            self.watch.refusals_allowed = False

    def shoot(self, name, full=False):
        SHOTS.mkdir(parents=True, exist_ok=True)
        path = SHOTS / f"{self.name}-{name}.png"
        self.page.screenshot(path=path, full_page=full)
        print(f"    screenshot: {path}", flush=True)

    def sign_in(self, secret):
        self.page.get_by_label("Token").fill(secret)
        self.page.get_by_role("button", name="Sign in").click()

    def to_webhooks(self):
        """By the menu, as the mission describes it."""
        self.page.get_by_role("button", name="Menu").click()
        self.page.get_by_role("link", name="Admin", exact=True).click()
        self.page.get_by_role("main").get_by_role("link", name="Integrations").click()
        expect(self.page.get_by_role("tab", name="Webhooks")).to_have_attribute("aria-selected", "true")

    def accessible(self, where=""):
        """What axe finds wrong on the page as it stands."""
        found = Axe().run(self.page, options={"resultTypes": ["violations"]}).response["violations"]
        lines = [
            f"{one['id']} ({one['impact']}): {one['help']}: "
            + ", ".join(str(node["target"]) for node in one["nodes"][:4])
            for one in found
        ]
        assert not lines, f"{where} is not accessible:\n" + "\n".join(lines)

    def fits(self):
        """Nothing sticks out at the side."""
        wide, room = self.page.evaluate(
            "() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]"
        )
        assert wide <= room, f"the page is {wide} px wide in {room}"


def slug(text):
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:60]


def play(name, scenario):
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        try:
            scenario(Run(name, browser))
        finally:
            browser.close()


__all__ = [
    "ORIGIN", "OPERATOR", "RECEIVER", "Run", "account", "api", "expect", "play", "send", "subscribe", "token",
]
