"""Celery's side: a task that works for a while, with the settings that its documentation advises to lose nothing."""

import json
import os
import sys
import time

from celery import Celery
from job_ruler import Ruler

URL = os.environ["JOBS_URL"]
app = Celery("celery_side", broker=URL, backend=URL)
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    broker_transport_options={"visibility_timeout": float(os.environ["MISSED_AFTER"])},
    broker_connection_retry_on_startup=True,
)


@app.task(name="work")
def work(job: str, seconds: float) -> str:
    ruler = Ruler()
    ruler.began(job)
    time.sleep(seconds)
    ruler.ended(job)
    return job


if __name__ == "__main__":
    for line in sys.stdin:
        said = json.loads(line)
        work.apply_async((said["job"], said["seconds"]), task_id=said["job"])
        print(json.dumps({"id": said["job"]}), flush=True)
