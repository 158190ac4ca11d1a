"""From `--host` and `--profile` to a client."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from fm_client import Client, ConfigurationError

from ._background import running

LOCAL = "local"


@dataclass(frozen=True, slots=True)
class Connection:
    """Where to connect to; None: what environment and profile say."""

    host: str | None = None
    profile: str | None = None

    @property
    def is_fleeting(self) -> bool:
        """Whether it leads to a workspace that ends with this command."""
        return self.host == LOCAL and running() is None


@contextmanager
def connected(connection: Connection) -> Iterator[Client]:
    """A client. `local` is the workspace that runs in the background, else one of this process."""
    if connection.host == LOCAL and connection.profile:
        raise ConfigurationError("the embedded workspace, --host local, has no profile: leave out --profile")
    record = running() if connection.host == LOCAL else None
    if record is not None:
        client = Client(record.host, record.token)
    else:
        client = Client(connection.host, profile=connection.profile)
    with client:
        yield client
