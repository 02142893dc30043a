"""Hostile programs. Each runs behind namespaces where the system gives them, and behind limits alone."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from fourfold.errors import UserError
from fourfold.sandbox import Limits, execution, run_python

pytestmark = pytest.mark.skipif(os.name != "posix", reason="programs of a model are run on Linux and macOS only")
SHORT = Limits(seconds=2, cpu_seconds=5)


def run(program, stdin="", limits=SHORT):
    return run_python(textwrap.dedent(program), stdin, limits)


def running(mark):
    """Processes whose command line or environment holds the mark."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if mark.encode() in entry.read_bytes():
                found.append(int(entry.parent.name))
        except OSError:
            continue
    return found


@pytest.fixture(params=["namespaces", "limits"])
def walls(request, tmp_path, monkeypatch):
    """Both kinds of wall; for limits alone, a launcher whose call for namespaces fails."""
    if request.param == "limits":
        source = execution.LAUNCHER.read_text("utf-8")
        broken = source.replace("flags = NEW_MOUNTS | OTHERS | ", "flags = 1 | ")
        assert broken != source
        (tmp_path / "launcher.py").write_text(broken, "utf-8")
        monkeypatch.setattr(execution, "LAUNCHER", tmp_path / "launcher.py")
        if os.geteuid() == 0:  # the program runs as another user, who must be able to read the interpreter
            system = shutil.which("python3", path="/usr/bin:/usr/local/bin")
            if system is None:
                pytest.skip("no Python here that every user may read")
            monkeypatch.setattr(execution, "INTERPRETER", os.path.realpath(system))
    elif not run("").isolated:
        pytest.skip("this system gives no namespaces")
    return request.param


def test_an_ordinary_program(walls):
    result = run("import sys, json\nprint(json.dumps(sys.stdin.read()))\nprint('ö 中', file=sys.stderr)", "two\nlines")
    assert result.stdout == '"two\\nlines"\n'
    assert result.stderr == "ö 中\n"
    assert result.ok
    assert result.exit == 0
    assert not result.truncated
    assert result.isolated == (walls == "namespaces")
    assert ("no namespaces" in result.weakness) == (walls == "limits")
    assert "limits" in result.isolation


def test_how_programs_end(walls):
    assert run("raise SystemExit(3)").exit == 3
    failed = run("1 / 0")
    assert failed.exit == 1
    assert "ZeroDivisionError" in failed.stderr
    assert run("import os, signal\nos.kill(os.getpid(), signal.SIGTERM)").exit == -signal.SIGTERM
    assert "SyntaxError" in run("def").stderr


def test_stdin_larger_than_a_pipe_read_or_not(walls):
    text = "x" * 3_000_000
    assert run("import sys\nprint(len(sys.stdin.read()))", text).stdout == "3000000\n"
    assert run("print('not read')", text).stdout == "not read\n"


def test_an_endless_loop_is_killed_on_time(walls):
    began = time.monotonic()
    result = run("print('begun', flush=True)\nwhile True: pass", limits=Limits(seconds=1))
    assert result.timed_out
    assert not result.ok
    assert result.exit is None
    assert result.stdout == "begun\n"
    assert time.monotonic() - began < 8


def test_cpu_time_is_bounded_in_its_own_right(walls):
    result = run("while True: pass", limits=Limits(seconds=30, cpu_seconds=1))
    assert not result.timed_out
    assert result.exit in (-signal.SIGKILL, -signal.SIGXCPU)


def test_ignoring_signals_does_not_help(walls):
    program = """
        import signal, time
        for number in range(1, 65):
            try: signal.signal(number, signal.SIG_IGN)
            except (OSError, ValueError): pass
        while True: time.sleep(1)
    """
    assert run(program, limits=Limits(seconds=1)).timed_out


def test_ten_gigabytes_are_refused(walls):
    result = run("x = bytearray(10 * 2**30)")
    assert "MemoryError" in result.stderr
    assert result.exit == 1


def test_a_fork_bomb_stays_small_and_goes(walls):
    mark = f"bomb{time.time_ns()}"
    program = f"""
        import os, sys, time
        made = 0
        while True:
            try:
                if os.fork() == 0:
                    os.execv(sys.executable, ["python", "-c", "import time; time.sleep(60)  # {mark}"])
                made += 1
            except OSError:
                print(made, flush=True)
                time.sleep(60)
    """
    result = run(program, limits=Limits(seconds=1.5, processes=6))
    assert result.timed_out
    assert max(map(int, result.stdout.split())) <= 6
    assert running(mark) == []


def test_nothing_stays_behind_after_a_double_fork(walls):
    mark = f"daemon{time.time_ns()}"
    program = f"""
        import os, sys
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                os.execv(sys.executable, ["python", "-c", "import time; time.sleep(60)  # {mark}"])
            os._exit(0)
        os.wait()
        print("parent done", flush=True)
    """
    began = time.monotonic()
    result = run(program, limits=Limits(seconds=5, processes=8))
    assert result.stdout == "parent done\n"
    assert result.exit == 0
    assert time.monotonic() - began < 5
    assert running(mark) == []


def test_killing_everything_it_can_reach(walls):
    """The caller lives. Behind namespaces the program sees nobody else; behind limits a user may hit their own."""
    if walls == "limits" and os.geteuid() != 0:
        pytest.skip("without namespaces, a program may kill processes of its own user: docs/decisions/017")
    program = """
        import os, signal
        for target in [os.getppid(), *range(2, 40000)]:
            if target != os.getpid():
                try: os.kill(target, signal.SIGKILL)
                except OSError: pass
        print("still here")
    """
    result = run(program)
    assert result.stdout == "still here\n"
    assert result.exit == 0


def test_a_gigabyte_of_output_is_cut(walls):
    result = run("block = 'x' * 2**20\nfor _ in range(1024): print(block)", limits=Limits(seconds=60, output=1000))
    assert len(result.stdout) == 1000
    assert result.truncated
    assert result.exit == 0


def test_large_files_are_refused(walls):
    result = run("open('big', 'wb').write(bytes(200 * 2**20))", limits=Limits(file_size=2**20))
    assert result.exit != 0


def test_the_environment_of_the_caller_is_not_there(walls, monkeypatch):
    monkeypatch.setenv("FOURFOLD_TEST_SECRET", "hunter2")
    program = """
        import glob, os
        print(dict(os.environ))
        for path in glob.glob("/proc/[0-9]*/environ"):
            try: print(open(path, "rb").read())
            except OSError: pass
    """
    result = run(program)
    assert "PATH" in result.stdout
    if walls == "namespaces" or os.geteuid() == 0:
        assert "hunter2" not in result.stdout


def test_no_descriptor_of_the_caller_is_open(walls, tmp_path):
    with open(tmp_path / "secret", "w") as stream:
        os.set_inheritable(stream.fileno(), True)
        program = """
            import os
            for number in range(3, 64):
                try: print(number, os.fstat(number))
                except OSError: pass
        """
        assert run(program).stdout == ""


def test_two_runs_share_nothing(walls):
    assert run("open('left', 'w').write('x')").ok
    assert run("import os\nprint(sorted(os.listdir('.')))").stdout in ("['program.py']\n",)


# ---- what only namespaces stop


@pytest.fixture
def namespaces():
    result = run("")
    if not result.isolated:
        pytest.skip(f"not isolated here: {result.weakness}")


def test_the_files_of_the_user_are_not_there(namespaces, tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text("hunter2")
    result = run(f"""
        import os
        for path in ({str(secret)!r}, "/etc/passwd", "/proc/self/environ", {str(Path.home() / ".bashrc")!r}):
            try: print(open(path).read())
            except OSError as error: print(type(error).__name__)
        print(sorted(os.listdir("/dev")))
    """)
    assert result.stdout == "FileNotFoundError\n" * 4 + "['null', 'urandom', 'zero']\n"


def test_what_is_there_cannot_be_written(namespaces):
    result = run("""
        import os, sys
        for path in ("/new", "/usr/new", os.path.dirname(os.__file__) + "/os.py", "/dev/new", sys.executable):
            try: open(path, "ab"); print("wrote", path)
            except OSError as error: print(error.errno in (13, 30))
        open("here", "w").write("x"); print("here")
    """)
    assert result.stdout == "True\n" * 5 + "here\n"


def test_all_files_together_are_bounded(namespaces):
    result = run("for n in range(100): open(str(n), 'wb').write(bytes(2**20))", limits=Limits(file_size=2**20))
    assert "No space left" in result.stderr


def test_there_is_no_network(namespaces):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        result = run(f"""
            import socket
            for place in (("127.0.0.1", {port}), ("10.0.0.1", 80)):
                try: socket.create_connection(place, 1); print("connected")
                except OSError as error: print(error.errno == 101)
            print([name for _, name in socket.if_nameindex()])
        """)
    assert result.stdout.startswith("True\nTrue\n['lo'")


def test_rights_cannot_be_won_back(namespaces):
    result = run("""
        import ctypes, os
        libc = ctypes.CDLL(None, use_errno=True)
        print(os.getuid() != 0 or os.geteuid() != 0)
        for attempt in (lambda: os.setuid(0), lambda: os.chroot("/"), lambda: os.nice(-5)):
            try: attempt(); print("won")
            except OSError: print("refused")
        print(libc.mount(b"none", b"/box", b"tmpfs", 0, b""))
    """)
    assert result.stdout == "True\nrefused\nrefused\nrefused\n-1\n"


def test_the_program_dies_with_its_caller(namespaces):
    mark = f"orphan{time.time_ns()}"
    caller = f"""
        from fourfold.sandbox import Limits, run_python
        run_python("import time; time.sleep(60)", limits=Limits(seconds=60))  # {mark}
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(caller)])
    program = "fourfold-"
    deadline = time.monotonic() + 20
    while len(running(program)) < 1 and time.monotonic() < deadline:
        time.sleep(0.05)
    before = running(program)
    assert before
    process.kill()
    process.wait()
    deadline = time.monotonic() + 5
    while set(running(program)) & set(before) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not set(running(program)) & set(before)


def test_limits_have_ranges():
    with pytest.raises(UserError, match="'seconds' is out of range"):
        Limits(seconds=0)
