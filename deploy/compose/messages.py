"""messages.py PORT: receives the messages of the compose stack's Alertmanager and prints a line
for each alert, which `docker compose logs messages` shows. Real receivers are people, whom
Alertmanager reaches by chat, mail or phone."""

import http.server
import json
import sys

LARGEST = 1_000_000


class Messages(http.server.BaseHTTPRequestHandler):
    # A client that sends only a part does not stay.
    timeout = 10

    def do_POST(self):
        length = int(self.headers.get("Content-Length", 0))
        if length > LARGEST:
            self.send_error(413)
            return
        message = json.loads(self.rfile.read(length))
        for alert in message["alerts"]:
            labels = alert["labels"]
            text = alert.get("annotations", {}).get("description", "")
            words = [alert["status"], labels.get("severity", ""), labels.get("alertname", "")]
            print(f"To {message['receiver']}: {' '.join(filter(None, words))}: {text}", flush=True)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        """A line for each request would hide the messages."""


with http.server.ThreadingHTTPServer(("", int(sys.argv[1])), Messages) as server:
    print(f"Listening on port {server.server_port}", flush=True)
    server.serve_forever()
