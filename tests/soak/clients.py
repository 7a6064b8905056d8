"""Those who scrape the exporter: some well, others badly."""

import random
import socket
import ssl
import struct
import threading
import time
import zlib

ACCEPTS = [
    "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5",
    "application/openmetrics-text;escaping=allow-utf-8",
    "text/plain;version=1.0.0",
    "text/plain;version=0.0.4",
    "text/html,*/*",
]
PATHS = ["/metrics"] * 6 + [
    "/probe?target=fails-0",
    "/probe?target=many-orders",
    "/",
    "/?q=fails",
    "/api/v1/status?per_page=1000",
    "/calendar.ics",
    "/config",
    "/sd",
    "/-/healthy",
]
# How long a client waits for anything.
PATIENCE = 10


class Failed(Exception):
    """An answer that is not what a good client expects."""


class Client:
    """Asks the exporter at `address`, whose certificate is not verified."""

    def __init__(self, address):
        self.address = address

    def connect(self, protocol="http/1.1", receive_buffer=None):
        """A connection with TLS."""
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.set_alpn_protocols([protocol])
        plain = self.connect_plainly(receive_buffer)
        try:
            return context.wrap_socket(plain)
        except OSError:
            plain.close()
            raise

    def connect_plainly(self, receive_buffer=None):
        """A connection on which nothing was said yet."""
        plain = socket.socket()
        plain.settimeout(PATIENCE)
        if receive_buffer:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        plain.connect(self.address)
        return plain

    def get(self, path, accept=ACCEPTS[0], gzip=False, method="GET"):
        """The status and the body of an answer over HTTP/1.1."""
        coding = "Accept-Encoding: gzip\r\n" if gzip else ""
        with self.connect() as connection:
            connection.sendall(
                f"{method} {path} HTTP/1.1\r\nHost: soak\r\nAccept: {accept}\r\n"
                f"{coding}Connection: close\r\n\r\n".encode()
            )
            answer = bytearray()
            while part := connection.recv(1 << 16):
                answer += part
        head, _, body = bytes(answer).partition(b"\r\n\r\n")
        lines = head.decode().lower().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines[1:])
        if "content-length" not in headers or len(body) != int(headers["content-length"]):
            raise Failed(f"{path}: the body is not whole: {head[:200]}")
        if headers.get("content-encoding") == "gzip":
            body = zlib.decompress(body, wbits=31)
        return int(lines[0].split(" ")[1]), body

    def get_by_http2(self, path, takes=None):
        """The length of a body over HTTP/2. A client that `takes` fewer bytes than it was sent
        grants no more, and leaves after a while."""
        with self.connect("h2") as connection:
            reader = connection.makefile("rb")
            text = lambda index, value: bytes([index, len(value)]) + value
            # Of the static table: the method GET, the scheme https, a path and an authority.
            head = b"\x82\x87" + text(0x04, path.encode()) + text(0x01, b"soak")
            connection.sendall(
                b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b"") + frame(1, 5, 1, head)
            )
            length = 0
            while True:
                size, kind, flags, stream = struct.unpack(">I", b"\0" + reader.read(3)) + tuple(
                    struct.unpack(">BBI", reader.read(6))
                )
                content = reader.read(size)
                if kind == 4 and not flags & 1:
                    connection.sendall(frame(4, 1, 0, b""))
                elif kind == 0:
                    length += size
                    if flags & 1:
                        return length
                    if takes is not None and length >= takes:
                        time.sleep(PATIENCE)
                        return length
                    if size:
                        grant = struct.pack(">I", size)
                        connection.sendall(frame(8, 0, 0, grant) + frame(8, 0, stream, grant))
                elif kind in [3, 7]:
                    raise Failed(f"{path}: HTTP/2 ended: {kind} {content!r}")


def frame(kind, flags, stream, content):
    """A frame of HTTP/2."""
    return struct.pack(">I", len(content))[1:] + struct.pack(">BBI", kind, flags, stream) + content


def ask_well(client, chance):
    """Asks for something as Prometheus, a browser or a calendar does."""
    path = chance.choice(PATHS)
    if chance.random() < 0.25:
        if not client.get_by_http2(path):
            raise Failed(f"{path}: nothing came over HTTP/2")
        return
    status, body = client.get(path, chance.choice(ACCEPTS), gzip=chance.random() < 0.5)
    if status == 503 and not path.startswith(("/metrics", "/-/")):
        # A page, while the bad clients' answers hold too much memory.
        return
    if status != 200 or not body:
        raise Failed(f"{path}: status {status}: {body[:200]}")
    if b"# EOF" in body[-8:] and not body.endswith(b"# EOF\n"):
        raise Failed(f"{path}: the end is missing")


def ask_badly(client, chance):
    """Asks as nobody should."""
    request = b"GET /metrics HTTP/1.1\r\nHost: soak\r\n\r\n"
    manner = chance.randrange(9)
    if manner == 0:  # Says nothing.
        with client.connect_plainly():
            time.sleep(chance.uniform(0, 12))
    elif manner == 1:  # Says what is no TLS.
        with client.connect_plainly() as plain:
            plain.sendall(request)
            plain.recv(100)
    elif manner == 2:  # Asks for half of something.
        with client.connect() as connection:
            connection.sendall(request[: chance.randrange(1, len(request) - 1)])
            time.sleep(chance.uniform(0, 12))
    elif manner == 3:  # Never reads.
        with client.connect(receive_buffer=4096) as connection:
            connection.sendall(request * 20)
            time.sleep(chance.uniform(0, 15))
    elif manner == 4:  # Reads slowly.
        with client.connect(receive_buffer=4096) as connection:
            connection.sendall(request)
            for _ in range(20):
                connection.recv(500)
                time.sleep(0.3)
    elif manner == 5:  # Leaves in the middle, with a reset.
        with client.connect() as connection:
            connection.sendall(request * 3)
            connection.recv(500)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    elif manner == 6:  # Says too much.
        with client.connect() as connection:
            connection.sendall(b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 5000)
            connection.recv(100)
    elif manner == 7:  # Grants no more in HTTP/2.
        client.get_by_http2("/metrics", takes=chance.randrange(1, 60000))
    else:  # Opens many connections at once, and asks on each.
        connections = [client.connect() for _ in range(30)]
        for connection in connections:
            connection.sendall(request)
        for connection in connections:
            connection.close()


class Crowd:
    """Several clients at the same time, each in its own thread. The bad ones rest on demand."""

    def __init__(self, client, good, bad, stop):
        self.client = client
        self.stop = stop
        self.bad_ones_rest = threading.Event()
        self.lock = threading.Lock()
        self.answers = 0
        self.failures = []
        self.misdeeds = 0
        for number in range(good):
            self._start(number, self._well)
        for number in range(good, good + bad):
            self._start(number, self._badly)

    def _start(self, seed, once):
        def run():
            chance = random.Random(seed)
            while not self.stop.wait(chance.uniform(0.2, 2)):
                once(chance)

        threading.Thread(target=run, daemon=True).start()

    def _well(self, chance):
        try:
            ask_well(self.client, chance)
            failure = None
        except (OSError, Failed, struct.error) as error:
            failure = f"{time.strftime('%T')} {error!r}"
        with self.lock:
            self.answers += 1
            if failure and not self.stop.is_set():
                self.failures.append(failure)

    def _badly(self, chance):
        if self.bad_ones_rest.is_set():
            return
        try:
            ask_badly(self.client, chance)
        except (OSError, Failed, struct.error):
            # What else is to be expected.
            pass
        with self.lock:
            self.misdeeds += 1

    def take(self):
        """What has happened since the last time: good answers, failures and misdeeds."""
        with self.lock:
            taken = (self.answers, self.failures, self.misdeeds)
            self.answers, self.failures, self.misdeeds = 0, [], 0
        return taken
