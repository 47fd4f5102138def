"""The signed statement of a release: what was built from what, and how it was judged and tested.

An in-toto Statement (v1) whose predicate is SLSA provenance (v1), in a DSSE envelope. It holds no
time but those of the run, so that the same release gives the same statement.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from docker import DockerClient

from ml_tasks.config import Config
from ml_tasks.errors import ReleaseError
from ml_tasks.records import Decision, ImageRecord, SmokeRecord
from ml_tasks.release.approval import ApprovalRecord, keep_approval, why_not
from ml_tasks.release.audit import Deed, noted_once
from ml_tasks.release.base_labels import LOCK, SOURCES
from ml_tasks.release.bundle import add_record, read_json, sums_sha256
from ml_tasks.release.engine import engine_errors
from ml_tasks.release.image import layer_digest
from ml_tasks.release.image_config import layers_of
from ml_tasks.release.image_labels import BASE_DIGEST, created
from ml_tasks.release.sbom import keep_sbom
from ml_tasks.release.signing import key_id, sign, signing_key
from ml_tasks.storage import sha256_file

log = logging.getLogger(__name__)

NAME = "statement.dsse"  # in the release's record
PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:mammography:release:v1"  # described in docs/release.md
# The subjects: the same release by three names.
REGISTRY, IMAGE, SUMS = "image in the registry", "image id", "SHA256SUMS"
# What it was made of.
DATA, CONFIG, CODE, REVISION = "data manifest", "configuration", "ml_tasks", "source revision"
BASE, BASE_SOURCES, BASE_LOCK = "serving base", "service sources", "service lock"
# What was found out about it.
SBOM, GATE, SMOKE = "bill of materials", "gate", "smoke test"
APPROVAL, AUDIT = "approval", "audit log"


def attest(
    config: Config,
    client: DockerClient,
    image: ImageRecord,
    smoke: SmokeRecord,
    digest: str,
    approval: ApprovalRecord,
) -> Path:
    """Signs the statement of a pushed image and adds it to the release's record; gives its file.

    `digest` is what the registry holds the image under. Called before `production` moves: without
    a statement nothing goes into production. The same release gives the same file again.

    Raises:
        ReleaseError: the key cannot be used, neither gate nor approval lets it ship, the smoke
            test was of another image, or the image is not of this release.
        AuditError: the audit log is damaged.
        StorageError: no space left.
        EngineUnavailable: the engine stopped answering.
    """
    bundle = Path(image.bundle)
    key = signing_key(config)
    kept = keep_sbom(client, bundle, image.image_id)
    with engine_errors(client, "the statement of the release was made"):
        built = client.images.get(image.image_id)
        labels, layers = built.labels, layers_of(built)
    if smoke.image_id != image.image_id or layers[-1] != layer_digest(bundle):
        raise ReleaseError(
            f"{image.image_id[:19]} is not the tested image of {bundle}, so that nothing is signed "
            "of it; run build_image and smoke_test again"
        )
    statement = {
        "_type": STATEMENT_TYPE,
        "subject": _subjects(image, bundle, digest),
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {"run_id": image.run_id, "version": image.version},
                "resolvedDependencies": _materials(bundle, labels, layers[:-1]),
            },
            "runDetails": {
                "builder": {"id": f"{BUILD_TYPE}:{labels[SOURCES][:12]}"},
                "metadata": {"invocationId": image.run_id, "startedOn": created(bundle)},
                "byproducts": [
                    *_found_out(bundle, smoke, kept),
                    *_decided(config, bundle, image, approval),
                ],
            },
        },
    }
    payload = json.dumps(statement, sort_keys=True, separators=(",", ":")).encode()
    path = add_record(bundle, NAME, sign(key, PAYLOAD_TYPE, payload))
    log.info("signed %s with the key %s", path, key_id(key.public_key())[:16])
    return path


def _subjects(image: ImageRecord, bundle: Path, digest: str) -> list[dict[str, Any]]:
    return [
        _resource(REGISTRY, digest),
        _resource(IMAGE, image.image_id),
        _resource(SUMS, sums_sha256(bundle)),
    ]


def _materials(
    bundle: Path, labels: dict[str, str], base_layers: tuple[str, ...]
) -> list[dict[str, Any]]:
    lineage = read_json(bundle, "lineage.json")
    revision = str(lineage.get("source_revision", ""))
    return [
        _resource(DATA, str(lineage["manifest_sha256"])),
        _resource(CONFIG, str(lineage["config_sha256"])),
        _resource(CODE, str(lineage["code_sha256"])),
        *([_revision(revision)] if revision else []),
        _resource(BASE, labels[BASE_DIGEST], layers=list(base_layers)),
        _resource(BASE_SOURCES, labels[SOURCES]),
        _resource(BASE_LOCK, labels[LOCK]),
    ]


def _found_out(bundle: Path, smoke: SmokeRecord, sbom: Path) -> list[dict[str, Any]]:
    decision = Decision.model_validate(read_json(bundle, "decision.json"))
    return [
        _resource(SBOM, sha256_file(sbom), file=sbom.name),
        _resource(
            GATE,
            sha256_file(bundle / "decision.json"),
            verdict=decision.verdict.value,
            rules={rule.rule: rule.sentence for rule in decision.rules},
        ),
        {"name": SMOKE, "annotations": smoke.model_dump(mode="json")},
    ]


def _decided(
    config: Config, bundle: Path, image: ImageRecord, approval: ApprovalRecord
) -> list[dict[str, Any]]:
    decision = Decision.model_validate(read_json(bundle, "decision.json"))
    reason = why_not(decision, approval)
    if reason is not None:
        raise ReleaseError(f"nothing is signed of a model that {decision.summary()}; {reason}")
    kept = keep_approval(bundle, approval)
    # Up to the line of this very release: signed again, it is the same.
    place = noted_once(config.paths.releases, Deed.RELEASED, image.version, f"run {image.run_id}")
    told = {"answer": approval.answer.value, "who": approval.who, "when": approval.when}
    return [
        _resource(APPROVAL, sha256_file(kept), file=kept.name, **told),
        _resource(AUDIT, place.check, lines=place.line),
    ]


def _resource(name: str, digest: str, **annotations: Any) -> dict[str, Any]:
    told: dict[str, Any] = {"name": name, "digest": {"sha256": digest.removeprefix("sha256:")}}
    return {**told, **({"annotations": annotations} if annotations else {})}


def _revision(revision: str) -> dict[str, Any]:
    commit, _, dirty = revision.partition("-")
    return {
        "name": REVISION,
        "digest": {"gitCommit": commit},
        "annotations": {"clean": not dirty},
    }
