"""`mammo verify`: whether an image is a release that this pipeline made, judged, tested and signed.

Every check compares something that was computed here with the signed statement; what the image
says of itself (its labels) is compared, and never believed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from docker import DockerClient

from ml_tasks.config import Config
from ml_tasks.errors import MammoError, ReleaseError
from ml_tasks.records import Decision, Verdict
from ml_tasks.release import statement as told
from ml_tasks.release.approval import ApprovalRecord, why_not
from ml_tasks.release.base_labels import LOCK, SOURCES
from ml_tasks.release.bundle import read_json, sums_sha256, verify, version_of
from ml_tasks.release.champion import PRODUCTION
from ml_tasks.release.examined import VERSION_FORM, Examined, examined
from ml_tasks.release.image import layer_digest
from ml_tasks.release.image_labels import BASE_DIGEST, BASE_NAME, release_labels
from ml_tasks.release.ledger import read_moves
from ml_tasks.release.signed_statement import SignedStatement, find_statement
from ml_tasks.release.signing import key_file, public_keys
from ml_tasks.storage import sha256_file


@dataclass(frozen=True)
class Check:
    """One question and its answer; None: it could not be asked on this machine."""

    name: str
    passed: bool | None
    reason: str

    def line(self) -> str:
        """For people: the answer, the question, the reason."""
        answer = {True: "OK", False: "FAILED", None: "NOT CHECKED"}[self.passed]
        return f"{answer:11}  {self.name:10}  {self.reason}"


def verify_image(
    client: DockerClient,
    config: Config,
    reference: str,
    key: Path | None = None,
    record: Path | None = None,
) -> list[Check]:
    """Every check of one image, in the order in which they build on each other.

    `key` is a file of public keys, else those beside the signing key; `record` is the folder of
    the release's record, where the release itself does not lie on this machine.

    Raises:
        ReleaseError: there is no such image, or it is no release.
        PushError: the registry does not answer.
        EngineUnavailable: the engine stopped answering.
    """
    with examined(client, config, reference) as image:
        record = record or image.bundle.parent / "record"
        checks = [
            _check("tag", lambda: _tag(image, config)),
            _check("bundle", lambda: _bundle(image)),
            _check("layer", lambda: _layer(image)),
            _check("labels", lambda: _labels(image)),
        ]
        try:
            keys = public_keys(key or key_file(config).with_suffix(".pub"))
            found = find_statement(record, keys, {image.id, *image.digests})
        except MammoError as error:
            checks.append(Check("statement", False, str(error)))
        else:
            reason = f"{found.file.name}, signed by the known key {found.key_id[:16]}"
            checks += [Check("statement", True, reason), *_against(image, found, record)]
        checks.append(_ledger(image, config))
        return checks


def _against(image: Examined, found: SignedStatement, record: Path) -> Iterator[Check]:
    """What the statement says, held against what is here."""
    yield _check("image", lambda: _image(image, found))
    yield _check("registry", lambda: _registry(image, found))
    yield _check("sums", lambda: _sums(image, found))
    yield _check("base", lambda: _base(image, found))
    yield _check("lineage", lambda: _lineage(image, found))
    yield _check("sbom", lambda: _sbom(found, record))
    yield _check("gate", lambda: _gate(image, found, record))
    yield _check("approval", lambda: _approval(image, found, record))
    yield _check("smoke", lambda: _smoke(image, found))


def _check(name: str, ask: Callable[[], str]) -> Check:
    try:
        return Check(name, True, ask())
    except MammoError as error:
        return Check(name, False, str(error))
    # An image may hold anything under the names of a release: that is then no release.
    except (OSError, LookupError, ValueError, TypeError, AttributeError, ArithmeticError) as error:
        return Check(name, False, f"it cannot be told ({type(error).__name__}: {error})")


def _equal(what: str, found: str, expected: str) -> str:
    if found != expected:
        raise ReleaseError(f"the {what} is {found or 'missing'}, it should be {expected}")
    return f"{what} {found}"


def _tag(image: Examined, config: Config) -> str:
    """A tag can be moved by anyone who may push: it must be on the release that it names."""
    if image.tag == PRODUCTION:
        moves = read_moves(config.paths.releases)
        if moves or image.at_home:  # a bundle may be pruned or moved away: the ledger stays
            _equal("version under production", image.version, moves[-1].version if moves else "")
    elif image.tag is not None and VERSION_FORM.fullmatch(image.tag):
        _equal("version in the image", image.version, image.tag)
    return f"{image.reference} is version {image.version}"


def _bundle(image: Examined) -> str:
    verify(image.bundle)
    _equal("version of the bundle", version_of(image.bundle), image.version)
    where = image.bundle if image.at_home else "the image"
    return f"every file in {where} is as its SHA256SUMS says"


def _layer(image: Examined) -> str:
    return _equal("layer", image.layers[-1], layer_digest(image.bundle))


def _labels(image: Examined) -> str:
    base = image.labels.get(BASE_NAME, ""), image.labels.get(BASE_DIGEST, "")
    expected = release_labels(image.bundle, *base)
    for name, value in expected.items():
        _equal(f"label {name}", image.labels.get(name, ""), value)
    return f"{len(expected)} labels are as the bundle says"


def _image(image: Examined, found: SignedStatement) -> str:
    return _equal("image id", _id(image, found), found.digest(told.IMAGE, found.subjects))


def _id(image: Examined, found: SignedStatement) -> str:
    """As the classic store names the image, in which it was built and tested.

    The containerd store names it by its manifest: if that is the signed one, so is the image in it.
    """
    if image.id == found.digest(told.REGISTRY, found.subjects):
        return found.digest(told.IMAGE, found.subjects)
    return image.id


def _registry(image: Examined, found: SignedStatement) -> str:
    signed = found.digest(told.REGISTRY, found.subjects)
    if not image.digests:
        raise ReleaseError(
            f"the engine knows no digest of {image.reference} in a registry (signed is {signed}); "
            "name the image as the registry has it"
        )
    if signed in image.digests:
        return f"digest {signed}"
    return _equal("digest", ", ".join(sorted(image.digests)), signed)


def _sums(image: Examined, found: SignedStatement) -> str:
    signed = found.digest(told.SUMS, found.subjects)
    return _equal("hash of SHA256SUMS", f"sha256:{sums_sha256(image.bundle)}", signed)


def _base(image: Examined, found: SignedStatement) -> str:
    layers = found.annotations(told.BASE, found.materials).get("layers")
    if list(image.layers[:-1]) != layers:
        raise ReleaseError("the layers below the release are not those of the signed serving base")
    for name, label in ((told.BASE_SOURCES, SOURCES), (told.BASE_LOCK, LOCK)):
        signed = found.digest(name, found.materials)
        _equal(f"label {label}", f"sha256:{image.labels.get(label, '')}", signed)
    signed = found.digest(told.BASE, found.materials)
    return _equal("serving base", image.labels.get(BASE_DIGEST, ""), signed)


def _lineage(image: Examined, found: SignedStatement) -> str:
    lineage = read_json(image.bundle, "lineage.json")
    for name, key in (
        (told.DATA, "manifest_sha256"),
        (told.CONFIG, "config_sha256"),
        (told.CODE, "code_sha256"),
    ):
        _equal(f"hash of the {name}", f"sha256:{lineage[key]}", found.digest(name, found.materials))
    commit = str(lineage.get("source_revision", "")).partition("-")[0]
    signed = found.materials.get(told.REVISION, {"digest": {"gitCommit": ""}})["digest"]
    _equal("source revision", commit, str(signed["gitCommit"]))
    return f"run {lineage['run_id']}: data, configuration and code as signed"


def _sbom(found: SignedStatement, record: Path) -> str:
    name = Path(str(found.annotations(told.SBOM, found.found_out)["file"])).name
    signed = found.digest(told.SBOM, found.found_out)
    return _equal(f"hash of {name}", f"sha256:{sha256_file(record / name)}", signed)


def _gate(image: Examined, found: SignedStatement, record: Path) -> str:
    """PASS; or INCONCLUSIVE, and a person's signed approval of that very decision."""
    file = image.bundle / "decision.json"
    signed = found.digest(told.GATE, found.found_out)
    _equal("hash of decision.json", f"sha256:{sha256_file(file)}", signed)
    decision = Decision.model_validate_json(file.read_bytes())
    verdict = str(found.annotations(told.GATE, found.found_out)["verdict"])
    if decision.verdict is Verdict.INCONCLUSIVE:
        _equal("signed verdict", verdict, Verdict.INCONCLUSIVE.value)
        return f"{decision.verdict.value}; {_approval(image, found, record)}"
    _equal("signed verdict", verdict, Verdict.PASS.value)
    _equal("verdict in decision.json", decision.verdict.value, Verdict.PASS.value)
    return decision.summary()


def _approval(image: Examined, found: SignedStatement, record: Path) -> str:
    decision = Decision.model_validate(read_json(image.bundle, "decision.json"))
    if told.APPROVAL not in found.found_out:
        reason = why_not(decision, None)
        if reason is not None:
            raise ReleaseError(f"{reason}: the statement holds no approval")
        return "the gate passed it, and it was signed before people could be asked"
    name = Path(str(found.annotations(told.APPROVAL, found.found_out)["file"])).name
    signed = found.digest(told.APPROVAL, found.found_out)
    _equal(f"hash of {name}", f"sha256:{sha256_file(record / name)}", signed)
    approval = ApprovalRecord.model_validate_json((record / name).read_bytes())
    judged = read_json(image.bundle, "lineage.json")["parents"]["records_sha256"][Decision.stage]
    _equal("decision that was answered", approval.inputs.get(Decision.stage, ""), str(judged))
    reason = why_not(decision, approval)
    if reason is not None:
        raise ReleaseError(reason)
    return approval.summary()


def _smoke(image: Examined, found: SignedStatement) -> str:
    smoke = found.annotations(told.SMOKE, found.found_out)
    _equal("tested image", str(smoke["image_id"]), _id(image, found))
    return f"{smoke['images']} test images were answered by this very image as evaluated"


def _ledger(image: Examined, config: Config) -> Check:
    try:
        moves = read_moves(config.paths.releases)
    except MammoError as error:
        return Check("ledger", False, str(error))
    if moves is None and not image.at_home:
        reason = f"there is no ledger in {config.paths.releases}; ask where it was released"
        return Check("ledger", None, reason)
    known = [move for move in moves or () if move.version == image.version]
    if any(move.digest in image.digests for move in known):
        return Check("ledger", True, f"went into production on {known[0].moved_at}")
    what = "knows it under another digest" if known else "knows no such version"
    return Check("ledger", False, f"the ledger in {config.paths.releases} {what}")
