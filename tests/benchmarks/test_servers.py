"""Servers of a trial's own end with it."""

import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

_TRIAL = """
import sys, time
from benchmarks.servers import Server, ended_in_order, own
command = lambda port, folder: [
    sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"
]
with ended_in_order(), own(Server(command)) as server:
    print(server.port, server.folder, flush=True)
    time.sleep(60)
"""


def test_a_trial_that_is_told_to_end_leaves_no_server_behind() -> None:
    trial = subprocess.Popen([sys.executable, "-c", _TRIAL], stdout=subprocess.PIPE, text=True)
    assert trial.stdout is not None
    port, folder = trial.stdout.readline().split()
    trial.send_signal(signal.SIGTERM)
    assert trial.wait(60) == 128 + signal.SIGTERM
    assert not Path(folder).exists()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(port)), 5)
