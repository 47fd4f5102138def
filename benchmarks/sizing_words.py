"""What docs/sizing.md says in words, around the tables that are made from figures."""

from __future__ import annotations

INTRODUCTION = """# How large a machine, and how many

Made by `python -m benchmarks.sizing` from the pages and JSON files that it names; benchmarks that
are written anew change it. Three kinds of figures stand here:

- **measured**: under *What was measured*, *Rows in memory* and *The stack itself*, with their page.
- **reckoned**: measured figures times a number, by the arithmetic that stands beside them. Cores of
  another kind are faster or slower; many cores on one disk or one memory bus are slower than one
  core times their number.
- **assumed**: four images an examination, 250 working days of ten hours, a peak of three times
  their mean, JPEG lossless at 2.5 to 1, 30 epochs, 30 % of the patients for validation and test
  (`Assumptions` in benchmarks/sizing.py: change them, and write the page again).

**Training on a GPU was not measured in this project.** The page says how fast one would have to be,
not how fast one is; [training.md](training.md) has the command that measures yours. Neither were
ten machines: what spreads over workers is reckoned from two workers on one machine.
"""

LIMITS = """## Where the limits are

In the order in which a growing programme meets them.

| limit | why | what to do |
|---|---|---|
| near-duplicates, between 100,000 and 1,000,000 images in one retraining | validate_data and preprocess.plan compare every picture with every other, on one machine: four times the time for twice the images (table above) | train on a sample of the archive; more cores in the worker that validates |
| validate_data is one task | it decodes every film that the cache does not have, by all cores of one worker; the cleaning shards find what it left in the cache, and spread the work only where the cache was lost | give the default worker with the most cores this task; the cache is shared by content, so that a film is decoded once for good |
| one process holds all rows | manifest, plan and index are read whole, with the films' fingerprints beside them (4 KB each, twice where polarity is in doubt) | memory as in the table; a machine with that much runs the queue `default` |
| one training at a time | pool `gpu` has one slot, and the retraining `max_active_runs=1`: what is in production may change under nobody's hands | a second GPU worker (`make scale GPU=2`) stands by for the loss of the first; a training uses one GPU |
| ledger, seen files, audit log | one file each, read whole and written anew as it grows; the ledger never forgets a patient | on a local SSD or an NFS with fast rename; a ledger for each programme |
| shared volume | every film is read over it once to validate and once more to evaluate or score, each cleaned picture once an epoch unless it fits in the file cache | the peak's MB/s above is the volume's floor, not the network's peak; the arrays of the training split copied to the GPU box's memory by the system's file cache |
| shards | the form takes 1,000 at most, and Airflow maps 1,024 (`core.max_map_length`); each costs the fixed seconds of a task | shards that take a minute or more: twice as many as workers |
| XCom | holds records of a few hundred bytes and the list of the shards' numbers; never rows | none met |
| scheduler | one, with delays as above; it sees tasks, not images | not met: a batch and a retraining are some 30 tasks |
| Postgres | rows of Airflow's runs and MLflow's; images never | `airflow db clean` once a year; [backup.md](backup.md) |
| registry | a release adds its own layer; the base lies there once | housekeeping removes old images ([housekeeping.md](housekeeping.md)) |
| one container serves | as many cores as its machine has | at the peak reckoned above one machine serves a nation; for the day it fails, another that runs the same image ([service.md](service.md)) behind a balancer of your own: the stack itself keeps one |
| batch scoring | the listing is sorted on the disk, rows are committed by chunk: memory does not grow with the folder | none met; `predictions.csv` of millions of lines is one file: read the parquet one |

So **scoring** ten million images a year is the work of a few cores, and the storage of their films
is the cost. **Retraining on all** ten million is out of reach of this pipeline as it stands, by the
first row of the table; on a sample of 100,000 it is a night's work for the worker that validates,
and what the GPU takes for training.
"""  # noqa: E501 - rows of a table
