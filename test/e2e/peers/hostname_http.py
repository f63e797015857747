"""Answers every request with the host's name, or with the second argument, after so many seconds (the third)."""
import os
import signal
import socket
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

NAME = sys.argv[2] if len(sys.argv) > 2 else socket.gethostname()
DELAY = float(sys.argv[3]) if len(sys.argv) > 3 else 0


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = NAME.encode()
        time.sleep(DELAY)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


class Server(ThreadingHTTPServer):
    address_family = socket.AF_INET6
    daemon_threads = True
    request_queue_size = 256


# a container's first process ignores what it has no handler for
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
Server(("::", int(sys.argv[1])), Handler).serve_forever()
