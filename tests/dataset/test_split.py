"""The split: by patient, for good, whatever data arrive later; balancing of training only."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_tasks.config import SplitConfig
from ml_tasks.dataset.manifest import IndexRow
from ml_tasks.dataset.split import balanced, check_splits, class_weights, split_of
from ml_tasks.errors import DataError
from ml_tasks.records import Split
from tests.counts import cases

CONFIG = SplitConfig()


def index(
    patients: int, share_positive: float = 0.25, config: SplitConfig = CONFIG
) -> list[IndexRow]:
    rows = []
    for number in range(patients):
        label = "Positive" if number % round(1 / share_positive) == 0 else "Negative"
        patient, split = f"P{number}", split_of(f"P{number}", config)
        rows.append(
            IndexRow(
                file=f"{split}/{label}/{number}.png",
                raw=f"{label}/{number}.png",
                label=label,
                patient=patient,
                split=split,
                raw_sha256=f"{number:064x}",
            )
        )
    return rows


def shown(rows: list[IndexRow], split: Split) -> Counter[str]:
    counts: Counter[str] = Counter()
    for row in rows:
        if row.split is split:
            counts[row.label] += row.copies
    return counts


@settings(max_examples=cases(100, 5000), deadline=None)
@given(first=st.sets(st.text(min_size=1)), later=st.sets(st.text(min_size=1)))
def test_a_patient_never_moves_as_data_grow(first: set[str], later: set[str]) -> None:
    """A patient that went from test to training would make the next test figures worthless."""
    before = {patient: split_of(patient, CONFIG) for patient in first}
    after = {patient: split_of(patient, CONFIG) for patient in first | later}
    assert all(after[patient] is split for patient, split in before.items())


def test_the_split_is_the_same_on_every_machine_and_in_every_version() -> None:
    """Written down once: another hash would move patients between retrainings."""
    found = "".join(split_of(f"patient {number}", CONFIG)[1] for number in range(24))
    assert found == SPLITS_OF_24


def test_the_shares_are_as_set() -> None:
    counts = Counter(split_of(f"P{number}", CONFIG) for number in range(5000))
    assert counts[Split.TEST] / 5000 == pytest.approx(0.15, abs=0.02)
    assert counts[Split.VAL] / 5000 == pytest.approx(0.15, abs=0.02)


def test_another_key_gives_another_split() -> None:
    other = SplitConfig(key="another study")
    moved = sum(split_of(f"P{n}", CONFIG) is not split_of(f"P{n}", other) for n in range(1000))
    assert 300 < moved < 600


def test_more_validation_takes_no_patient_out_of_test() -> None:
    wider = SplitConfig(validation=0.3)
    tested = [f"P{n}" for n in range(500) if split_of(f"P{n}", CONFIG) is Split.TEST]
    assert all(split_of(patient, wider) is Split.TEST for patient in tested)


def test_a_class_that_is_missing_from_a_split_is_named() -> None:
    rows = [row for row in index(200) if (row.split, row.label) != (Split.VAL, "Positive")]
    with pytest.raises(
        DataError, match=r"class Positive has too few patients .* \d+ patient.* val"
    ):
        check_splits(rows, ("Negative", "Positive"))
    check_splits(index(200), ("Negative", "Positive"))


@pytest.mark.parametrize("balance", ["oversample", "undersample", "class_weights", "none"])
def test_balancing_touches_the_training_split_only(balance: str) -> None:
    config = SplitConfig.model_validate({"balance": balance})
    rows = index(400)
    done = balanced(rows, config)
    for split in (Split.VAL, Split.TEST):
        assert shown(done, split) == shown(rows, split)
        assert all(row.copies == 1 for row in done if row.split is split)
    before, after = shown(rows, Split.TRAIN), shown(done, Split.TRAIN)
    if balance in ("none", "class_weights"):
        assert after == before
    else:
        count = {"oversample": before["Negative"], "undersample": before["Positive"]}[balance]
        assert after == {"Negative": count, "Positive": count}


BALANCES = ("oversample", "undersample", "class_weights", "none")

drawn_rows = st.lists(
    st.tuples(st.sampled_from(list(Split)), st.sampled_from(["Negative", "Positive"])),
    max_size=60,
).map(
    lambda places: [
        IndexRow(
            file=f"{split}/{label}/{number}.png",
            raw=f"{label}/{number}.png",
            label=label,
            patient=f"P{number}",
            split=split,
            raw_sha256=f"{number:064x}",
        )
        for number, (split, label) in enumerate(places)
    ]
)


@settings(max_examples=cases(200, 5000), deadline=None)
@given(rows=drawn_rows, balance=st.sampled_from(BALANCES))
def test_whatever_the_choice_only_the_training_split_is_ever_changed(
    rows: list[IndexRow], balance: str
) -> None:
    """Validation and test that were balanced would show figures of a prevalence nobody has."""
    done = balanced(rows, SplitConfig.model_validate({"balance": balance}))
    assert [row.model_copy(update={"copies": 1}) for row in done] == rows
    assert all(row.copies == 1 for row in done if row.split is not Split.TRAIN)
    counts = shown(done, Split.TRAIN)
    before = shown(rows, Split.TRAIN)
    if balance in ("oversample", "undersample") and len(before) == 2:
        assert counts["Negative"] == counts["Positive"]
        assert counts["Negative"] in before.values()
    else:
        assert counts == before


@settings(max_examples=cases(200, 5000), deadline=None)
@given(rows=drawn_rows)
def test_class_weights_let_both_classes_of_training_weigh_alike(rows: list[IndexRow]) -> None:
    weights = class_weights(rows, SplitConfig(balance="class_weights"))
    counts = Counter(row.label for row in rows if row.split is Split.TRAIN)
    if len(counts) < 2:
        assert weights == {}
        return
    totals = {label: weights[label] * count for label, count in counts.items()}
    assert totals["Negative"] == pytest.approx(totals["Positive"])
    assert sum(totals.values()) == pytest.approx(counts.total())
    rarer = min(counts, key=lambda label: counts[label])
    assert weights[rarer] == max(weights.values())


def test_class_weights_are_those_of_scikit_learn() -> None:
    from sklearn.utils.class_weight import compute_class_weight

    rows = index(300)
    labels = [row.label for row in rows if row.split is Split.TRAIN]
    names = sorted(set(labels))
    expected = compute_class_weight("balanced", classes=np.array(names), y=labels)
    found = class_weights(rows, SplitConfig(balance="class_weights"))
    assert found == pytest.approx(dict(zip(names, expected, strict=True)))


@pytest.mark.parametrize("balance", ["oversample", "undersample", "none"])
def test_other_choices_weigh_every_picture_alike(balance: str) -> None:
    assert class_weights(index(100), SplitConfig.model_validate({"balance": balance})) == {}


def test_oversampling_repeats_as_evenly_as_can_be() -> None:
    copies = {row.copies for row in balanced(index(400), CONFIG) if row.label == "Positive"}
    assert max(copies) - min(copies - {1}) <= 1


def test_undersampling_leaves_out_the_same_pictures_every_time() -> None:
    config = SplitConfig(balance="undersample")
    assert balanced(index(300), config) == balanced(index(300), config)
    left_out = [row for row in balanced(index(300), config) if row.copies == 0]
    assert left_out and all(row.label == "Negative" for row in left_out)


def test_one_class_alone_is_left_as_it_is() -> None:
    rows = [row for row in index(50) if row.label == "Negative"]
    assert balanced(rows, CONFIG) == rows


SPLITS_OF_24 = "rrrreerrrreerrrrrrerrrra"  # second letters of train, val, test
