"""What is loaded is what was written, for the kernel that runs; all else is refused in words."""

from __future__ import annotations

import io
import json
import random
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.workers.ml.models.damage import described, made_of, packed, resigned, vectors_of
from tests.workers.ml.models.estimators import FEATURES, KERNEL, USED, rows
from workers.ml.models import Kernel, ModelError, load, read_manifest
from workers.ml.models import manifest as manifests
from workers.ml.models.load import ALL_VALID, made

Json = dict[str, Any]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    vectors = vectors_of("hgb", "isotonic")
    data = packed(vectors)
    (tmp_path / "model.npz").write_bytes(data)
    manifest = described("hgb", "isotonic", vectors, data)
    (tmp_path / "manifest.json").write_bytes(manifests.encode(manifest))
    return tmp_path


def refusal(directory: Path, kernel: Kernel | None = None) -> str:
    with pytest.raises(ModelError) as caught:
        load(directory, kernel)
    return str(caught.value)


def change(directory: Path, edit: Callable[[Json], object]) -> None:
    path = directory / "manifest.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    edit(content)
    path.write_text(json.dumps(content), encoding="utf-8")


def repack(directory: Path, data: bytes) -> None:
    """Write other arrays, with their hash in the manifest."""
    (directory / "model.npz").write_bytes(data)
    manifest = resigned(read_manifest(directory), data)
    (directory / "manifest.json").write_bytes(manifests.encode(manifest))


def test_the_models_features_are_found_in_the_kernels_rows(directory: Path) -> None:
    full = np.random.default_rng(1).normal(size=(9, len(FEATURES)))
    places = [FEATURES.index(name) for name in USED]
    model = load(directory, KERNEL)
    found, neutral = model.evaluate(full, np.full(9, ALL_VALID))
    expected, _ = load(directory).evaluate(full[:, places].copy(), np.full(9, ALL_VALID))
    assert found.tolist() == expected.tolist()
    assert not neutral.any()


@pytest.mark.parametrize("place", range(len(FEATURES)))
def test_only_an_invalid_feature_that_the_model_uses_makes_a_row_neutral(
    directory: Path, place: int
) -> None:
    valid = np.array([int(ALL_VALID) & ~(1 << place)], np.uint64)
    probabilities, neutral = load(directory, KERNEL).evaluate(np.zeros((1, len(FEATURES))), valid)
    assert neutral[0] == (FEATURES[place] in USED)
    assert (probabilities[0] == 0.5) == neutral[0]


def test_rows_may_lie_in_records(directory: Path) -> None:
    records = np.zeros(4, [("valid", "<u8"), ("value", "<f8", len(FEATURES)), ("close", "<i8")])
    records["value"] = np.random.default_rng(2).normal(size=(4, len(FEATURES)))
    records["valid"] = ALL_VALID
    records["valid"][2] = 0
    model = load(directory, KERNEL)
    found, neutral = model.evaluate(records["value"], records["valid"])
    again, _ = model.evaluate(records["value"].copy(), records["valid"].copy())
    assert found.tolist() == again.tolist()
    assert neutral.tolist() == [False, False, True, False]


@pytest.mark.parametrize(
    ("values", "valid", "message"),
    [
        (np.zeros((2, 8)), np.zeros(3, np.uint64), "there were 3 words of validity, must be 2"),
        (np.zeros((2, 7)), np.zeros(2, np.uint64), "a row was 7 values, must be at least 8"),
        (np.zeros((8, 2)).T, np.zeros(2, np.uint64), "apart, must be next to each other"),
    ],
)
def test_rows_of_another_shape_are_refused(
    directory: Path, values: Any, valid: Any, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        load(directory).evaluate(values, valid)


def test_rows_of_another_type_are_refused(directory: Path) -> None:
    with pytest.raises(TypeError):
        load(directory).evaluate(np.zeros((1, 8), np.float32), np.zeros(1, np.uint64))


OTHER_KERNELS = {
    "missing here: feature_4": Kernel(3, "0" * 64, tuple(f for f in FEATURES if f != "feature_4")),
    "not in the model's: news": Kernel(3, "0" * 64, (*FEATURES, "news")),
    "the same names in another order": Kernel(2, "0" * 64, FEATURES[::-1]),
    "the same names, computed otherwise": Kernel(2, "0" * 64, FEATURES),
}


@pytest.mark.parametrize("difference", OTHER_KERNELS)
def test_a_model_for_another_kernel_is_refused_with_both_lists(
    directory: Path, difference: str
) -> None:
    running = OTHER_KERNELS[difference]
    message = refusal(directory, running)
    assert difference in message
    assert f"the model's: {', '.join(FEATURES)}" in message
    assert f"computed here: {', '.join(running.features)}" in message
    assert f"must be of version {running.version} (000000000000); train the model again" in message


@pytest.mark.parametrize("name", ["manifest.json", "model.npz"])
def test_a_missing_file_is_named(directory: Path, name: str) -> None:
    (directory / name).unlink()
    message = refusal(directory)
    assert str(directory / name) in message
    assert "No such file or directory" in message
    assert "bot4 train --out" in message


def test_arrays_that_are_not_the_manifests_are_refused(directory: Path) -> None:
    data = bytearray((directory / "model.npz").read_bytes())
    data[len(data) // 2] ^= 1
    (directory / "model.npz").write_bytes(data)
    message = refusal(directory)
    assert message.startswith(f"{directory / 'model.npz'}: SHA-256 was ")
    assert "as the manifest says" in message


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda it: it.update(schema=2), "schema was 2, must be 1; train the model again"),
        (lambda it: it.update(kind="svm"), "Invalid enum value 'svm' - at `$.kind`"),
        (lambda it: it.update(more=1), "unknown field `more`"),
        (lambda it: it.pop("card"), "missing required field `card`"),
        (lambda it: it["card"].update(features=[]), "at `$.card.features`"),
        (lambda it: it["card"].update(features=["news"]), "card.features had news, must be of"),
        (lambda it: it["card"].update(features=[USED[0]] * 2), f"had {USED[0]} twice"),
        (lambda it: it["arrays"].update(sha256="no"), "at `$.arrays.sha256`"),
        (lambda it: it["arrays"]["vectors"].pop("root"), "arrays in the manifest were base, "),
        (lambda it: it["arrays"]["vectors"]["root"].update(length=3), "must be <i4"),
        (lambda it: it["arrays"]["vectors"]["root"].update(dtype="<f8"), "must be <i4"),
        (lambda it: it.update(kind="rf"), "must be feature, isotonic_x, isotonic_y, right, root"),
        (lambda it: it["card"].update(features=list(USED[:3])), "must be 0 .. 2"),
    ],
)
def test_a_wrong_manifest_is_refused(
    directory: Path, edit: Callable[[Json], object], message: str
) -> None:
    change(directory, edit)
    refused = refusal(directory)
    assert message in refused
    assert refused.startswith(str(directory))


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"\xff", b"[" * 100_000, b'{"schema": 1e99}'])
def test_what_is_no_manifest_is_refused(directory: Path, text: bytes) -> None:
    (directory / "manifest.json").write_bytes(text)
    assert "is not a model's manifest" in refusal(directory)


def zipped(names: list[str], compression: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name in names:
            member = io.BytesIO()
            np.lib.format.write_array(member, np.zeros(1000), allow_pickle=False)
            archive.writestr(name, member.getvalue())
    return file.getvalue()


ALL_NAMES = [f"{n}.npy" for n in vectors_of("hgb", "isotonic")]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is not a file of arrays (BadZipFile: "),
        (b"PK\x03\x04 and so on", "is not a file of arrays"),
        (zipped(["root.npy"]), "held root.npy, must hold base.npy, "),
        (zipped(ALL_NAMES, zipfile.ZIP_DEFLATED), "was compressed"),
        (zipped(ALL_NAMES), "must be <i4"),
    ],
)
def test_what_is_no_file_of_such_arrays_is_refused(
    directory: Path, data: bytes, message: str
) -> None:
    repack(directory, data)
    refused = refusal(directory)
    assert message in refused
    assert refused.startswith(f"{directory / 'model.npz'}: ")


def test_arrays_of_objects_are_not_unpickled(directory: Path) -> None:
    vectors = vectors_of("hgb", "isotonic")
    file = io.BytesIO()
    np.savez(file, allow_pickle=True, **{**vectors, "root": np.array([print], object)})
    repack(directory, file.getvalue())
    assert "root.npy was |O of shape (1,)" in refusal(directory)


@pytest.mark.parametrize(
    ("name", "place", "value", "message"),
    [
        ("right", 0, 0, "right[0] was 0, must be 2 .. "),
        ("right", 0, 2**31 - 1, "right[0] was 2147483647, must be 2 .. "),
        ("right", 0, -1, "right[0] was -1, must be 2 .. "),
        ("feature", 0, 8, "feature[0] was 8, must be 0 .. 7"),
        ("feature", 0, -2, "feature[0] was -2, must be 0 .. 7"),
        ("feature", -1, 0, "-1 so near to the end of its tree"),
        ("right", -1, 5, "must be -1 in a leaf"),
        ("root", 0, 1, "root[0] was 1, must be 0"),
        ("root", 1, 0, "root[1] was 0, must be 1 .. "),
        ("threshold", 3, np.nan, "threshold[3] was nan, must be finite"),
        ("base", 0, np.inf, "base[0] was inf, must be finite"),
        ("isotonic_y", 0, 1.5, "isotonic_y[0] was 1.500000, must be 0 .. 1"),
        ("isotonic_x", 1, -1e9, "isotonic_x[1] was -1000000000.000000, must be above"),
    ],
)
def test_arrays_that_cannot_be_evaluated_are_refused(
    name: str, place: int, value: float, message: str
) -> None:
    vectors = vectors_of("hgb", "isotonic")
    vectors[name] = vectors[name].copy()
    vectors[name][place] = value
    with pytest.raises(ModelError) as caught:
        made_of("hgb", "isotonic", vectors)
    assert message in str(caught.value)
    assert str(caught.value).endswith("train the model again")


def test_a_scale_of_zero_is_refused() -> None:
    vectors = vectors_of("lr", "none")
    vectors["scale"][2] = 0.0
    with pytest.raises(ModelError, match=r"scale\[2\] was 0.000000, must be > 0"):
        made_of("lr", "none", vectors)


@settings(max_examples=400, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_files_with_bytes_changed_are_refused_or_make_sense(seed: int) -> None:
    source = random.Random(seed)
    kind, calibration = source.choice([("hgb", "none"), ("rf", "sigmoid"), ("lr", "isotonic")])
    vectors = vectors_of(kind, calibration)
    data = bytearray(packed(vectors))
    text = bytearray(manifests.encode(described(kind, calibration, vectors, bytes(data))))
    target = source.choice((data, text))
    for _ in range(source.randint(1, 4)):
        what, place = source.random(), source.randrange(len(target))
        # Half of the time among the names, sizes and headers at the end of the archive.
        if source.random() < 0.5:
            place = max(0, len(target) - 1 - source.randrange(700))
        if what < 0.8:
            target[place] = source.choice((0, 1, 0x7F, 0xFF, source.randrange(256)))
        elif what < 0.9:
            del target[place : place + source.randint(1, 9)]
        else:
            target[place:place] = target[:4]
    try:
        manifest = manifests.decode(bytes(text))
        model = made(resigned(manifest, bytes(data)), bytes(data))
    except ModelError:
        return
    width = len(model.manifest.card.features)
    probabilities, _ = model.evaluate(rows(10)[:, :width].copy(), np.full(10, ALL_VALID))
    assert ((probabilities >= 0.0) & (probabilities <= 1.0)).all()


def test_a_file_too_large_is_not_read(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifests, "MOST_ARRAYS_BYTES", 100)
    assert "bytes, must be at most 100" in refusal(directory)


def test_the_manifest_survives_its_own_text() -> None:
    vectors = vectors_of("lr", "sigmoid")
    manifest = described("lr", "sigmoid", vectors, packed(vectors))
    assert manifests.decode(manifests.encode(manifest)) == manifest
    assert msgspec.json.decode(manifests.encode(manifest))["card"]["features"] == list(USED)
