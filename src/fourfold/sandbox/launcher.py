"""Runs inside its own interpreter, before the program: builds the walls, then steps aside.

Standard library only; it is started by path (`python -I -S launcher.py SPECIFICATION`), never
imported. Structure constants are those of Linux's headers.
"""

from __future__ import annotations

import ctypes
import json
import os
import random
import resource
import signal
import stat
import struct
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

NEW_USER, NEW_MOUNTS, OTHERS = 0x10000000, 0x00020000, 0x20000000 | 0x40000000 | 0x08000000 | 0x04000000
"""CLONE_NEWUSER, CLONE_NEWNS, and CLONE_NEWPID, NEWNET, NEWIPC, NEWUTS together."""
PARENT_DIES, NO_NEW_PRIVILEGES, ADOPT_ORPHANS = 1, 38, 36
"""PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS, PR_SET_CHILD_SUBREAPER."""
BIND, RECURSIVE, PRIVATE, MOVE = 4096, 16384, 1 << 18, 8192
SET_ATTRIBUTES, READ_ONLY, NO_SETUID, WHOLE_TREE = 442, 0x1, 0x2, 0x8000
"""mount_setattr(2): its number, MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID, AT_RECURSIVE."""
BOX = "/box"
NAMESPACES = ("processes", "network")

Specification = dict[str, Any]


class Launcher:
    """One program from start to end."""

    def __init__(self, specification: Specification) -> None:
        self.asked = specification
        self.child = 0
        self.root = os.geteuid() == 0
        self.user = 2_000_000 + random.SystemRandom().randrange(10**8) if self.root else os.getuid()
        self.libc = ctypes.CDLL(None, use_errno=True)

    def run(self) -> None:
        os.set_inheritable(self.asked["status"], False)
        signal.signal(signal.SIGTERM, lambda *_: self.end())
        linux = sys.platform == "linux"
        if linux:
            self.libc.prctl(PARENT_DIES, signal.SIGKILL)
            self.libc.prctl(ADOPT_ORPHANS, 1)
        apart = linux and self.set_apart()
        if not linux:
            self.say(isolation=["limits"], weakness="namespaces exist on Linux only")
        self.child = os.fork()
        if self.child == 0:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            self.be_init() if apart else self.become_program(self.asked["folder"])
        self.wait_for_child(apart)

    def wait_for_child(self, apart: bool) -> None:
        _, status = os.waitpid(self.child, 0)
        if not apart:
            self.say(exit=os.waitstatus_to_exitcode(status))
        self.end()

    def end(self) -> None:
        """Kill whatever is left; with a process tree of its own, its first process takes all with it."""
        while True:
            for pid in {self.child, *children_of(os.getpid())}:
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            try:
                if os.waitpid(-1, os.WNOHANG)[0] == 0:
                    time.sleep(0.002)
            except ChildProcessError:
                os._exit(0)

    def set_apart(self) -> bool:
        """Leave the namespaces of the caller: processes, network, mounts, and users unless we are root."""
        user, group = os.getuid(), os.getgid()
        flags = NEW_MOUNTS | OTHERS | (0 if self.root else NEW_USER)
        try:
            self.call("unshare", flags)
            if not self.root:
                Path("/proc/self/setgroups").write_text("deny")
                Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
                Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
                with suppress(OSError):  # inside, nobody becomes a root of namespaces again
                    Path("/proc/sys/user/max_user_namespaces").write_text("0")
        except OSError as error:
            why = f"this system gives no namespaces ({os.strerror(error.errno or 0)})"
            self.say(isolation=["limits"], weakness=why)
            return False
        self.say(isolation=[*NAMESPACES, "limits"])
        return True

    def be_init(self) -> None:
        """Process 1 of the new namespace: hides the files, starts the program, and ends with it."""
        self.libc.prctl(PARENT_DIES, signal.SIGKILL)
        place = BOX
        try:
            self.hide_files()
            self.say(isolation=[*NAMESPACES, "files", "limits"])
        except OSError as error:
            place = self.asked["folder"]
            self.say(weakness=f"files outside are visible ({error.filename or ''} {os.strerror(error.errno or 0)})")
        program = os.fork()
        if program == 0:
            self.become_program(place)
        while True:
            pid, status = os.waitpid(-1, 0)
            if pid == program:
                self.say(exit=os.waitstatus_to_exitcode(status))
                os._exit(0)

    def hide_files(self) -> None:
        """A root of our own: the interpreter and the libraries, read-only, and an empty folder in memory."""
        root = os.path.join(self.asked["folder"], "root")
        program = Path(self.asked["folder"], "program.py").read_bytes()
        os.mkdir(root)
        self.mount("none", "/", None, RECURSIVE | PRIVATE)
        self.mount("tmpfs", root, "tmpfs", 0, "size=1m,mode=755")
        wanted = ["/usr", "/lib", "/lib64", "/etc/ld.so.cache", sys.base_prefix, sys.base_exec_prefix]
        for path in dict.fromkeys([*wanted, *(f"/dev/{name}" for name in ("null", "zero", "urandom"))]):
            self.show(path, root)
        box = root + BOX
        os.mkdir(box)
        self.mount("tmpfs", box, "tmpfs", 0, f"size={4 * self.asked['file_size']},mode=700")
        Path(box, "program.py").write_bytes(program)
        for path in (box, f"{box}/program.py"):
            os.chown(path, self.user, self.user if self.root else os.getgid())
        self.protect(root, whole_tree=False)
        os.chdir(root)
        self.mount(root, "/", None, MOVE)
        os.chroot(".")
        os.chdir("/")

    def show(self, path: str, root: str) -> None:
        """Make one path of the outer system appear in the new root, read-only."""
        inside = root + path
        if not os.path.lexists(path) or os.path.lexists(inside):
            return
        os.makedirs(os.path.dirname(inside), exist_ok=True)
        if os.path.islink(path):
            os.symlink(os.readlink(path), inside)
            return
        if stat.S_ISDIR(os.stat(path).st_mode):
            os.mkdir(inside)
        else:
            Path(inside).touch()
        self.mount(path, inside, None, BIND | RECURSIVE)
        self.protect(inside)

    def protect(self, path: str, whole_tree: bool = True) -> None:
        attributes = ctypes.create_string_buffer(struct.pack("=QQQQ", READ_ONLY | NO_SETUID, 0, 0, 0))
        flags = WHOLE_TREE if whole_tree else 0
        self.call("syscall", SET_ATTRIBUTES, -100, path.encode(), flags, attributes, 32)

    def become_program(self, place: str) -> None:
        """Give up what is left of our rights, take the limits, and turn into the program."""
        try:
            if self.root:
                if place != BOX:
                    os.chown(place, self.user, self.user)
                os.setgroups([])
                os.setresgid(self.user, self.user, self.user)
                os.setresuid(self.user, self.user, self.user)
            os.chdir(place)
            ours = 0 if self.root else 2  # launcher and init are of the same user and count
            set_limits(self.asked | {"processes": self.asked["processes"] + ours})
            if sys.platform == "linux":
                self.libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0)
                self.libc.prctl(PARENT_DIES, signal.SIGKILL)
            environment = {"HOME": place, "TMPDIR": place, "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
            arguments = [sys.executable, "-I", "-B", "-X", "utf8", os.path.join(place, "program.py")]
            os.execve(sys.executable, arguments, environment)
        except OSError as error:
            self.say(failed=f"{error.filename or 'a limit'}: {error.strerror}")
        finally:
            os._exit(127)

    def mount(self, source: str, target: str, kind: str | None, flags: int, options: str = "") -> None:
        what = kind.encode() if kind else None
        self.call("mount", source.encode(), target.encode(), what, ctypes.c_ulong(flags), options.encode() or None)

    def call(self, name: str, *arguments: Any) -> None:
        """A function of the C library that returns -1 and sets errno when it fails."""
        if getattr(self.libc, name)(*arguments) == -1:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), name)

    def say(self, **values: Any) -> None:
        os.write(self.asked["status"], json.dumps(values).encode() + b"\n")


def set_limits(asked: Specification) -> None:
    """Limits that can only be lowered further, for this process and all that come of it."""
    bounds = {
        resource.RLIMIT_CPU: asked["cpu_seconds"],
        resource.RLIMIT_AS: asked["memory"],
        resource.RLIMIT_FSIZE: asked["file_size"],
        resource.RLIMIT_NOFILE: asked["open_files"],
        resource.RLIMIT_NPROC: asked["processes"],
        resource.RLIMIT_CORE: 0,
    }
    for which, bound in bounds.items():
        _, highest = resource.getrlimit(which)
        chosen = int(bound) if highest == resource.RLIM_INFINITY else min(int(bound), highest)
        with suppress(ValueError):  # macOS lets no one bound the address space
            resource.setrlimit(which, (chosen, chosen))


def children_of(parent: int) -> list[int]:
    """Running children by /proc; none where there is no /proc, and the caller kills the session instead."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, ValueError):
            state, its_parent = entry.read_text().rpartition(")")[2].split()[:2]
            if int(its_parent) == parent and state != "Z":
                found.append(int(entry.parent.name))
    return found


if __name__ == "__main__":
    Launcher(json.loads(sys.argv[1])).run()
