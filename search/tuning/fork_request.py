"""What Ray runs in place of Python to start a worker; see ``forkserver.py``.

A script on its own, run without site packages: it is there to be quick. Arguments:
the server's socket, then what Python would have been given.
"""

import json
import os
import socket
import sys


def main() -> None:
    """Have the server fork, or become Python where it does not answer."""
    path, *arguments = sys.argv[1:]
    if not forked(path, arguments):
        os.execv(sys.executable, [sys.executable, *arguments])


def forked(path: str, arguments: list[str]) -> bool:
    """Whether the server at ``path`` says that it has forked a process."""
    request = {
        "arguments": arguments,
        "environment": dict(os.environ),
        "folder": os.getcwd(),
    }
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.connect(path)
            socket.send_fds(server, [b"."], [0, 1, 2])
            server.sendall(json.dumps(request).encode())
            server.shutdown(socket.SHUT_WR)
            return bool(server.recv(16))
    except OSError:
        return False


if __name__ == "__main__":
    main()
