"""The image that somebody names: found in the registry or the engine, with its bundle beside it."""

from __future__ import annotations

import re
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from docker import DockerClient
from docker.errors import DockerException, ImageNotFound
from docker.models.images import Image

from ml_tasks.config import Config
from ml_tasks.config_release import ReleaseConfig
from ml_tasks.errors import ReleaseError
from ml_tasks.release.bundle import FILES, SUMS, bundle_of
from ml_tasks.release.engine import engine_errors
from ml_tasks.release.image import FOLDER
from ml_tasks.release.image_config import layers_of
from ml_tasks.release.image_labels import VERSION
from ml_tasks.release.registry_api import Registry
from ml_tasks.release.registry_login import Login

VERSION_FORM = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{12}")
_NAMED = re.compile(r"(?P<repository>[^@]+?)(?::(?P<tag>[\w.-]+))?(?:@(?P<digest>sha256:\w{64}))?")


@dataclass(frozen=True)
class Examined:
    """An image, what it claims, and the release that it is to be compared with."""

    reference: str
    id: str
    digests: frozenset[str]  # under which a registry holds it
    tag: str | None
    labels: Mapping[str, str]
    layers: tuple[str, ...]
    version: str
    bundle: Path
    at_home: bool  # the release lies on this machine; else the bundle was taken out of the image


@contextmanager
def examined(client: DockerClient, config: Config, name: str) -> Iterator[Examined]:
    """Finds `name`: a version or `production`, a reference in a registry or the engine, or an id.

    Of a reference in a registry, the registry says which image it is, and the engine pulls that
    one; whatever the engine has under the same tag is not looked at.

    Raises:
        ReleaseError: there is no such image, or it is no release of this pipeline.
        RegistryUnavailable, RegistryRefused: the registry does not answer, or wants another login.
        EngineUnavailable: the engine stopped answering.
    """
    if not re.search(r"[/:@]", name):
        name = f"{config.release.registry}/{config.release.image}:{name}"
    with tempfile.TemporaryDirectory(prefix="mammo-verify-") as folder:
        with engine_errors(client, f"{name} was looked for"):
            image, digests, tag = _find(client, config.release, name)
            version = image.labels.get(VERSION, "")
            if not VERSION_FORM.fullmatch(version):
                raise ReleaseError(
                    f"{name} is no release of this pipeline (its label {VERSION} is {version!r})"
                )
            bundle = bundle_of(config.paths.releases, version)
            at_home = bundle.is_dir()
            if not at_home:
                bundle = _taken_out(client, str(image.id), Path(folder) / version / "bundle")
        yield Examined(
            reference=name,
            id=str(image.id),
            digests=digests,
            tag=tag,
            labels=image.labels,
            layers=layers_of(image),
            version=version,
            bundle=bundle,
            at_home=at_home,
        )


def _find(
    client: DockerClient, release: ReleaseConfig, name: str
) -> tuple[Image, frozenset[str], str | None]:
    """The image, its digests, and the tag that was asked for."""
    if name.startswith("sha256:"):
        return _of_engine(client, name, None)
    named = _NAMED.fullmatch(name)
    if named is None:
        raise ReleaseError(f"{name!r} names no image; write REPOSITORY:TAG or REPOSITORY@DIGEST")
    repository, tag, digest = named["repository"], named["tag"], named["digest"]
    host, _, image = repository.partition("/")
    if "/" not in repository or not (host == "localhost" or re.search(r"[.:]", host)):
        return _of_engine(client, name, tag)
    with Registry(_place(release, host, image)) as registry:
        held = digest or registry.digest(tag or "latest")
        if held is None:
            raise ReleaseError(
                f"the registry holds no {name}; `mammo releases` lists what was shipped"
            )
        return _pulled(client, repository, held, registry.login), frozenset({held}), tag


def _place(release: ReleaseConfig, host: str, image: str) -> ReleaseConfig:
    """Where the registry is asked: the configured address is of the configured registry only."""
    own = host == release.registry.partition("/")[0]
    url = release.registry_url if own else None
    return release.model_copy(update={"registry": host, "image": image, "registry_url": url})


def _of_engine(
    client: DockerClient, name: str, tag: str | None
) -> tuple[Image, frozenset[str], str | None]:
    try:
        image = client.images.get(name)
    except ImageNotFound:
        raise ReleaseError(
            f"the engine holds no image {name}; name it as the registry has it, or pull it first"
        ) from None
    digests = image.attrs.get("RepoDigests") or ()
    return image, frozenset(one.rpartition("@")[2] for one in digests), tag


def _pulled(client: DockerClient, repository: str, digest: str, login: Login | None) -> Image:
    try:
        return client.images.get(f"{repository}@{digest}")
    except ImageNotFound:
        pass
    try:
        known = None if login is None else login.for_engine()
        return client.images.pull(repository, tag=digest, auth_config=known)
    except DockerException as error:
        told = str(error) if login is None else login.masked(str(error))
        raise ReleaseError(
            f"{repository}@{digest} cannot be pulled ({told}); see that the engine reaches its "
            "registry: `docker pull` of it must work"
        ) from (None if login else error)


def _taken_out(client: DockerClient, image_id: str, bundle: Path) -> Path:
    """The bundle as it lies in the image, read without running it."""
    bundle.mkdir(parents=True)
    try:
        # A command, though nothing is run: an image without one would not become a container.
        container = client.containers.create(
            image_id, ["none"], network_mode="none", use_config_proxy=False
        )
    except DockerException as error:
        raise ReleaseError(
            f"nothing can be taken out of {image_id[:19]} ({error}); is it for the "
            "processor of this machine?"
        ) from error
    try:
        chunks, _ = container.get_archive(f"/{FOLDER}")
        with tempfile.TemporaryFile() as stream:
            stream.writelines(chunks)
            stream.seek(0)
            with tarfile.open(fileobj=stream) as archive:
                for entry in archive:
                    content = archive.extractfile(entry) if entry.isfile() else None
                    # By these names only: a tar may say anything.
                    known = entry.name.removeprefix(f"{FOLDER}/")
                    if content is not None and known in (*FILES, SUMS):
                        (bundle / known).write_bytes(content.read())
    except (DockerException, tarfile.TarError) as error:
        raise ReleaseError(
            f"no /{FOLDER} can be taken out of {image_id[:19]} ({error}); it is no release, do not "
            "serve it"
        ) from error
    finally:
        container.remove(force=True, v=True)
    return bundle
