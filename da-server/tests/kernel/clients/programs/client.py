"""Sends the requests of a job (see ../job.rs) with requests, httpx or aiohttp.

    client.py LIBRARY JOB

Prints how many were answered with status 200.
"""

import asyncio
import json
import socket
import ssl
import sys


def resolve_to(job):
    """Leads the job's name to its address: these libraries have no common setting for that."""
    family = socket.AF_INET6 if ":" in job["address"] else socket.AF_INET
    place = (job["address"], job["port"])
    if family == socket.AF_INET6:
        place += (0, 0)

    def getaddrinfo(host, *_arguments, **_keywords):
        assert host in (job["name"], job["name"].encode()), host
        return [(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", place)]

    socket.getaddrinfo = getaddrinfo


def tls_context(job):
    if job["tls"] is None:
        return None
    context = ssl.create_default_context(cafile=job["ca_file"])
    version = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}[job["tls"]]
    context.minimum_version = context.maximum_version = version
    return context


def with_requests(job, context):
    import requests

    class Adapter(requests.adapters.HTTPAdapter):
        def init_poolmanager(self, *arguments, **keywords):
            super().init_poolmanager(*arguments, ssl_context=context, **keywords)

    answered = 0
    for _ in range(job["connections"]):
        with requests.Session() as session:
            session.trust_env = False
            session.verify = job["ca_file"]
            session.mount("https://", Adapter())
            for _ in range(job["requests"]):
                response = session.post(job["url"], data=job["body"], headers=job["headers"])
                answered += response.status_code == 200
    return answered


async def with_httpx(job, context):
    import httpx

    answered = 0
    for _ in range(job["connections"]):
        # In the clear HTTP/2 is spoken only where HTTP/1.1 is ruled out.
        http1 = context is not None or not job["http2"]
        verify = context or False
        client = httpx.AsyncClient(verify=verify, http1=http1, http2=job["http2"], trust_env=False)
        async with client:

            async def post():
                body, headers = job["body"], job["headers"]
                return (await client.post(job["url"], content=body, headers=headers)).status_code

            answered += await on_one_connection(job, post)
    return answered


async def with_aiohttp(job, context):
    import aiohttp

    answered = 0
    for _ in range(job["connections"]):
        resolver = aiohttp.ThreadedResolver()
        connector = aiohttp.TCPConnector(ssl=context or False, resolver=resolver)
        async with aiohttp.ClientSession(connector=connector) as session:

            async def post():
                body, headers = job["body"], job["headers"]
                async with session.post(job["url"], data=body, headers=headers) as response:
                    await response.read()
                    return response.status

            answered += await on_one_connection(job, post)
    return answered


async def on_one_connection(job, post):
    statuses = [await post() for _ in range(job["requests"])]
    statuses += await asyncio.gather(*(post() for _ in range(job["at_once"])))
    return statuses.count(200)


library, job = sys.argv[1], json.loads(sys.argv[2])
resolve_to(job)
if library == "requests":
    print(with_requests(job, tls_context(job)))
else:
    run = {"httpx": with_httpx, "aiohttp": with_aiohttp}[library]
    print(asyncio.run(run(job, tls_context(job))))
