"""What all jobs share: a command of `timerec` whose JSON summary ends the job's log."""

from __future__ import annotations

import io
import sys
import threading
from contextlib import redirect_stdout
from typing import TextIO

from timerec.cli import main
from timerec.data.cluster import disconnect


class _HoldBack(io.TextIOBase):
    """Standard output that keeps what the main thread prints; lines of workers come from a thread of Ray and pass."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._kept = stream, io.StringIO()

    def write(self, text: str) -> int:
        own = threading.current_thread() is threading.main_thread()
        return (self._kept if own else self._stream).write(text)

    def flush(self) -> None:
        self._stream.flush()

    def isatty(self) -> bool:
        return False

    def kept(self) -> str:
        """What the main thread printed."""
        return self._kept.getvalue()


def run_command(command: str, arguments: list[str] | None = None) -> None:
    """Run a command of `timerec`, leave Ray, and only then print the command's JSON: nothing of Ray comes after it.

    Args:
        command: name of a `timerec` command.
        arguments: its options; by default those of this process.

    Raises:
        SystemExit: with code 2 for a fault in data or settings, which one sentence on standard error names.
    """
    output = sys.stdout
    held = _HoldBack(output)
    try:
        with redirect_stdout(held):
            main([command, *(sys.argv[1:] if arguments is None else arguments)])
    finally:
        disconnect()
        output.write(held.kept())
        output.flush()
