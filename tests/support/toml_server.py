"""A client of Tombi's TOML language server, as far as a test needs one: open a text, ask what stands at its cursor."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from pathlib import Path
from typing import Any, Final

PATIENCE: Final = 30.0
"""Seconds until a server that does not answer is ended, which ends the test that waits for it."""

CURSOR: Final = "┃"


class TomlServer:
    """A running server.

    Args:
        command: the program.
        folder: where the documents are.
    """

    def __init__(self, command: Path, folder: Path) -> None:
        self._folder = folder
        self._asked = 0
        self._said: list[dict[str, Any]] = []
        self._process = subprocess.Popen(
            [str(command), "lsp", "--offline", "--no-cache"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "XDG_CACHE_HOME": str(folder), "HOME": str(folder)},
        )
        self._watch = threading.Timer(PATIENCE, self._process.kill)
        self._watch.start()
        understood = {"completion": {"completionItem": {"documentationFormat": ["markdown"]}}, "publishDiagnostics": {}}
        self._request(
            "initialize",
            {"processId": os.getpid(), "rootUri": folder.as_uri(), "capabilities": {"textDocument": understood}},
        )
        self._send({"method": "initialized", "params": {}})

    def close(self) -> None:
        """End the server."""
        self._watch.cancel()
        self._process.kill()
        self._process.communicate()

    def completions(self, name: str, text: str) -> list[dict[str, Any]]:
        """Return what is offered at the cursor of a text."""
        found = self._request("textDocument/completion", self._opened(name, text))
        return list(found["items"] if isinstance(found, dict) else found or ())

    def hover(self, name: str, text: str) -> str:
        """Return what is shown for what stands at the cursor of a text."""
        found = self._request("textDocument/hover", self._opened(name, text))
        return str(found["contents"]["value"]) if found else ""

    def diagnostics(self, name: str, text: str) -> list[tuple[int, str]]:
        """Return line, from 1, and message of what the server finds wrong with a text."""
        uri = self._opened(name, text)["textDocument"]["uri"]
        said = [note["params"] for note in self._said if note.get("method") == "textDocument/publishDiagnostics"]
        last = next(params for params in reversed(said) if params["uri"] == uri)
        return [(each["range"]["start"]["line"] + 1, each["message"]) for each in last["diagnostics"]]

    def _opened(self, name: str, text: str) -> dict[str, Any]:
        """Open a text, wait until the server has read it, and return where its cursor is."""
        before, _, after = text.partition(CURSOR)
        path = self._folder / name
        path.write_text(before + after, encoding="utf-8")
        document = {"uri": path.as_uri(), "languageId": "toml", "version": 1, "text": before + after}
        self._send({"method": "textDocument/didOpen", "params": {"textDocument": document}})
        while not any(
            note.get("method") == "textDocument/publishDiagnostics" and note["params"]["uri"] == path.as_uri()
            for note in self._said
        ):
            self._next()
        line = before.count("\n")
        column = len(before) - (before.rfind("\n") + 1)
        return {"textDocument": {"uri": path.as_uri()}, "position": {"line": line, "character": column}}

    def _request(self, method: str, params: dict[str, Any]) -> Any:
        self._asked += 1
        self._send({"id": self._asked, "method": method, "params": params})
        while True:
            message = self._next()
            if message.get("id") == self._asked and "method" not in message:
                return message.get("result")

    def _next(self) -> dict[str, Any]:
        """Return the next message; what the server tells is kept, what it asks of an editor is answered with nothing."""
        message = self._read()
        if "method" in message and "id" in message:
            self._send({"id": message["id"], "result": None})
        elif "method" in message:
            self._said.append(message)
        return message

    def _send(self, message: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        self._process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        self._process.stdin.flush()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        length = 0
        while (line := self._process.stdout.readline()) not in {b"\r\n", b""}:
            name, _, value = line.partition(b":")
            length = int(value) if name.lower() == b"content-length" else length
        assert length, "the language server has ended, or did not answer in time"
        found: dict[str, Any] = json.loads(self._process.stdout.read(length))
        return found
