"""release_starts.py ROOT: starts what the unit below ROOT starts, as systemd would: told
where to report, and waiting until it is ready, has reloaded and has stopped."""

import contextlib
import pathlib
import shlex
import signal
import socket
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(sys.argv[1])
UNIT = ROOT / "usr/lib/systemd/system/cwp-exporter.service"
PATIENCE = 60


def setting(name):
    lines = [line for line in UNIT.read_text().splitlines() if line.startswith(f"{name}=")]
    assert len(lines) == 1, lines
    return lines[0].removeprefix(f"{name}=")


def hear(manager, word):
    while word not in manager.recv(4096).decode().splitlines():
        pass


def main():
    assert setting("Type") == "notify"
    state = ROOT / "var/lib/cwp-exporter"
    state.mkdir(mode=0o700)
    start = setting("ExecStart").replace("$ARGS", "--web.listen-address=127.0.0.1:0")
    for folder in ["/usr", "/etc", "/var"]:
        start = start.replace(f"{folder}/", f"{ROOT}{folder}/")
    with contextlib.ExitStack() as stack:
        place = stack.enter_context(tempfile.TemporaryDirectory())
        manager = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        manager.bind(f"{place}/notify")
        manager.settimeout(PATIENCE)
        service = subprocess.Popen(
            shlex.split(start), env={"NOTIFY_SOCKET": f"{place}/notify"}, stderr=subprocess.DEVNULL
        )
        stack.callback(service.kill)
        hear(manager, "READY=1")
        assert setting("ExecReload") == "/bin/kill -HUP $MAINPID"
        service.send_signal(signal.SIGHUP)
        hear(manager, "RELOADING=1")
        hear(manager, "READY=1")
        service.terminate()
        hear(manager, "STOPPING=1")
        assert service.wait(PATIENCE) == 0, service.returncode
    for file in state.iterdir():
        file.unlink()
    state.rmdir()


main()
