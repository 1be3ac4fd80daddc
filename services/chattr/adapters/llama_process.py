"""The embedded model's own process: llama.cpp's HTTP server on loopback, for the process that started it.

A process, since loading holds Python's lock for seconds, and since llama.cpp ends its process when it runs out of
memory. It is told what to do by one line of JSON on stdin, answers with one line on stdout, and lives until stdin
closes, which it does also when the other process is killed.
"""

import importlib
import os
import sys
from pathlib import Path
from typing import Any

import orjson

from chattr.adapters.gguf_vocabulary import control_tokens


def main() -> None:
    """Load, say where, and stay until stdin closes."""
    order = orjson.loads(sys.stdin.buffer.readline())
    answer = os.dup(1)
    os.dup2(2, 1)  # Whatever llama.cpp prints belongs to the log.
    said: dict[str, Any]
    try:
        llama = importlib.import_module("xllamacpp")
        server = llama.Server(parameters(llama, order))
        said = {"url": server.listening_address, "control_tokens": control_tokens(Path(order["file"]))}
    except ModuleNotFoundError as error:
        said = {"missing": error.name}
    except (RuntimeError, MemoryError, ValueError) as error:
        said = {"failed": str(error)}
    os.write(answer, orjson.dumps(said) + b"\n")
    sys.stdin.buffer.read()
    os._exit(0)  # Its destructor waits for every answer that is still being written.


def parameters(llama: Any, order: dict[str, str | int]) -> Any:
    """Translate the order into llama.cpp's parameters."""
    params = llama.CommonParams()
    params.model.path = str(order["file"])
    params.api_keys = [str(order["api_key"])]
    params.n_parallel = int(order["slots"])
    params.n_ctx = int(order["slots"]) * int(order["slot_tokens"])
    params.kv_unified = False
    params.cpuparams.n_threads = int(order["threads"])
    params.cpuparams_batch.n_threads = int(order["reading_threads"])
    params.cpuparams.poll = params.cpuparams_batch.poll = 0  # Waiting must not spin: speech needs the other core.
    # What a cancelled prompt still reads: 128 tokens stop within 0.2 s, 512 within 12 s.
    params.n_batch = params.n_ubatch = 128
    # Text that only moved (a memory came in before it, old turns went) keeps its cache, from so many tokens on.
    params.n_cache_reuse = 16
    params.cache_ram_mib = 0
    params.cache_idle_slots = False
    params.slot_save_path = str(order["cache"]) + "/"
    params.warmup = False
    params.ui = False
    params.verbosity = 1
    return params


if __name__ == "__main__":
    main()
