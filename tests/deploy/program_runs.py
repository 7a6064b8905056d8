"""program_runs.py ROOT REVISION: runs ROOT/bin/cwp-exporter, which says that it is REVISION, with
ROOT as all that there is, as the image's user, in a network that has nothing but loopback, and a
name server there that knows one name. The kernel has no more system calls than Linux 3.10, the
one of CentOS 7."""

import contextlib
import ctypes
import errno
import fcntl
import os
import pathlib
import re
import socket
import stat
import struct
import subprocess
import sys
import threading
import urllib.request

ROOT, REVISION = pathlib.Path(sys.argv[1]), sys.argv[2]
NAME = "cwp.example.com"
PATIENCE = 60
# Of x86_64, in Linux 3.10: finit_module.
LAST_SYSTEM_CALL = 313


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


def age_kernel():
    """Lets further system calls of this process fail as if the kernel did not know them."""
    load, more, give = 0x20, 0x25, 0x06
    allow, fail = 0x7FFF0000, 0x00050000 | errno.ENOSYS
    steps = [(load, 0, 0, 0), (more, 0, 1, LAST_SYSTEM_CALL), (give, 0, 0, fail), (give, 0, 0, allow)]
    code = b"".join(struct.pack("HBBI", *step) for step in steps)
    code = ctypes.create_string_buffer(code, len(code))
    rules = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(steps), ctypes.addressof(code)))
    set_seccomp, by_filter = 22, 2
    if ctypes.CDLL(None, use_errno=True).prctl(set_seccomp, by_filter, rules) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def command(*arguments, **variables):
    # Nothing but what is there, seen by nobody in particular.
    return {
        "preexec_fn": age_kernel,
        "args": ["chroot", "--userspec=65532:65532", ROOT, "/bin/cwp-exporter", *arguments],
        "env": {"PATH": os.environ["PATH"], **variables},
        "text": True,
    }


def look_up(name):
    """What the doctor says of an endpoint with this name."""
    doctor = subprocess.run(
        **command(
            "doctor",
            "--json",
            TENCENTCLOUD_SECRET_ID="AKIDexample",
            TENCENTCLOUD_SECRET_KEY="not-a-secret",
            CWP_EXPORTER_API__ENDPOINT=f"https://{name}",
        ),
        stdout=subprocess.PIPE,
        timeout=PATIENCE,
    )
    assert doctor.returncode == 1, doctor
    [status] = re.findall(r'"step": "dns",[^}]*"status": "(\w+)"', doctor.stdout)
    return status, doctor.stdout


def random_numbers_are_there():
    """What programs read where the kernel has no system call for it."""
    device = ROOT / "dev/urandom"
    if not device.exists():
        device.parent.mkdir(exist_ok=True)
        os.mknod(device, stat.S_IFCHR | 0o666, os.makedev(1, 9))
        device.chmod(0o666)


def names_resolve():
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 53))
    asked = []
    threading.Thread(target=answer_names, args=(server, asked), daemon=True).start()
    (ROOT / "etc/resolv.conf").write_text("nameserver 127.0.0.1\n")
    status, report = look_up(NAME)
    assert NAME in asked, f"the name server was not asked: {report}"
    assert status == "ok" and "127.0.0.1" in report, report
    # For a name that is nowhere, the C library also asks the modules that nsswitch.conf names.
    # They are of another version than the one in the program.
    status, report = look_up("nowhere.example.com")
    assert status == "failed", report


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
        assert f'revision="{REVISION}"' in text, text
        assert "\ntencentcloud_cwp_up{" in text, text
        status = (pathlib.Path("/proc") / str(demo.pid) / "status").read_text()
        assert re.search(r"^Uid:\t65532\t65532\t", status, re.M), status
        demo.terminate()
        assert demo.wait(PATIENCE) == 0, demo.returncode
    saved = list((ROOT / "var/lib/cwp-exporter").iterdir())
    assert saved, "the state was not saved"


loopback_up()
random_numbers_are_there()
names_resolve()
demo_is_scraped()
print("resolves names, serves and saves as user 65532, on an old kernel")
