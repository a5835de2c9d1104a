"""The operator's broker as a folder: what lies in it, and how it changes.

::

    mosquitto.conf  users.json  passwords  acl     the last two are made of users.json
    ca.crt  ca.key  server.pem                     devices are given ca.crt; server.pem is the
                                                   broker's certificate with its key, so that the
                                                   two are replaced together
    credentials/<user>.password                    handed to the user, and deleted here
    data/                                          what Mosquitto keeps
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib import resources
from pathlib import Path
from string import Template

from filelock import FileLock, Timeout

from edge_client.files import write_whole
from edge_client.fleet.errors import FleetError
from edge_client.fleet.names import check_name
from serving.broker.authority import Signed, hosts_of, issue, make_authority
from serving.broker.passwords import hashed, new_password
from serving.broker.rights import acl, home_assistant_name
from serving.broker.users import Role, User, read_users, write_users
from serving.options import UsageError

REGISTRY = "registry"
DEFAULT_PORT = 8883
CONFIGURATION, USERS, PASSWORDS, ACL = "mosquitto.conf", "users.json", "passwords", "acl"
CA, CA_KEY, SERVER = "ca.crt", "ca.key", "server.pem"
# What a running Mosquitto takes over on SIGHUP.
RELOADED = (PASSWORDS, ACL, SERVER)
_LOCK_TIMEOUT_S = 10
_LISTENER = re.compile(r"^listener +([0-9]{1,5})(?: +(\S+))?\s*$", re.MULTILINE)


def create(
    path: Path, hosts: Sequence[str], port: int = DEFAULT_PORT, bind: str = ""
) -> BrokerFolder:
    """Makes the folder, whole or not at all, with a user for the registry.

    Args:
        path: of the folder, which must not be there yet or be empty.
        hosts: names and addresses by which clients reach the broker, the best known first.
        port: where it listens.
        bind: the address on which it listens; empty: on all of this machine's.

    Raises:
        UsageError: something is there, cannot be written, or is no host.
    """
    if not 0 < port < 65536:
        raise UsageError(f"port {port}: a port is between 1 and 65535")
    if bind and not re.fullmatch(r"[A-Za-z0-9.:%_-]{1,253}", bind):
        raise UsageError(f"address {bind[:60]!r}: no address of this machine")
    authority = make_authority(hosts[0])
    server = issue(authority, hosts)
    template = Template(resources.files(__package__).joinpath(CONFIGURATION).read_text("utf-8"))
    configuration = template.substitute(
        user=_user_name(), port=port, bind=f" {bind}" if bind else ""
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    except OSError as error:
        raise UsageError(f"{path}: cannot be made: {error.strerror}") from error
    try:
        made = BrokerFolder(aside)
        for name in ("credentials", "data"):
            (aside / name).mkdir(mode=0o700)
        write_whole(aside / CONFIGURATION, configuration.encode())
        write_whole(aside / CA_KEY, authority.key, mode=0o600)
        write_whole(aside / CA, authority.certificate)
        write_whole(aside / SERVER, server.certificate + server.key, mode=0o600)
        write_users(aside / USERS, {})
        made.add([REGISTRY], "registry")
        aside.chmod(0o755)
        aside.rename(path)  # over an empty folder at most
    except BaseException as error:
        shutil.rmtree(aside, ignore_errors=True)  # there are keys in it
        if not isinstance(error, OSError):
            raise
        problem = error.strerror if not path.exists() else "there is something in it"
        raise UsageError(f"{path}: cannot be made: {problem}") from error
    return BrokerFolder(path)


def _user_name() -> str:
    """Of whoever runs this; Mosquitto's own where the system has no name for them."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return "mosquitto"


class BrokerFolder:
    """A folder that :func:`create` made."""

    def __init__(self, path: Path) -> None:
        """Looks at nothing yet; see :meth:`checked`."""
        self.path = path

    def checked(self) -> BrokerFolder:
        """The same. Raises `UsageError` where it is none, or is another user's."""
        for name in (CONFIGURATION, USERS, CA, SERVER):
            try:
                there = (self.path / name).is_file()
            except OSError as error:
                raise UsageError(f"{error.filename}: {error.strerror}") from error
            if not there:
                raise UsageError(
                    f"{self.path}: no broker's folder ({name} is missing); make one with "
                    "ml4iot-broker init"
                )
        return self

    @property
    def ca(self) -> Path:
        """The certificate by which clients know the broker."""
        return self.path / CA

    @property
    def users(self) -> dict[str, User]:
        """By name. Raises `UsageError` for a file that cannot be read."""
        return read_users(self.path / USERS)

    def listens(self) -> tuple[str, int]:
        """The address (empty: all) and the port. Raises `UsageError` where there is no listener."""
        try:
            text = (self.path / CONFIGURATION).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{self.path / CONFIGURATION}: cannot be read: {error}") from error
        found = _LISTENER.search(text)
        if found is None:
            raise UsageError(f"{self.path / CONFIGURATION}: there is no line `listener PORT`")
        return found[2] or "", int(found[1])

    def add(self, names: Sequence[str], role: Role, cooperates: bool = False) -> list[Path]:
        """Lets more users in, all or none; the files in which their passwords are.

        Raises:
            UsageError: no name, or one that is taken.
        """
        names = list(dict.fromkeys(names))
        with self._changing() as users:
            taken = {home_assistant_name(name): name for name in users}
            for name in names:
                try:
                    check_name(name, role)
                except FleetError as error:
                    raise UsageError(str(error)) from error
                if name in users:
                    raise UsageError(
                        f"{users[name].role} {name} is there already; a new password comes from "
                        "ml4iot-broker password"
                    )
                other = taken.setdefault(home_assistant_name(name), name)
                if other != name:
                    raise UsageError(
                        f"{role} {name}: to Home Assistant the same as {other}; choose another name"
                    )
            return [self._set_password(users, User(name, role, "", cooperates)) for name in names]

    def new_password(self, name: str) -> Path:
        """Another password; the old one is good no more. Raises `UsageError`: nobody's name."""
        with self._changing() as users:
            return self._set_password(users, self._known(users, name))

    def remove(self, name: str, role: Role) -> None:
        """Lets a user in no more. Raises `UsageError`: nobody of this role."""
        with self._changing() as users:
            if self._known(users, name).role != role:
                raise UsageError(f"{name} is no {role} but a {users[name].role}")
            del users[name]
            self._password_file(name).unlink(missing_ok=True)

    def renew(self, hosts: Sequence[str] = ()) -> None:
        """Another certificate of the same CA, for the same hosts unless others are named."""
        with self._locked():
            try:
                authority = Signed((self.path / CA_KEY).read_bytes(), self.ca.read_bytes())
                known = hosts or hosts_of((self.path / SERVER).read_bytes())
                server = issue(authority, known)
                write_whole(self.path / SERVER, server.certificate + server.key, mode=0o600)
            except OSError as error:
                raise UsageError(f"{error.filename}: {error.strerror}") from error
            except UsageError:
                raise
            except ValueError as error:
                raise UsageError(
                    f"{self.path}: {CA_KEY}, {CA} or {SERVER} is damaged; restore it from a copy"
                ) from error

    def write_for_mosquitto(self) -> None:
        """Makes passwords and acl anew, whatever became of them."""
        with self._changing():
            pass

    @contextmanager
    def _changing(self) -> Iterator[dict[str, User]]:
        """The users, to be changed; what is made of them follows, or all stays as it is."""
        with self._locked():
            users = self.users
            yield users
            named = [users[name] for name in sorted(users)]
            passwords = "".join(f"{user.name}:{user.password}\n" for user in named)
            try:
                write_users(self.path / USERS, users)
                write_whole(self.path / ACL, acl(named).encode(), mode=0o600)
                write_whole(self.path / PASSWORDS, passwords.encode(), mode=0o600)
            except OSError as error:
                raise UsageError(f"{self.path}: cannot be written: {error.strerror}") from error

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            with FileLock(self.path / ".lock", timeout=_LOCK_TIMEOUT_S):
                yield
        except Timeout:
            raise UsageError(f"{self.path}: another ml4iot-broker is at work there") from None
        except OSError as error:
            raise UsageError(f"{self.path}: cannot be written: {error.strerror}") from error

    def _set_password(self, users: dict[str, User], user: User) -> Path:
        password, file = new_password(), self._password_file(user.name)
        users[user.name] = replace(user, password=hashed(password))
        try:
            file.parent.mkdir(mode=0o700, exist_ok=True)
            write_whole(file, password.encode() + b"\n", mode=0o600)
        except OSError as error:
            raise UsageError(f"{file}: cannot be written: {error.strerror}") from error
        return file

    def _password_file(self, name: str) -> Path:
        return self.path / "credentials" / f"{name}.password"

    def _known(self, users: dict[str, User], name: str) -> User:
        if name not in users:
            raise UsageError(f"{name[:60]!r}: nobody of that name; see ml4iot-broker users")
        return users[name]
