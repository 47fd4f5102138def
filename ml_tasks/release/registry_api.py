"""What the registry holds under a tag, asked over HTTP: for workers without a Docker engine."""

from __future__ import annotations

from netrc import NetrcParseError
from typing import Any
from urllib.parse import urlsplit
from urllib.request import parse_http_list, parse_keqv_list

from ml_tasks.config_release import ReleaseConfig
from ml_tasks.errors import ChampionError, RegistryUnavailable

_TIMEOUT = 20  # seconds
_LOCAL = ("localhost", "127.")
_TOKEN_SCHEMES = ("https://",)  # a login must not travel in the clear
# What a tag may point to; without these a registry converts, and tells another digest.
_MANIFESTS = ", ".join(
    (
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.oci.image.index.v1+json",
    )
)
# How registries say that they hold no such tag; the last one is Harbor's.
_UNKNOWN = ("MANIFEST_UNKNOWN", "NAME_UNKNOWN", "NOT_FOUND")


def manifest_url(release: ReleaseConfig, tag: str) -> str:
    """The address of a tag's manifest in the registry's API (v2), as this worker reaches it."""
    host, _, folder = release.registry.partition("/")
    name = f"{folder}/{release.image}" if folder else release.image
    scheme = "http" if host.startswith(_LOCAL) else "https"
    return f"{release.registry_url or f'{scheme}://{host}'}/v2/{name}/manifests/{tag}"


def tag_digest(release: ReleaseConfig, tag: str) -> str | None:
    """The digest under a tag; None only where the registry itself says that it has no such tag.

    Raises:
        RegistryUnavailable: nothing answers, or the registry has a fault.
        ChampionError: it wants a login, or what answers is no registry.
    """
    import httpx  # only the run that means to push needs it

    url = manifest_url(release, tag)
    host = str(urlsplit(url).hostname)
    try:
        # A proxy of this machine is for outside; a registry on it or beside it is asked directly.
        with httpx.Client(timeout=_TIMEOUT, trust_env=url.startswith("https")) as client:
            answer = _ask(client, "HEAD", url)
            if answer.status_code == 404:  # any web server says so: only its words tell
                answer = _ask(client, "GET", url)
    except httpx.HTTPError as error:
        reason = str(error) or type(error).__name__
        raise RegistryUnavailable(
            f"the image registry at {url} cannot be reached ({reason}), so what is in production "
            "is not known; start it, or set release.registry_url to where this worker reaches it, "
            "then begin the run again; with release.push: false it is not asked"
        ) from error
    if answer.status_code == 404 and _unknown(answer):
        return None
    return _digest(answer, url, host)


def _ask(client: Any, method: str, url: str) -> Any:
    """One request; where a token is wanted, it is fetched first, with a login of ~/.netrc."""
    import httpx

    headers = {"Accept": _MANIFESTS}
    try:
        login: Any = httpx.NetRCAuth(None)
    except (OSError, NetrcParseError):  # there is no such file, or nothing of use in it
        login = None
    answer = client.request(method, url, headers=headers, auth=login)
    challenge = answer.headers.get("www-authenticate", "")
    if answer.status_code != 401 or not challenge.lower().startswith("bearer "):
        return answer
    asked = parse_keqv_list(parse_http_list(challenge[len("bearer ") :]))
    realm = asked.pop("realm", "")
    if not realm.startswith(_TOKEN_SCHEMES):
        return answer
    given = client.get(realm, params=asked, auth=login).raise_for_status().json()
    token = given.get("token") or given.get("access_token")
    return client.request(method, url, headers={**headers, "Authorization": f"Bearer {token}"})


def _digest(answer: Any, url: str, host: str) -> str:
    status, digest = answer.status_code, answer.headers.get("docker-content-digest", "")
    if status == 200 and digest.startswith("sha256:"):
        return str(digest)
    if status in (401, 403):
        raise ChampionError(
            f"the image registry wants a login for {url} (HTTP {status}); put one for the machine "
            f"{host} into ~/.netrc of the user that runs this worker"
        )
    if status == 429 or status >= 500:
        raise RegistryUnavailable(
            f"the image registry failed at {url} (HTTP {status}), so what is in production is not "
            "known; begin the run again when it works"
        )
    raise ChampionError(
        f"what answers at {url} is no image registry (HTTP {status}, no digest); set "
        "release.registry_url to where this worker reaches the registry"
    )


def _unknown(answer: Any) -> bool:
    try:
        codes = {str(error.get("code")) for error in answer.json()["errors"]}
    except (ValueError, KeyError, TypeError, AttributeError):
        return False
    return bool(codes & set(_UNKNOWN))
