"""`chatacter chat` as a person and as a script use it: a real process, real services without models, a terminal."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import av
import pytest

from chatacter.chassis.auth import new_key
from chatacter.client.api import Api
from chatacter.client.errors import Away, Refused
from chatacter.keys import store
from tests.fake_llm_server import FakeLLMServer
from tests.redis_server import RedisServer, free_port
from tests.served import served
from tests.service_process import ServiceProcess, running
from tests.stub_api import State, stub
from tests.three_services import three_services

pytestmark = pytest.mark.integration

KEY, RECORD = new_key("tests", "default", ("chat", "characters", "speech", "videos", "voices"))
PATIENCE = 20.0


@pytest.fixture(scope="module")
def chattr(
    redis_server: RedisServer, llm_server_of_this_run: FakeLLMServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServiceProcess]:
    folder = tmp_path_factory.mktemp("chat")
    store(folder / "keys.json", [RECORD])
    more = {"REQUIRE_API_KEY": "true", "API_KEYS_FILE": str(folder / "keys.json"), "ENABLE_UI": "false"}
    more |= {"SERVICE_TOKEN": "inside"}
    with three_services(folder, redis_server, llm_server_of_this_run, **more) as (found, _, _):
        yield found


def environment(chattr: ServiceProcess, **more: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return {**kept, "CHATACTER_URL": chattr.url, "CHATACTER_API_KEY": KEY, **more}


def command(*words: str) -> list[str]:
    # Tests may run in the background, where a shell has jobs and their children ignore Ctrl-C.
    heeding = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    return [sys.executable, "-c", heeding + "from chatacter.cli import main; main()", "chat", *words]


def run(*words: str, env: Mapping[str, str], said: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*words), input=said, env=dict(env), capture_output=True, text=True, timeout=60, check=False
    )


def test_a_message_gets_its_reply_on_standard_output_alone(chattr: ServiceProcess, llm_server: FakeLLMServer) -> None:
    done = run("Any storms?", env=environment(chattr))
    assert (done.returncode, done.stdout) == (0, "Hello, Any storms?!\n")
    assert done.stderr == (
        "You talk with an AI that plays Robin Tester: it makes things up. Its voice and films are synthetic.\n"
    )


def test_a_message_can_be_piped_in_and_a_conversation_gone_on_with(
    chattr: ServiceProcess, llm_server: FakeLLMServer
) -> None:
    assert run("--session", "log-7", "-c", "mira", env=environment(chattr), said="My dog is Biscuit.\n").returncode == 0
    done = run("--session", "log-7", "And now?", env=environment(chattr))
    assert "plays Captain Mira" in done.stderr
    assert "My dog is Biscuit." in llm_server.requests[-1].prompt


def test_a_reply_is_heard_and_filmed_into_files(
    chattr: ServiceProcess, tmp_path: Path, llm_server: FakeLLMServer
) -> None:
    llm_server.play("The wind is fair. ", "Shall we fly?")
    sound, film = tmp_path / "reply.wav", tmp_path / "reply.webm"
    done = run("Hello", "--sound", str(sound), "--film", str(film), env=environment(chattr))
    assert done.returncode == 0, done.stderr
    with av.open(str(sound)) as heard, av.open(str(film)) as seen:
        spoken = sum(frame.samples for frame in heard.decode(audio=0)) / 24000
        assert spoken == pytest.approx(0.05 * len("The wind is fair.Shall we fly?"), abs=0.1)
        assert "trainedAlgorithmicMedia" in str(heard.metadata)
        assert len(list(seen.decode(video=0))) > 10
    assert not list(tmp_path.glob("*.part"))
    assert "film: waiting for its turn" in done.stderr
    assert f"film: {film}" in done.stderr


def test_a_reply_is_played_while_it_is_written(
    chattr: ServiceProcess, tmp_path: Path, llm_server: FakeLLMServer
) -> None:
    player = tmp_path / "aplay"
    player.write_text(f"#!/bin/sh\necho $* > {tmp_path}/asked\nexec cat > {tmp_path}/heard\n")
    player.chmod(0o755)
    llm_server.play("The wind is fair. ", "Shall we fly?")
    done = run("Hello", "--say", env=environment(chattr, PATH=f"{tmp_path}:/usr/bin:/bin"))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "asked").read_text().split() == [
        "-q",
        "-t",
        "raw",
        "-f",
        "S16_LE",
        "-c",
        "1",
        "-r",
        "24000",
        "-",
    ]
    seconds = (tmp_path / "heard").stat().st_size / 2 / 24000
    assert seconds == pytest.approx(0.05 * len("The wind is fair.Shall we fly?"), abs=0.1)


@pytest.mark.parametrize(
    ("words", "more", "told"),
    [
        (["hi"], {"CHATACTER_API_KEY": ""}, "wants an API key"),
        (["hi"], {"CHATACTER_API_KEY": "wrong"}, "does not know the one that was sent"),
        (["hi", "-c", "nobody"], {}, "There is no character 'nobody'. Known: "),
        (["hi", "--film", "a.avi"], {}, "Films are written to files that end in .webm or .mp4"),
        (["hi", "--say"], {"PATH": "/nowhere"}, "No program to play sound with was found"),
        (["  "], {}, "There is no message"),
        ([], {}, "There is no message"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    chattr: ServiceProcess, words: list[str], more: dict[str, str], told: str
) -> None:
    done = run(*words, env=environment(chattr, **more))
    assert done.returncode == 1
    assert told in done.stderr
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr


def test_nobody_there_is_told_with_how_to_start(chattr: ServiceProcess) -> None:
    done = run("hi", env=environment(chattr, CHATACTER_URL=f"http://127.0.0.1:{free_port()}"))
    assert done.returncode == 1
    assert "make run" in done.stderr


class Person:
    """Somebody at a terminal."""

    def __init__(self, env: Mapping[str, str], *words: str) -> None:
        self.screen = ""
        self._main, inner = pty.openpty()

        python, option, program, *rest = command(*words)
        own_terminal = "import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
        self.process = subprocess.Popen(
            [python, option, own_terminal + program, *rest],
            stdin=inner,
            stdout=inner,
            stderr=inner,
            env={**env, "TERM": "xterm"},
            start_new_session=True,
        )
        os.close(inner)

    def types(self, keys: str) -> None:
        self.screen = ""
        os.write(self._main, keys.encode())

    def sees(self, pattern: str) -> str:
        """Read until the pattern stands on the screen; what stands there then."""
        until = time.monotonic() + PATIENCE
        while not re.search(pattern, self.screen):
            ready, _, _ = select.select([self._main], [], [], max(0, until - time.monotonic()))
            assert ready, f"{pattern!r} never came, but: {self.screen!r}"
            self.screen += os.read(self._main, 65536).decode(errors="replace")
        return self.screen

    def leaves(self) -> int:
        code = self.process.wait(PATIENCE)
        os.close(self._main)
        return code


@pytest.fixture
def person(chattr: ServiceProcess, llm_server: FakeLLMServer) -> Iterator[Person]:
    found = Person(environment(chattr))
    yield found
    if found.process.poll() is None:
        found.process.kill()
        found.process.wait()


def test_a_conversation_at_a_terminal(person: Person, llm_server: FakeLLMServer) -> None:
    person.sees(r"plays Robin Tester")
    person.sees(r"Good day\. I am Robin\.\s+you: ")
    person.types("Fine weather\n")
    person.sees(r"Hello, Fine weather!\s+you: ")
    person.types("/history\n")
    person.sees(r"you: Fine weather\s+Robin Tester: Hello, Fine weather!")
    person.types("/characters\n")
    person.sees(r"\* robin[\s\S]*you: ")
    person.types("/switch mira\n")
    person.sees(r"plays Captain Mira[\s\S]*you: ")
    person.types("/switch nobody\n")
    person.sees(r"There is no character 'nobody'")
    person.types("/what\n")
    person.sees(r"/film FILE")
    person.types("/film x.webm\n")
    person.sees(r"Nothing was said yet")
    person.types("/quit\n")
    assert person.leaves() == 0


def test_a_conversation_is_a_tree_at_a_terminal_too(person: Person, llm_server: FakeLLMServer) -> None:
    person.sees("you: ")
    person.types("/regenerate\n")
    person.sees(r"Nothing was said yet in this conversation")
    llm_server.play("First answer.")
    person.types("The question\n")
    person.sees(r"First answer\.\s+you: ")
    llm_server.play("Second answer.")
    person.types("/regenerate\n")
    person.sees(r"Second answer\.\s+you: ")
    person.types("/swipe\n")
    person.sees(r"First answer\.\s[\s\S]*\(1/2\)[\s\S]*you: ")
    llm_server.play(" And more.")
    person.types("/continue\n")
    person.sees(r"First answer\. And more\.\s+you: ")
    llm_server.play()
    person.types("/edit Another question\n")
    person.sees(r"Hello, Another question!\s+you: ")
    assert "The question" not in llm_server.requests[-1].prompt
    person.types("/new\n")
    person.sees(r"you: ")
    person.types("/conversations\n")
    person.sees(r"  1  \d{4}-\d\d-\d\d \d\d:\d\d  conv_\w+[\s\S]*you: ")
    person.types("/open 1\n")
    person.sees(r"you: Another question\s+Robin Tester: Hello, Another question!\s+you: ")
    person.types("/open 99\n")
    person.sees(r"/conversations +the newest")
    person.types("/quit\n")
    assert person.leaves() == 0


async def test_ctrl_c_cancels_the_reply_and_a_second_one_leaves(person: Person, llm_server: FakeLLMServer) -> None:
    person.sees("you: ")
    llm_server.play(*(f"word{number} " for number in range(500)), delay=0.05)
    person.types("Tell me everything\n")
    person.sees("word3")
    person.types("\x03")
    person.sees(r"\(cancelled\)[\s\S]*you: ")
    assert await llm_server.reached("disconnected")
    assert llm_server.counts["deltas"] < 400
    person.types("/history\n")
    assert "word3" in person.sees(r"Robin Tester: word0 [\s\S]*you: ")
    person.types("\x03")
    assert person.leaves() == 130


def test_ctrl_c_stops_the_sound_of_a_reply_that_is_written(
    chattr: ServiceProcess, tmp_path: Path, llm_server: FakeLLMServer
) -> None:
    player = tmp_path / "aplay"
    player.write_text("#!/bin/sh\nexec sleep 60\n")
    player.chmod(0o755)
    person = Person(environment(chattr, PATH=f"{tmp_path}:/usr/bin:/bin"), "--say")
    person.sees("you: ")
    person.types("Sing\n")
    person.sees(r"Hello, Sing!\s")
    person.types("\x03")
    assert "could not be told" not in person.sees(r"\(cancelled\)[\s\S]*you: ")
    person.types("\x04")
    assert person.leaves() == 0


def test_ctrl_c_stops_a_single_message_too(chattr: ServiceProcess, llm_server: FakeLLMServer) -> None:
    llm_server.play(*(f"word{number} " for number in range(500)), delay=0.05)
    with subprocess.Popen(
        command("Go on"), env=environment(chattr), stdout=subprocess.PIPE, stdin=subprocess.DEVNULL
    ) as done:
        assert done.stdout is not None
        assert done.stdout.read(5) == b"word0"
        done.send_signal(signal.SIGINT)
        assert done.wait(PATIENCE) == 130


async def test_a_reply_goes_on_where_the_connection_broke() -> None:
    state = State(break_after=2)
    async with served(stub(state)) as url, Api.connected(url) as api:
        heard = [event async for event in api.say("you", "mira", None)]
    assert [event.seq for event in heard] == [1, 2, 3, 4, 5, 6]
    assert "".join(event.text for event in heard) == "Ahoy, you! The wind is fair today. Shall we fly?"
    assert [what for method, path, what in state.seen if method == "GET"] == [2]


async def test_a_connection_that_breaks_before_the_reply_began_is_told() -> None:
    state = State(break_after=0)
    async with served(stub(state)) as url, Api.connected(url) as api:
        with pytest.raises(Away):
            assert [event async for event in api.say("you", "mira", None)]


async def test_a_server_that_stays_away_is_given_up() -> None:
    state = State(break_after=2)
    async with served(stub(state)) as url, Api.connected(url) as api:
        impatient = Api(api._http, pauses=(0.0,))
        events = impatient.say("you", "mira", None)
        assert (await anext(events)).seq == 1
        state.replies.clear()
        with pytest.raises((Away, Refused)):
            assert [event async for event in events]


def test_a_voice_that_is_switched_off_is_told_and_the_text_comes(
    redis_server: RedisServer, llm_server: FakeLLMServer, tmp_path: Path
) -> None:
    settings = {
        "RECORDS__URL": redis_server.url,
        "MODEL__URL": llm_server.url,
        "MODEL__NAME": "scripted",
        "ENABLE_LONG_TERM_MEMORY": "false",
        "ENABLE_VOICE_GENERATION": "false",
        "ENABLE_VIDEO_GENERATION": "false",
        "ENABLE_UI": "false",
    }
    with running("chattr", tmp_path, settings) as chattr:
        sound, film = str(tmp_path / "a.wav"), str(tmp_path / "a.webm")
        done = run("hi", "--sound", sound, "--film", film, env=environment(chattr))
    assert done.stdout == "Hello, hi!\n"
    assert "(no sound: Voice generation is switched off here (ENABLE_VOICE_GENERATION=false).)" in done.stderr
    assert "Video generation is switched off here (ENABLE_VIDEO_GENERATION=false)." in done.stderr
    assert done.returncode == 1
