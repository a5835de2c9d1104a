"""A 64-bit ARM Debian userland in a folder, whose programs QEMU runs."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.pi.process import APART, COMMAND_S, PiError, checked, run

PACKAGES = ("ca-certificates", "python3", "python3-venv")
TOOLS = {"debootstrap": "debootstrap", "qemu-aarch64-static": "qemu-user-static"}
# A Raspberry Pi 4's processor. By itself QEMU emulates all extensions there are: what a Pi has not
# (OpenBLAS then takes other ways, one of which warns of sums that are right), and ten times slower.
_PROCESSOR = {"QEMU_CPU": "cortex-a72"}
_BUILD_S = 3600.0
_BINFMT = Path("/proc/sys/fs/binfmt_misc")
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


@dataclass(frozen=True)
class Userland:
    """The root folder of a Debian."""

    root: Path

    def run(
        self,
        command: Sequence[str],
        environment: Mapping[str, str] | None = None,
        folder: str = "/",
        seconds: float = COMMAND_S,
        shown: bool = False,
    ) -> subprocess.CompletedProcess[str]:
        """Runs a program inside, as :func:`tests.pi.process.run` does.

        The network is this machine's own; mounts and processes are in namespaces of the command's,
        so that none is left behind whatever becomes of it.
        """
        # The shell stays, for the first process of a namespace is spared most signals.
        inside = (
            'mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev" && '
            'mount -t tmpfs tmpfs "$0/tmp" && '
            'chroot "$0" /bin/sh -c \'cd "$0" && exec "$@"\' "$@"; exit $?'
        )
        kept = {name: os.environ[name] for name in os.environ if name.startswith("PIP_")}
        return run(
            [*APART, "sh", "-c", inside, str(self.root), folder, *command],
            {
                "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "HOME": "/root",
                "LANG": "C.UTF-8",
                "OPENBLAS_NUM_THREADS": "1",
                **_PROCESSOR,
                **kept,
                **(environment or {}),
            },
            seconds,
            shown=shown,
        )


def prepare() -> None:
    """Makes this machine able to build and run one.

    Raises:
        PiError: it is not Linux with apt, or not for this user to do.
    """
    if os.geteuid() != 0:
        raise PiError("chroot and mount need root; run it as root (sudo make test-pi)")
    missing = [package for tool, package in TOOLS.items() if shutil.which(tool) is None]
    if missing:
        if shutil.which("apt-get") is None:
            raise PiError(f"missing {', '.join(missing)}; install them")
        checked(["apt-get", "update", "-qq"])
        install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing]
        checked(install, {**os.environ, "DEBIAN_FRONTEND": "noninteractive"})
    if not (_BINFMT / "register").exists():
        checked(["mount", "-t", "binfmt_misc", "binfmt_misc", str(_BINFMT)])
    if not (_BINFMT / "qemu-aarch64").exists():
        _register()


def _register() -> None:
    """Tells the kernel which program runs the ELF files of 64-bit ARM.

    Magic and mask are the ELF header's first 20 bytes: 64 bits, little-endian, executable or
    shared, machine 183 (EM_AARCH64).  ``F`` opens QEMU now, so that it is there inside a chroot.
    """
    magic = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00\xb7\x00"
    mask = b"\xff" * 7 + b"\x00" + b"\xff" * 8 + b"\xfe\xff\xff\xff"
    escaped = ["".join(f"\\x{byte:02x}" for byte in part) for part in (magic, mask)]
    line = f":qemu-aarch64:M::{escaped[0]}:{escaped[1]}:{shutil.which('qemu-aarch64-static')}:F"
    try:
        (_BINFMT / "register").write_text(line)
    except OSError as error:
        raise PiError(f"binfmt_misc refuses qemu-aarch64: {error.strerror}") from None


def build(folder: Path, suite: str) -> Userland:
    """The userland of a Debian release under ``folder``, built where it is not there yet.

    Args:
        folder: kept between runs.
        suite: name of the release: bookworm has Python 3.11, trixie 3.13.
    """
    root = folder / f"{suite}-arm64"
    if not (root / "etc/debian_version").exists():
        aside = folder / f".{suite}-arm64.part"
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        included = f"--include={','.join(PACKAGES)}"
        what = ["--arch=arm64", "--variant=minbase", included, suite, str(aside)]
        # Apart, for it mounts things in there.
        checked([*APART, "debootstrap", *what], {**os.environ, **_PROCESSOR}, _BUILD_S)
        aside.rename(root)
    # A site may see its packages through a certificate authority of its own.
    if _CERTIFICATES.exists():
        shutil.copy(_CERTIFICATES, root / "etc/ssl/certs/ca-certificates.crt")
    shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
    (root / "etc/hosts").write_text("127.0.0.1 localhost\n::1 localhost\n")
    return Userland(root)
