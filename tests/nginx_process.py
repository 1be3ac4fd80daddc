"""A real NGINX with servers of ours, as a process."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.waiting import until_it_answers

# Where root runs the tests, NGINX' workers would else be somebody who may not write into a test's folder.
MAIN = """
user root;
daemon off;
pid {folder}/nginx.pid;
error_log stderr info;
events {{ worker_connections 256; }}
http {{
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    add_header x-upstream $upstream_addr always;
    include {folder}/default.conf;
}}
"""


@contextmanager
def serving(folder: Path, servers: str, url: str) -> Iterator[None]:
    """Run NGINX with what stands in its `http` block until it has answered at a URL; skips where there is none."""
    program = shutil.which("nginx")
    if program is None:
        pytest.skip("nginx is not on PATH")
    (folder / "default.conf").write_text(servers)
    (folder / "nginx.conf").write_text(MAIN.format(folder=folder))
    log = folder / "nginx.log"
    with log.open("wb") as out:
        process = subprocess.Popen([program, "-p", folder, "-c", folder / "nginx.conf"], stdout=out, stderr=out)
    try:
        until_it_answers(process, lambda: httpx.head(url, headers={"host": "elsewhere.example"}), log)
        yield
    finally:
        process.terminate()
        process.wait(10)
