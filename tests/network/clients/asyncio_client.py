"""Python's asyncio with Happy Eyeballs switched on.

    python3 asyncio_client.py jobs.json
"""

import asyncio
import json
import ssl
import sys
import time


async def dial(job):
    context = None
    if job["ca"]:
        context = ssl.create_default_context(cafile=job["ca"])
    _, writer = await asyncio.open_connection(
        job["host"], job["port"], ssl=context, happy_eyeballs_delay=0.25)
    return writer


async def run(job):
    result = {"start": time.time() * 1000}
    before = time.perf_counter()
    writer = None
    try:
        writer = await asyncio.wait_for(dial(job), job["patience"] / 1000)
    except asyncio.TimeoutError:
        result["hung"] = True
    except OSError as error:
        result["error"] = str(error)
    result["ms"] = (time.perf_counter() - before) * 1000
    if writer:
        result["address"] = writer.get_extra_info("peername")[0]
        writer.close()
    print(json.dumps(result), flush=True)


async def main():
    with open(sys.argv[1]) as file:
        jobs = json.load(file)
    for job in jobs:
        await run(job)
        await asyncio.sleep(0.02)

asyncio.run(main())
