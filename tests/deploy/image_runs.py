"""image_runs.py ROOT: runs the program of an image as the image's user in a network that
has nothing but loopback, and a name server there that knows one name."""

import contextlib
import fcntl
import os
import pathlib
import re
import socket
import struct
import subprocess
import sys
import threading
import urllib.request

ROOT = pathlib.Path(sys.argv[1])
NAME = "cwp.example.com"
PATIENCE = 60


def loopback_up():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        set_flags, up = 0x8914, 0x1
        fcntl.ioctl(any_socket, set_flags, struct.pack("16sh", b"lo", up))


def answer_names(server, asked):
    """Answers every question for NAME with 127.0.0.1, and others with nothing."""
    while True:
        query, client = server.recvfrom(512)
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1 : at + 1 + query[at]].decode())
            at += query[at] + 1
        question = query[12 : at + 5]
        (kind,) = struct.unpack(">H", query[at + 1 : at + 3])
        name = ".".join(labels)
        asked.append(name)
        answer = b""
        if name == NAME and kind == 1:
            answer = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04" + bytes([127, 0, 0, 1])
        head = query[:2] + struct.pack(">HHHHH", 0x8180, 1, 1 if answer else 0, 0, 0)
        server.sendto(head + question + answer, client)


def command(*arguments, **variables):
    # Nothing but the image, seen by nobody in particular.
    return {
        "args": ["chroot", "--userspec=65532:65532", ROOT, "/bin/cwp-exporter", *arguments],
        "env": {"PATH": os.environ["PATH"], **variables},
        "text": True,
    }


def names_resolve():
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 53))
    asked = []
    threading.Thread(target=answer_names, args=(server, asked), daemon=True).start()
    (ROOT / "etc/resolv.conf").write_text("nameserver 127.0.0.1\n")
    report = subprocess.run(
        **command(
            "doctor",
            "--json",
            TENCENTCLOUD_SECRET_ID="AKIDexample",
            TENCENTCLOUD_SECRET_KEY="not-a-secret",
            CWP_EXPORTER_API__ENDPOINT=f"https://{NAME}",
        ),
        stdout=subprocess.PIPE,
        timeout=PATIENCE,
    ).stdout
    assert NAME in asked, f"the name server was not asked: {report}"
    assert re.search(r'"step": "dns",[^}]*"status": "ok"', report), report
    assert "127.0.0.1" in report, report


def demo_is_scraped():
    demo = subprocess.Popen(
        **command("demo", "--state.dir=/var/lib/cwp-exporter"), stderr=subprocess.PIPE
    )
    with contextlib.ExitStack() as stack:
        stack.callback(demo.kill)
        killer = threading.Timer(PATIENCE, demo.kill)
        killer.start()
        stack.callback(killer.cancel)
        for line in demo.stderr:
            if "listening" in line.lower():
                break
        else:
            raise AssertionError("the demo has ended")
        threading.Thread(target=demo.stderr.read, daemon=True).start()
        page = urllib.request.urlopen("http://127.0.0.1:10064/metrics", timeout=PATIENCE)
        text = page.read().decode()
        assert 'revision="tested"' in text, text
        assert "\ntencentcloud_cwp_up{" in text, text
        status = (pathlib.Path("/proc") / str(demo.pid) / "status").read_text()
        assert re.search(r"^Uid:\t65532\t65532\t", status, re.M), status
        demo.terminate()
        assert demo.wait(PATIENCE) == 0, demo.returncode
    saved = list((ROOT / "var/lib/cwp-exporter").iterdir())
    assert saved, "the state was not saved"


loopback_up()
names_resolve()
demo_is_scraped()
print("built without a network; resolves names, serves and saves as user 65532")
