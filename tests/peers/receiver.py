"""A receiver that checks what it gets with the published `standardwebhooks` library.

Speaks with the test in lines. It says `listening PORT` first. The test says `key SECRET`, which is answered
with `key`, and from then on SECRET decides: 204 for a delivery that it verifies, 400 for another. Each
delivery is told as `STATUS WEBHOOK-ID`. The end of its input ends it.
"""

import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks import Webhook, WebhookVerificationError

secret = None


def say(line):
    print(line, flush=True)


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        try:
            event = Webhook(secret).verify(body, dict(self.headers))
            status = 204 if event["id"] == self.headers["webhook-id"] else 500
        except WebhookVerificationError:
            status = 400
        say(f"{status} {self.headers['webhook-id']}")
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
server.daemon_threads = True
threading.Thread(target=server.serve_forever, daemon=True).start()
say(f"listening {server.server_address[1]}")
for line in sys.stdin:
    secret = line.split()[1]
    say("key")
