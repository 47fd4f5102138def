"""The folder of image statistics: the service, another user than the pipeline's, writes there."""

from __future__ import annotations

import os
from pathlib import Path

from ml_tasks.errors import StorageError
from ml_tasks.release.confinement import USER

_USER = int(USER.partition(":")[0])


def give_statistics_folder(folder: Path) -> None:
    """Makes the folder, and lets the service's user write there.

    Raises:
        StorageError: the folder belongs to somebody else, or a file stands in its way.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        status = folder.stat()
        if status.st_uid == _USER or status.st_mode & 0o002:
            return
        if os.geteuid() == 0:
            os.chown(folder, _USER, -1)
        else:
            folder.chmod(0o1777)  # as /tmp: each may remove only what is his own
    except OSError as error:
        raise StorageError(
            f"{folder} cannot be given to the service, which writes image statistics there "
            f"({error.strerror}); let its owner run: chmod 1777 {folder}"
        ) from error
