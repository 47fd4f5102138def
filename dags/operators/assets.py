"""What starts a DAG by itself: new data, a wish to retrain, a move of `production`."""

from __future__ import annotations

from airflow.sdk import Asset

# The event's extra names the folder, the number of images and the snapshot of the files.
NEW_DATA = Asset(name="mammography_new_data", uri="mammography://new-data", group="mammography")
# The event's extra says why: the service's images are no longer like those of the training.
RETRAINING_WANTED = Asset(
    name="mammography_retraining_wanted",
    uri="mammography://retraining-wanted",
    group="mammography",
)
# The event's extra names the version and the digest that `production` moved to.
PRODUCTION = Asset(
    name="mammography_production", uri="mammography://production", group="mammography"
)
