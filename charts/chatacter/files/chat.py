"""What `helm test` runs beside a release: the service is ready, keeps its door, and a character answers.

Takes the base URL and whether keys are required (`true` or `false`); a key comes in API_KEY.
"""

import json
import os
import sys
import time

import httpx

READY_SECONDS = 120.0
REPLY_SECONDS = 180.0


def tell(what: str) -> None:
    """Write a line at once, for whoever follows the log."""
    sys.stdout.write(what + "\n")
    sys.stdout.flush()


def until_ready(client: httpx.Client) -> None:
    """Wait until the service says that it is ready. Ends with what it said last."""
    until = time.monotonic() + READY_SECONDS
    while True:
        try:
            answer = client.get("/readyz", timeout=5)
            said = f"{answer.status_code} {answer.text}"
            if answer.is_success:
                tell(f"ready: {said}")
                return
        except httpx.TransportError as error:
            said = f"{type(error).__name__}: {error}"
        if time.monotonic() > until:
            sys.exit(f"not ready after {READY_SECONDS:g} s: {said}")
        time.sleep(1)


def door(client: httpx.Client, required: bool) -> None:
    """Ask without a key, and with one that nobody was given."""
    for name, headers in (("without a key", {}), ("with a wrong key", {"authorization": "Bearer nobody-has-this"})):
        status = client.get("/v1/models", headers=headers).status_code
        if status != (401 if required else 200):
            sys.exit(f"{name} the API answers {status}, and keys are {'' if required else 'not '}required")
        tell(f"{name}: {status}, as it should")


def character(client: httpx.Client) -> str:
    """Return a character that answers here."""
    answer = client.get("/v1/models")
    if not answer.is_success:
        sys.exit(f"the characters are not told: {answer.status_code} {answer.text}")
    known = [each["id"] for each in answer.json()["data"]]
    tell(f"characters: {', '.join(known)}")
    return str(known[0])


def chat(client: httpx.Client, model: str) -> None:
    """Say hello and read the answer to its end."""
    asked = {"model": model, "stream": True, "messages": [{"role": "user", "content": "Hello! Who are you?"}]}
    text, ended = "", False
    with client.stream("POST", "/v1/chat/completions", json=asked, timeout=REPLY_SECONDS) as answer:
        if not answer.is_success:
            sys.exit(f"no reply: {answer.status_code} {answer.read().decode()}")
        for line in answer.iter_lines():
            data = line.removeprefix("data: ")
            if line == data:
                continue
            if data == "[DONE]":
                ended = True
                break
            chunk = json.loads(data)
            if "error" in chunk:
                sys.exit(f"the reply broke off: {data}")
            text += "".join(choice["delta"].get("content") or "" for choice in chunk.get("choices", []))
    if not ended or not text.strip():
        sys.exit(f"the reply {'is empty' if ended else 'has no end'}: {text!r}")
    tell(f"{model}: {text}")


def main() -> None:
    """Ask what the arguments name. Ends the process with a sentence when something is wrong."""
    url, required = sys.argv[1], sys.argv[2] == "true"
    with httpx.Client(base_url=url, timeout=30) as anyone:
        until_ready(anyone)
        door(anyone, required)
    key = os.environ.get("API_KEY")
    headers = {"authorization": f"Bearer {key}"} if key else {}
    with httpx.Client(base_url=url, headers=headers, timeout=30) as client:
        chat(client, character(client))


main()
