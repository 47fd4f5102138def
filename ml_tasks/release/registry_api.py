"""The image registry over HTTP: what it holds under a tag, and the one PUT that moves a tag."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from functools import cached_property
from types import TracebackType
from typing import Any
from urllib.parse import urljoin, urlsplit

from ml_tasks.config_release import ReleaseConfig
from ml_tasks.errors import ChampionError, RegistryRefused, RegistryUnavailable
from ml_tasks.release.registry_login import PASSWORD, USER, Login, find_login
from ml_tasks.release.registry_session import Session, is_local

# How registries say that they hold no such tag; the last one is Harbor's.
_UNKNOWN = ("MANIFEST_UNKNOWN", "NAME_UNKNOWN", "NOT_FOUND")
_HELD = (200, 301, 302, 303, 307, 308)  # here, or at a store that is named
_CODE = re.compile(r"[A-Z_]{3,40}")
_PAGE = 1000  # tags asked for at once


@dataclass(frozen=True)
class Manifest:
    """The bytes under a digest, as the registry holds them; `kind` is their media type."""

    digest: str
    kind: str
    data: bytes = field(repr=False)

    @property
    def content(self) -> dict[str, Any]:
        found = json.loads(self.data)
        return found if isinstance(found, dict) else {}

    @property
    def blobs(self) -> list[str]:
        """The digests of what a pull fetches besides the manifest: settings and layers."""
        parts = [self.content.get("config"), *(self.content.get("layers") or ())]
        return [str(part["digest"]) for part in parts if part]

    def is_of(self, image_id: str) -> bool:
        """Whether it is the engine's image of this id, which is the hash of its settings."""
        settings = self.content.get("config") or {}
        return image_id in (self.digest, settings.get("digest"))


class Registry:
    """One repository of a registry; used as a context, which closes its connection."""

    def __init__(self, release: ReleaseConfig) -> None:
        self.base = _base(release)
        self.host = release.registry.partition("/")[0]
        self._session = Session(self.host, self.base)

    def __enter__(self) -> Registry:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._session.close()

    @cached_property
    def login(self) -> Login | None:
        """The login for this registry, for an engine that pushes to it."""
        return find_login(self.host, str(urlsplit(self.base).hostname))

    def digest(self, reference: str) -> str | None:
        """The digest under a tag; None only where the registry itself says it has no such tag.

        Raises:
            RegistryUnavailable: nothing answers, or the registry has a fault.
            RegistryRefused: it wants another login, or what answers is no registry.
        """
        url = f"{self.base}/manifests/{reference}"
        answer = self._session.ask("HEAD", url)
        if answer.status_code == 404:  # any web server says so: only its words tell
            answer = self._session.ask("GET", url)
            if _unknown(answer):
                return None
        digest = str(answer.headers.get("docker-content-digest", ""))
        if answer.status_code != 200 or not digest.startswith("sha256:"):
            raise self._refusal(answer, url)
        return digest

    def manifest(self, reference: str) -> Manifest | None:
        """The manifest under a tag or a digest, its bytes checked; None where there is none.

        Raises:
            RegistryUnavailable, RegistryRefused: as `digest`; also for bytes of another digest.
        """
        url = f"{self.base}/manifests/{reference}"
        answer = self._session.ask("GET", url)
        if answer.status_code == 404 and _unknown(answer):
            return None
        if answer.status_code != 200:
            raise self._refusal(answer, url)
        digest = f"sha256:{hashlib.sha256(answer.content).hexdigest()}"
        stated = answer.headers.get("docker-content-digest", digest)
        if digest != stated or (reference.startswith("sha256:") and digest != reference):
            raise RegistryRefused(
                f"the image registry gives bytes of {digest} for {url}, stated as {stated}; it is "
                "damaged: let its keeper check it before anything is pulled from it"
            )
        return Manifest(digest, str(answer.headers.get("content-type", "")), answer.content)

    def put(self, manifest: Manifest, tag: str) -> None:
        """Makes a tag point to a manifest that the registry holds: one request, seen whole or not.

        Raises:
            RegistryUnavailable: no answer; whether the tag moved is then not known.
            RegistryRefused: it wants another login, or does not take it.
        """
        url = f"{self.base}/manifests/{tag}"
        answer = self._session.ask("PUT", url, manifest.data, manifest.kind)
        if answer.status_code not in (200, 201, 202):
            raise self._refusal(answer, url)

    def delete(self, digest: str) -> None:
        """Removes a manifest, and with it every tag on it; one that is gone already is no error.

        Raises:
            RegistryUnavailable, RegistryRefused: as `digest`; also where deleting is switched off.
        """
        url = f"{self.base}/manifests/{digest}"
        answer = self._session.ask("DELETE", url)
        if answer.status_code == 405:
            raise RegistryRefused(
                f"the image registry at {self.host} lets nothing be deleted; switch that on in its "
                "settings (storage.delete.enabled, or REGISTRY_STORAGE_DELETE_ENABLED=true)"
            )
        if answer.status_code not in (200, 202) and not _unknown(answer):
            raise self._refusal(answer, url)

    def tags(self) -> list[str]:
        """Every tag of the repository.

        Raises:
            RegistryUnavailable, RegistryRefused: as `digest`.
        """
        url, found = f"{self.base}/tags/list?n={_PAGE}", []
        while url:
            answer = self._session.ask("GET", url)
            if _unknown(answer):
                break
            if answer.status_code != 200:
                raise self._refusal(answer, url)
            found += [str(tag) for tag in answer.json().get("tags") or ()]
            onward = answer.links.get("next", {}).get("url")
            # Whatever machine it names, the login goes to this one alone.
            path = urlsplit(urljoin(url, onward))
            url = (
                urlsplit(url)._replace(path=path.path, query=path.query).geturl() if onward else ""
            )
        return sorted(found)

    def lacks(self, manifest: Manifest) -> list[str]:
        """The blobs of a manifest that the registry does not hold: such an image cannot be pulled.

        Raises:
            RegistryUnavailable, RegistryRefused: as `digest`.
        """
        gone = []
        for blob in dict.fromkeys(manifest.blobs):
            url = f"{self.base}/blobs/{blob}"
            answer = self._session.ask("HEAD", url)
            if answer.status_code == 404:
                gone.append(blob)
            elif answer.status_code not in _HELD:
                raise self._refusal(answer, url)
        return gone

    def _refusal(self, answer: Any, url: str) -> Exception:
        status = answer.status_code
        if status in (401, 403):
            return RegistryRefused(f"{self._no_entry(url)} for {url} (HTTP {status}); {_LOG_IN}")
        if status == 429 or status >= 500:
            return RegistryUnavailable(f"the image registry failed at {url} (HTTP {status})")
        # Not its words: nobody knows what they repeat.
        codes = ", ".join(sorted(code for code in _codes(answer) if _CODE.fullmatch(code)))
        if codes and status != 404:
            return RegistryRefused(f"the image registry refuses {url} (HTTP {status}: {codes})")
        return RegistryRefused(
            f"what answers at {url} is no image registry (HTTP {status}, no digest); set "
            "release.registry_url to where this worker reaches the registry"
        )

    def _no_entry(self, url: str) -> str:
        used = self._session.used
        if used is not None:
            return f"the image registry refuses the login {used.source} (user {used.user!r})"
        if not (url.startswith("https://") or is_local(url)):
            return "the image registry wants a login, which is sent by https alone,"
        return "the image registry wants a login"


_LOG_IN = (
    f"run `docker login` for it as the user that runs this worker, or set {USER} and {PASSWORD}"
)


def manifest_url(release: ReleaseConfig, tag: str) -> str:
    """The address of a tag's manifest in the registry's API (v2), as this worker reaches it."""
    return f"{_base(release)}/manifests/{tag}"


def tag_digest(release: ReleaseConfig, tag: str) -> str | None:
    """The digest under a tag; None only where the registry itself says that it has no such tag.

    Raises:
        RegistryUnavailable: nothing answers, or the registry has a fault.
        ChampionError: it wants a login, or what answers is no registry.
    """
    try:
        with Registry(release) as registry:
            return registry.digest(tag)
    except RegistryUnavailable as error:
        raise RegistryUnavailable(
            f"{error}; until it answers, what is in production is not known: begin the run again "
            "then; with release.push: false it is not asked"
        ) from error
    except RegistryRefused as error:
        raise ChampionError(str(error)) from error


def _base(release: ReleaseConfig) -> str:
    host, _, folder = release.registry.partition("/")
    name = f"{folder}/{release.image}" if folder else release.image
    scheme = "http" if is_local(f"http://{host}") else "https"
    return f"{release.registry_url or f'{scheme}://{host}'}/v2/{name}"


def _unknown(answer: Any) -> bool:
    return answer.status_code == 404 and bool(_codes(answer) & set(_UNKNOWN))


def _codes(answer: Any) -> set[str]:
    """What a registry calls its errors; none where it is no registry that answers."""
    try:
        return {str(error.get("code")) for error in answer.json()["errors"]}
    except (ValueError, KeyError, TypeError, AttributeError):
        return set()
