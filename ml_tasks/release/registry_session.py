"""Requests to one image registry: TLS, proxy, and the login or token that it asks for."""

from __future__ import annotations

import logging
import os
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import parse_http_list, parse_keqv_list

from ml_tasks.errors import RegistryRefused, RegistryUnavailable
from ml_tasks.release.registry_login import Login, find_login

# One line for each request would bury what matters.
logging.getLogger("httpx").setLevel(logging.WARNING)

_TIMEOUT = 20  # seconds
_TOKEN_SCHEMES = ("https://",)  # a login must not travel in the clear
_CA_BUNDLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
_ENGINES_CERTIFICATES = Path("/etc/docker/certs.d")
# What a tag may point to; without these a registry converts, and tells another digest.
MANIFESTS = ", ".join(
    (
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.oci.image.index.v1+json",
    )
)


def is_local(url: str) -> bool:
    """Whether an address is on this very machine, where http is as good as https."""
    host = str(urlsplit(url).hostname)
    return host in ("localhost", "::1") or host.startswith("127.")


class Session:
    """Asks a registry; the login is looked up only once it wants one, and kept to its address."""

    def __init__(self, host: str, base: str) -> None:
        import httpx  # only who means to push needs it

        self.used: Login | None = None  # the login that was sent
        self._host, self._base = host, base
        self._authorization = ""
        secure = base.startswith("https")
        try:
            trusted: Any = _trusted(host) if secure else True
        except (OSError, ssl.SSLError) as error:
            raise RegistryRefused(
                f"the certificates named by {' or '.join(_CA_BUNDLES)} cannot be read ({error}); "
                "name a file of PEM certificates"
            ) from error
        # A proxy of this machine is for outside; a registry on it or beside it is asked directly.
        self._client = httpx.Client(
            timeout=_TIMEOUT, trust_env=secure and not is_local(base), verify=trusted
        )

    def close(self) -> None:
        """Ends the connection."""
        self._client.close()

    def ask(self, method: str, url: str, content: bytes | None = None, kind: str = "") -> Any:
        """One request; gives the answer, whatever its status.

        Raises:
            RegistryUnavailable: nothing answers.
            RegistryRefused: its certificate is not trusted, or no login can be looked up.
        """
        import httpx

        try:
            answer = self._send(method, url, content, kind)
            if answer.status_code == 401 and self._log_in(answer):
                answer = self._send(method, url, content, kind)
            return answer
        except httpx.HTTPError as error:
            reason = str(error) or type(error).__name__
            if "CERTIFICATE_VERIFY_FAILED" in reason:
                raise RegistryRefused(
                    f"the certificate of the image registry at {url} is not trusted ({reason}); "
                    f"name its authority's certificate in {_CA_BUNDLES[0]}, or put it into "
                    f"{_ENGINES_CERTIFICATES / self._host}/ca.crt, where the engine looks, too"
                ) from error
            raise RegistryUnavailable(
                f"the image registry at {url} cannot be reached ({reason}); start it, or set "
                "release.registry_url to where this worker reaches it"
            ) from error

    def _send(self, method: str, url: str, content: bytes | None, kind: str) -> Any:
        headers = {"Accept": MANIFESTS}
        if kind:
            headers["Content-Type"] = kind
        if self._authorization:
            headers["Authorization"] = self._authorization
        return self._client.request(method, url, content=content, headers=headers)

    def _log_in(self, answer: Any) -> bool:
        """Whether there is now another authorisation to try."""
        before = self._authorization
        scheme, _, challenge = answer.headers.get("www-authenticate", "").partition(" ")
        login = self._login()
        if scheme.lower() == "basic" and login is not None and not login.identity:
            self.used, self._authorization = login, login.basic
        if scheme.lower() == "bearer":
            token = self._token(parse_keqv_list(parse_http_list(challenge)), login)
            self._authorization = f"Bearer {token}" if token else ""
        return self._authorization not in ("", before)

    def _login(self) -> Login | None:
        if not (self._base.startswith("https://") or is_local(self._base)):
            return None
        return find_login(self._host, str(urlsplit(self._base).hostname))

    def _token(self, asked: dict[str, str], login: Login | None) -> str:
        """A token for what the registry wants, from whom it names; empty if none is given."""
        realm = asked.pop("realm", "")
        if not realm.startswith(_TOKEN_SCHEMES):
            return ""
        self.used = login
        if login is not None and login.identity:
            form = {"grant_type": "refresh_token", "refresh_token": login.identity}
            given = self._client.post(realm, data={**asked, **form, "client_id": "mammo"})
        else:
            headers = {} if login is None else {"Authorization": login.basic}
            given = self._client.get(realm, params=asked, headers=headers)
        try:
            content = given.json() if given.status_code == 200 else {}
            return str(content.get("token") or content.get("access_token") or "")
        except (ValueError, AttributeError):  # a page for people, of a proxy for example
            return ""


def _trusted(host: str) -> ssl.SSLContext:
    """The authorities of this system, of the bundle that is named, and of the engine for `host`."""
    import certifi

    context = ssl.create_default_context()
    named = next((os.environ[name] for name in _CA_BUNDLES if os.environ.get(name)), None)
    context.load_verify_locations(cafile=named or certifi.where())
    for certificate in sorted((_ENGINES_CERTIFICATES / host).glob("*.crt")):
        context.load_verify_locations(cafile=str(certificate))
    return context
