"""Progress is for whoever watches a terminal."""

import os
import pty
import select
import subprocess
import sys

IMPORT = """
from gateway_tuning.cli.progress import progress
with progress("Importing rows", total=4) as done:
    done(2)
    print("a result")
    import time; time.sleep(0.3)
"""


def test_a_pipe_or_a_log_gets_the_result_alone():
    done = subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, text=True, check=True)

    assert (done.stdout, done.stderr) == ("a result\n", "")


def test_a_terminal_shows_how_much_is_done_and_standard_output_has_none_of_it():
    controller, terminal = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    process = subprocess.Popen(
        [sys.executable, "-c", IMPORT], stdout=subprocess.PIPE, stderr=terminal, env=environment, text=True
    )
    os.close(terminal)
    shown = b""
    while select.select([controller], [], [], 20)[0]:
        try:
            read = os.read(controller, 4096)
        except OSError:  # Linux says so when the other end is closed
            break
        if not read:
            break
        shown += read
    os.close(controller)

    assert process.communicate()[0] == "a result\n"
    assert b"Importing rows" in shown
    assert b"50 %" in shown
