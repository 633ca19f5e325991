"""A server for the length of a script: started on free ports and a folder of its own, and stopped.

Guarantees: the server is stopped however the script ends; what it said is shown when it does not
come up.
Left out: measuring, which is the benches' work (they use this too).
"""

import contextlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

WRITE_KEYS = ('[{ key = "demo", store_id = "default", source = "web" },'
              ' { key = "probe", store_id = "probe", source = "probe" }]')


def free_port():
    """A port that was free a moment ago."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def status_bytes(pid, *keys):
    """Sizes the system tells of a process."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    values = dict(line.split(":", 1) for line in status.splitlines())
    return tuple(int(values[key].split()[0]) * 1024 for key in keys)


def resident_bytes(pid):
    """A process's memory: (now, the most so far)."""
    return status_bytes(pid, "VmRSS", "VmHWM")


def mapped_bytes(pid):
    """What of it are pages of files that others may share, the program's own above all."""
    return status_bytes(pid, "RssFile")[0]


class Server:
    """A running `tradewind serve`."""

    def __init__(self, binary, data_dir, settings=None):
        self.binary = str(pathlib.Path(binary).resolve())
        self.data_dir = pathlib.Path(data_dir)
        self.settings = settings or {}
        self.http_port, self.kafka_port = free_port(), free_port()
        self.postgres_port, self.flight_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.http_port}"
        self.process = None

    def environment(self):
        """Settings by environment, as `docs/config.md` names them."""
        variables = {
            "server.http_listen": f"127.0.0.1:{self.http_port}",
            "server.kafka_listen": f"127.0.0.1:{self.kafka_port}",
            "server.postgres_listen": f"127.0.0.1:{self.postgres_port}",
            "server.flight_listen": f"127.0.0.1:{self.flight_port}",
            "collect.write_keys": WRITE_KEYS,
        } | self.settings
        named = {f"TRADEWIND_{key.replace('.', '_').upper()}": str(value)
                 for key, value in variables.items()}
        return os.environ | named

    def start(self, seconds=120):
        """Returns the seconds from the process's start to the first healthy answer."""
        self.log = open(self.data_dir.parent / f"{self.data_dir.name}.log", "ab")
        started = time.monotonic()
        self.process = subprocess.Popen(
            [self.binary, "serve", "--data-dir", str(self.data_dir)],
            stdout=self.log, stderr=self.log, env=self.environment())
        while time.monotonic() - started < seconds:
            if self.process.poll() is not None:
                self.fail(f"ended with {self.process.returncode}")
            with contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError):
                with urllib.request.urlopen(f"{self.url}/healthz", timeout=5) as answer:
                    if answer.status == 200:
                        return time.monotonic() - started
            time.sleep(0.01)
        self.fail(f"not healthy after {seconds} s")

    def fail(self, reason):
        """Ends the script with what the server said last."""
        said = pathlib.Path(self.log.name).read_text(errors="replace")[-4000:]
        sys.exit(f"{self.binary} serve: {reason}\n{said}")

    def stop(self, how=signal.SIGTERM, seconds=60):
        """Stops it and waits for its end; SIGTERM is a clean stop."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(how)
        self.process.wait(seconds)
        self.log.close()

    def replay(self, file, mapping):
        """`tradewind replay` of one file to this server."""
        state = self.data_dir.parent / f"{self.data_dir.name}.replay"
        state.mkdir(exist_ok=True)
        subprocess.run(
            [self.binary, "replay", str(file), "--mapping", str(mapping), "--url", self.url,
             "--write-key", "demo", "--state-dir", str(state)], check=True)

    def resident_bytes(self):
        """Its memory: (now, the most so far)."""
        return resident_bytes(self.process.pid)

    def processor_seconds(self):
        """Processor time it has used."""
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def running(binary, settings=None, folder=None):
    """A started server in a fresh folder, which is removed at the end."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="tradewind-", dir=folder))
    server = Server(binary, folder / "data", settings)
    try:
        server.start()
        yield server
    finally:
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.stop()
        if server.process is not None and server.process.poll() is None:
            server.process.kill()
        shutil.rmtree(folder, ignore_errors=True)
