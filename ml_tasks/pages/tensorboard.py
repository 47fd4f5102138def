"""TensorBoard behind Airflow's login: requests are passed on to its process, and no more."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from ml_tasks.pages.answer import Answer
from ml_tasks.pages.frame import told
from ml_tasks.pages.reading import run_in
from ml_tasks.pages.site import PREFIX, TENSORBOARD, Site

if TYPE_CHECKING:
    import httpx

PATH = f"{PREFIX}/tensorboard"  # --path_prefix of the process
LARGEST = 1_000_000  # bytes of a request
_SECONDS = 30.0
# The login is Airflow's and not TensorBoard's; the rest is of one connection only.
_FROM_BROWSER = ("accept", "accept-encoding", "accept-language", "content-type", "user-agent")
_FROM_TENSORBOARD = (
    "cache-control",
    "content-encoding",
    "content-length",
    "content-type",
    "content-security-policy",
    "etag",
    "last-modified",
    "vary",
    "x-content-type-options",
)


@dataclass(frozen=True)
class Passed:
    """An answer of TensorBoard, as it comes in."""

    status: int
    headers: Mapping[str, str]
    body: AsyncIterator[bytes]


async def pass_on(
    site: Site, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes
) -> Passed | Answer:
    """What TensorBoard answers; a page that says how to start it where none runs."""
    import httpx

    if site.tensorboard is None:
        return _not_running(site, f"{TENSORBOARD} does not say where it is")
    if ".." in path.split("/"):
        return told(site, "Not served", "TensorBoard has no such page.")
    url = f"{site.tensorboard}{PATH}/{quote(path)}" + (f"?{query}" if query else "")
    kept = {name: headers[name] for name in _FROM_BROWSER if name in headers}
    client = httpx.AsyncClient(timeout=_SECONDS, trust_env=False)
    try:
        request = client.build_request(method, url, headers=kept, content=body or None)
        answer = await client.send(request, stream=True)
    # ValueError: a header, or an address, of signs that HTTP has not.
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        await client.aclose()
        return _not_running(site, str(error) or type(error).__name__)
    own = {name: answer.headers[name] for name in _FROM_TENSORBOARD if name in answer.headers}
    policy = own.get("content-security-policy", "")
    # TensorBoard's own policy lets any site frame it.
    own["content-security-policy"] = ", ".join(filter(None, (policy, "frame-ancestors 'self'")))
    return Passed(answer.status_code, own, _streamed(client, answer))


def curves(site: Site, run_id: str) -> Answer:
    """TensorBoard with the curves of one run only, also while it trains."""
    folder = run_in(site.config.paths.runs, run_id).root.name
    only = quote("^" + folder.replace(".", "\\.") + "/", safe="")
    return Answer(location=f"{site.to('tensorboard')}/?runFilter={only}#timeseries")


async def _streamed(client: httpx.AsyncClient, answer: httpx.Response) -> AsyncIterator[bytes]:
    try:
        async for part in answer.aiter_raw():
            yield part
    finally:
        await answer.aclose()
        await client.aclose()


def _not_running(site: Site, reason: str) -> Answer:
    return told(
        site,
        "TensorBoard does not run",
        f"It is not to be reached ({reason}).",
        "`make demo` starts it, and so does docker compose (its service tensorboard). By hand:\n"
        f"tensorboard --logdir {site.config.paths.runs} --host 127.0.0.1 --port 6006 "
        f"--path_prefix {PATH}\n"
        f"with {TENSORBOARD}=http://127.0.0.1:6006 in the environment of Airflow's api-server.",
        status=503,
    )
