"""What a state file holds of secrets: texts encrypted with a key of this installation, in a file of its own."""

from __future__ import annotations

import base64
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

HOME_VARIABLE = "FM_WORKSPACE_HOME"
HOME = "~/.fm-workspace"
"""Where the key is kept, unless FM_WORKSPACE_HOME names another directory."""
KEY_FILE = "key"
TOKEN_FILE = "token"  # noqa: S105  # a file's name
KEY_BYTES = 32
NONCE_BYTES = 12
"""96 bits, made at random for each text: what NIST SP 800-38D asks of GCM."""
SEALED = "sealed:v1:"


class Vault(Protocol):
    """Seals texts for a state file, and opens them again. A text opens only under the name it was sealed for."""

    def seal(self, text: str, name: str) -> str:
        """`text` as it may be written down."""
        ...

    def open(self, sealed: str, name: str) -> str:
        """The text of `seal`."""
        ...


class Memory:
    """The vault of a workspace that writes nothing down: there is nothing to protect from."""

    def seal(self, text: str, name: str) -> str:
        """The text itself."""
        return text

    def open(self, sealed: str, name: str) -> str:
        """The text itself."""
        return sealed


class Encrypted:
    """AES-256-GCM with the key of this installation, which is read, or made at random, when it is first needed."""

    def __init__(self, home: Path | None = None) -> None:
        self._home = home or home_directory()
        self._key: bytes | None = None

    def seal(self, text: str, name: str) -> str:
        """`text` encrypted, as printable text."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce = secrets.token_bytes(NONCE_BYTES)
        body = AESGCM(self._secret()).encrypt(nonce, text.encode("utf-8", "surrogatepass"), name.encode())
        return SEALED + base64.b64encode(nonce + body).decode()

    def open(self, sealed: str, name: str) -> str:
        """The text of `seal`; what was never sealed is given back as it is. ValueError if it is another key's."""
        if not sealed.startswith(SEALED):
            return sealed
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        raw = base64.b64decode(sealed.removeprefix(SEALED))
        try:
            text = AESGCM(self._secret()).decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], name.encode())
        except InvalidTag:
            message = f"the state file was encrypted with another key than {self._home / KEY_FILE}: "
            raise ValueError(message + f"bring that key back, or name its directory in {HOME_VARIABLE}") from None
        return text.decode("utf-8", "surrogatepass")

    def _secret(self) -> bytes:
        if self._key is None:
            self._key = kept(self._home / KEY_FILE, lambda: secrets.token_bytes(KEY_BYTES))
            if len(self._key) != KEY_BYTES:
                raise ValueError(f"{self._home / KEY_FILE} is no key of {KEY_BYTES} bytes")
        return self._key


def home_directory() -> Path:
    """Where this installation keeps its key."""
    return Path(os.environ.get(HOME_VARIABLE) or HOME).expanduser()


def installation_token() -> str:
    """The token of this installation: random, kept in a file that only its owner reads."""
    return kept(home_directory() / TOKEN_FILE, lambda: secrets.token_urlsafe(KEY_BYTES).encode()).decode()


def kept(path: Path, make: Callable[[], bytes]) -> bytes:
    """The bytes in a file that only its owner can read; `make` fills it if there is none.

    Two processes that start at once end up with the same bytes. ValueError if others can read the file.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        _create(path, make())
    if os.name == "posix" and path.stat().st_mode & 0o077:
        raise ValueError(f"{path} can be read by others; make it yours alone: chmod 600 {path}")
    return path.read_bytes()


def _create(path: Path, content: bytes) -> None:
    """A link appears whole or not at all, and never over another file."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            pass  # another process was quicker; its content counts
    finally:
        draft.unlink()
