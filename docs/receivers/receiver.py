"""A receiver of webhooks with nothing but Python's standard library (3.8 or newer).

    WEBHOOK_SECRET=whsec_... PORT=8080 python3 receiver.py
"""

import base64
import hashlib
import hmac
import json
import os
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOLERANCE_SECONDS = 5 * 60
MAX_BODY_BYTES = 1024 * 1024
PREFIX = "whsec_"


def key_of(secret: str) -> bytes:
    """The bytes that sign: what follows the prefix, in base64."""
    if not secret.startswith(PREFIX):
        raise SystemExit("WEBHOOK_SECRET must be the secret of an endpoint: whsec_...")
    return base64.b64decode(secret[len(PREFIX) :], validate=True)


def is_genuine(key: bytes, headers, body: bytes) -> bool:
    """Whether Latchkey sent this body, under this id, within the last five minutes (Standard Webhooks)."""
    message_id = headers.get("webhook-id", "")
    timestamp = headers.get("webhook-timestamp", "")
    if not message_id or not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
        return False
    # Else whoever recorded a delivery could send it again for ever.
    if abs(time.time() - int(timestamp)) > TOLERANCE_SECONDS:
        return False
    signed = message_id.encode() + b"." + timestamp.encode() + b"." + body
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest())
    # Several signatures come while a secret is rotated; one that fits is enough.
    for candidate in headers.get("webhook-signature", "").split(" "):
        version, _, signature = candidate.partition(",")
        # In constant time: how long it takes tells nothing about how much of it was right.
        if version == "v1" and hmac.compare_digest(signature.encode("latin-1", "replace"), expected):
            return True
    return False


KEY = key_of(os.environ.get("WEBHOOK_SECRET", ""))

# The same event can come more than once. In earnest this is a table with a unique column, written in the transaction that
# does the work: then an event is either done and remembered, or neither.
HANDLED_IDS = set()
LOCK = threading.Lock()


def handle(event: dict) -> None:
    """What is to be done. Longer work belongs into a queue: whoever takes more than 15 seconds gets the event again."""
    print("handled", event["id"], event["type"], flush=True)


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30

    def do_POST(self) -> None:
        length = self.headers.get("content-length", "")
        if not (length.isascii() and length.isdigit()) or int(length) > MAX_BODY_BYTES:
            self.close_connection = True
            return self.answer(413)
        # The bytes as they came: JSON that is parsed and written again has another signature.
        body = self.rfile.read(int(length))
        if not is_genuine(KEY, self.headers, body):
            return self.answer(401)
        message_id = self.headers["webhook-id"]
        with LOCK:
            if message_id in HANDLED_IDS:
                print("repeated", message_id, flush=True)
            else:
                handle(json.loads(body))
                HANDLED_IDS.add(message_id)
        self.answer(204)

    def answer(self, status: int) -> None:
        self.send_response(status)
        if status != 204:
            self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_) -> None:
        """The lines above say what happened."""


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "8080"))), Receiver)
    print("listening on", server.server_port, flush=True)
    server.serve_forever()
