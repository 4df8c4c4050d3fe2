"""The way of somebody whose endpoint broke: test it, see it fail and why, mend it, recover what was missed."""

import http.client
import json
import os
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from kit import account, api, expect, token


class Endpoint:
    """A receiver that can be broken and mended."""

    def __init__(self):
        self.status = 204
        self.got = []
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                self.rfile.read(int(self.headers["content-length"]))
                endpoint.got.append((self.headers["webhook-id"], endpoint.status))
                body = b"" if endpoint.status == 204 else b"the database is down"
                self.send_response(endpoint.status)
                if body:
                    self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def delivered(self):
        return {event for event, status in self.got if status == 204}


def send(of, event):
    """One event, over the engine's socket."""
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(os.environ["POSTRIDER_SOCKET"])
    body = {"id": event, "accountId": of, "type": "device.registered", "data": {"id": "d-1", "name": "Lobby"}}
    connection.request("POST", "/v1/events", json.dumps(body), {"content-type": "application/json"})
    answer = connection.getresponse()
    assert answer.status == 202, answer.read()


def missed(run):
    acme = account("acme")
    endpoint = Endpoint()
    sub = api("POST", f"/accounts/{acme}/subscriptions",
              {"name": "Front desk", "callbackUrl": endpoint.url, "events": ["device.registered"]})
    page = run.open()
    with run.step("sign in"):
        page.get_by_label("Token").fill(token(acme))
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("row", name="Front desk")).to_be_visible()
    with run.step("send a test event from the menu and see what came of it"):
        page.get_by_role("row", name="Front desk").get_by_role("button", name="More").click()
        page.get_by_role("menuitem", name="Send test event").click()
        box = page.get_by_role("dialog", name="Send test event")
        box.get_by_label("Event").select_option(label="Device Registered Event")
        box.get_by_role("button", name="Send", exact=True).click()
        expect(box.get_by_text("Delivered, 204")).to_be_visible()
        box.get_by_role("button", name="Close").click()
        assert len(endpoint.got) == 1, endpoint.got
    with run.step("the subscription's page shows a delivery as it happens"):
        page.get_by_role("row", name="Front desk").get_by_role("button", name="More").click()
        page.get_by_role("menuitem", name="Open").click()
        expect(page.get_by_role("heading", name="Front desk")).to_be_visible()
        expect(page.get_by_text("No deliveries yet")).to_be_visible()
        send(acme, "evt-good")
        expect(page.get_by_role("row", name="evt-good").get_by_text("Delivered")).to_be_visible()
    with run.step("the endpoint breaks, and the page says that it does and why"):
        endpoint.status = 500
        send(acme, "evt-missed")
        row = page.get_by_role("row", name="evt-missed")
        expect(row.get_by_text("Retrying")).to_be_visible()
        row.get_by_role("button", name="evt-missed").click()
        box = page.get_by_role("dialog", name="Delivery of evt-missed")
        expect(box.get_by_text("the database is down").first).to_be_visible()
        expect(box.get_by_text("status: ").first).to_be_visible()
        run.shoot("attempts")
        box.get_by_role("button", name="Close").click()
        expect(page.get_by_text("Their server refused")).to_be_visible()
        run.shoot("failing")
    with run.step("it is mended, and what was missed is counted and recovered"):
        endpoint.status = 204
        page.get_by_role("button", name="Recover", exact=True).click()
        box = page.get_by_role("dialog", name="Recover deliveries")
        box.get_by_label("Deliveries").select_option(label="All, delivered ones too")
        box.get_by_role("button", name="Count").click()
        # Its retry may have come by itself by now: "all" counts both in any case.
        expect(box.get_by_text("2 deliveries would be sent again.")).to_be_visible()
        box.get_by_role("button", name="Recover", exact=True).click()
        expect(box.get_by_text("Done")).to_be_visible()
        run.shoot("recovered")
        box.get_by_role("button", name="Close").click()
        expect(page.get_by_role("row", name="evt-missed").get_by_text("Delivered")).to_be_visible()
        assert endpoint.delivered() >= {"evt-good", "evt-missed"}, endpoint.got
    with run.step("one delivery is sent once more"):
        before = sum(event == "evt-good" for event, _ in endpoint.got)
        page.get_by_role("button", name="evt-good").click()
        box = page.get_by_role("dialog", name="Delivery of evt-good")
        box.get_by_role("button", name="Resend").click()
        expect(page.get_by_text("evt-good is sent again.")).to_be_visible()
        attempts = page.get_by_role("row", name="evt-good").get_by_role("cell", name=str(before + 1), exact=True)
        expect(attempts).to_be_visible()
        assert sum(event == "evt-good" for event, _ in endpoint.got) == before + 1, endpoint.got
    with run.step("a bad time is said beside its field", refused=True):
        page.get_by_role("button", name="Recover", exact=True).click()
        box = page.get_by_role("dialog", name="Recover deliveries")
        box.get_by_label("Until").fill("2001-01-01T00:00")
        box.get_by_role("button", name="Count").click()
        expect(box.get_by_label("Until")).to_have_attribute("aria-invalid", "true")
    assert sub["id"]
