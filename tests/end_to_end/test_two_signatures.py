"""A registry whose pushes two people sign: made, pushed to and pulled from by the commands."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.edge_pusher.__main__ import main as push
from edge_client.__main__ import main as edge
from edge_client.fleet.installed.home import Home
from edge_client.fleet.installed.slots import Slots
from serving.registry.__main__ import main as registry_command
from serving.registry.launcher import start_registry
from serving.registry.options import RegistryOptions
from serving.registry.tokens import Tokens


def test_a_device_takes_what_two_keys_signed(
    repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, keys, home = (tmp_path / name for name in ("registry", "keys", "device"))
    two = ("--targets-keys", "2", "--targets-threshold", "2")
    assert registry_command(["init", str(folder), "--keys", str(keys), *two]) == 0
    assert "targets.pem, targets-2.pem" in capsys.readouterr().out
    (tmp_path / "token").write_text(Tokens(folder).add("pipeline", "push"))
    root = str(keys / "root.json")
    with start_registry(RegistryOptions(folder, port=0)) as registry:
        bundle = str(repository / "models" / "th-a.bundle")
        where = ["--registry", registry.url, "--token-file", str(tmp_path / "token")]
        one = ["--targets-key", str(keys / "targets.pem")]
        assert push([bundle, *where, "--root", root, *one]) == 2
        assert "signed by 2 different keys" in capsys.readouterr().err
        both = [*one, "--targets-key", str(keys / "targets-2.pem")]
        assert push([bundle, *where, "--root", root, *both]) == 0
        names = ["--id", "pi", "--model", "th-a:canary", "--home", str(home)]
        assert edge(["enrol", "--registry", registry.url, "--root", root, *names]) == 0
        assert edge(["pull", "--home", str(home)]) == 0
    active = Slots(Home(home), "th-a").active()
    assert active is not None
    assert active.bundle.read_bytes() == Path(bundle).read_bytes()
