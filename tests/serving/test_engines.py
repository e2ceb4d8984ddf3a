"""Which engine computes a version, what is told of it, and that nothing that converts can hurt what serves."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest

from app.serving.engines import NO_ONNX, Engines, engine_of, note_engine
from app.serving.model_limits import ModelSettings
from app.serving.onnx_report import REPORT
from app.serving.predictor_process import PredictorDied
from app.serving.protocol import LoadResult
from app.serving.serving_version import ServingVersion
from app.serving.versions import Models
from tests.serving.test_batcher import in_loop
from tests.serving.test_models import load, want


class Predictor:
    """Notes what it is told; answers with `error`, or dies."""

    tensorflow = "2.21.0"

    def __init__(self) -> None:
        self.told: list[str] = []
        self.error: str | None = None
        self.dies = False

    async def use_onnx(self, key: int, directory: str, timeout_s: float) -> LoadResult:
        self.told.append(directory)
        if self.dies:
            raise PredictorDied("for a test")
        return LoadResult(1, self.error, 0.0, 0)


class Host:
    """One version whose export's name says what its conversion does (`fake_conversion`)."""

    def __init__(self, root: Path, export: str, timeout_s: float = 60.0) -> None:
        self.woken = asyncio.Event()
        self.engines = Engines(root / "onnx", self.woken.set, timeout_s)
        self.predictor = Predictor()
        self.models = Models()
        self.export = export
        self.ask("onnx")
        self.version: ServingVersion = load(self.models, 1)
        note_engine(self.version, "")

    def ask(self, engine: str) -> None:
        wanted = want(1, "latest", settings=ModelSettings(engine=engine))
        self.models.sync([wanted.__class__(**{**vars(wanted), "path": f"/exports/{self.export}"})])

    async def settle(self) -> None:
        """Until a conversion that began is through, and what follows from it is done."""
        predictor: Any = self.predictor
        while await self.engines.change_next(predictor, self.models, 1000):
            pass
        if self.engines.busy:
            await asyncio.wait_for(self.woken.wait(), 120)
            self.woken.clear()
            await self.settle()

    @property
    def shown(self) -> dict[str, Any]:
        found = engine_of(self.models, "m", 1)
        assert found is not None
        return found


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Host]:
    monkeypatch.setattr("app.serving.engines.CONVERSION", "tests.serving.fake_conversion")
    monkeypatch.setattr("app.serving.engines.installed", lambda name: "1.0")

    def make(export: str, **more: Any) -> Host:
        return Host(tmp_path, export, **more)

    return make


BY_ONNX = {"asked": "onnx", "signatures": {"serving_default": "onnx"}, "reasons": {}}


def stays(reason: str) -> dict[str, Any]:
    return {
        "asked": "onnx",
        "signatures": {"serving_default": "tensorflow"},
        "reasons": {"serving_default": reason},
    }


def test_converted_version_changes_there_and_back_and_is_converted_once(
    host: Callable[..., Host], tmp_path: Path
) -> None:
    @in_loop
    async def run() -> None:
        one = host("good")
        assert engine_of(one.models, "m", 1) == {**BY_ONNX, "signatures": {"serving_default": "tensorflow"}}
        await one.settle()
        [directory] = one.predictor.told
        assert (one.shown, one.models.used_bytes) == (BY_ONNX, 110)
        assert one.version.metrics.engines == {"onnx": 1, "tensorflow": 0}
        one.ask("tensorflow")
        await one.settle()
        assert one.predictor.told == [directory, ""]
        assert one.shown == {"asked": "tensorflow", "signatures": {"serving_default": "tensorflow"}, "reasons": {}}
        assert one.models.used_bytes == 100
        one.ask("onnx")
        await one.settle()
        assert (one.predictor.told, one.shown) == ([directory, "", directory], BY_ONNX)
        other = host("good")  # another lane, or this one after a restart
        await other.settle()
        assert (other.predictor.told, other.shown) == ([directory], BY_ONNX)

    run()
    assert (tmp_path / "onnx/runs").read_text() == "good\n"


@pytest.mark.parametrize(
    ("export", "timeout_s", "reason"),
    [
        ("refused", 60.0, "for a test"),
        ("crashes", 60.0, "The process that converts it ended by signal 11."),
        ("hangs", 0.2, "Its conversion took more than 0.2 s."),
    ],
)
def test_version_that_cannot_be_converted_stays_tensorflows_and_says_why(
    host: Callable[..., Host], export: str, timeout_s: float, reason: str
) -> None:
    @in_loop
    async def run() -> None:
        one = host(export, timeout_s=timeout_s)
        await one.settle()
        assert (one.shown, one.predictor.told) == (stays(reason), [])
        await one.settle()
        assert one.predictor.told == []  # it is not tried again and again
        one.ask("tensorflow")
        await one.settle()
        assert one.shown["reasons"] == {}

    run()


def test_conversion_is_taken_again_by_the_next_predictor(host: Callable[..., Host]) -> None:
    """Also where it is of some signatures only."""

    @in_loop
    async def run() -> None:
        one = host("partly")
        await one.settle()
        assert one.shown == {**BY_ONNX, "reasons": {"other": "for a test"}}
        note_engine(one.version, "")  # as after a load
        assert one.shown == {**BY_ONNX, "signatures": {"serving_default": "tensorflow"}}
        await one.settle()
        assert one.shown == {**BY_ONNX, "reasons": {"other": "for a test"}}
        assert len(one.predictor.told) == 2

    run()


def test_predictor_that_cannot_load_or_dies_is_not_asked_again(host: Callable[..., Host]) -> None:
    @in_loop
    async def run() -> None:
        one = host("good")
        one.predictor.error = "It cannot."
        await one.settle()
        assert (one.shown, len(one.predictor.told)) == (stays("It cannot."), 1)
        two = host("good")
        two.predictor.dies = True
        with pytest.raises(PredictorDied):
            await two.settle()
        await two.settle()
        assert two.shown == stays("Loading it for ONNX Runtime ended the predictor process.")
        assert len(two.predictor.told) == 1

    run()


def test_conversion_without_room_or_that_is_damaged_is_not_taken(host: Callable[..., Host], tmp_path: Path) -> None:
    @in_loop
    async def run() -> None:
        one = host("good")
        one.version.bytes = 995  # of 1,000
        await one.settle()
        assert one.shown == stays("Its conversion needs 10 bytes of memory more; 5 are free.")
        [report] = (tmp_path / "onnx").glob(f"*/{REPORT}")
        report.write_text("{")
        two = host("good")
        await two.settle()
        assert two.shown == stays("Its conversion cannot be read.")

    run()


def test_packages_that_are_missing_are_named(host: Callable[..., Host], monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr("app.serving.engines.installed", missing)

    @in_loop
    async def run() -> None:
        one = host("good")
        await one.settle()
        assert one.shown == stays(NO_ONNX)

    run()


def test_conversions_that_nobody_took_for_a_week_are_removed(host: Callable[..., Host], tmp_path: Path) -> None:
    @in_loop
    async def run() -> None:
        await host("good").settle()
        [report] = (tmp_path / "onnx").glob(f"*/{REPORT}")
        os.utime(report, (0, 0))
        one = host("good")
        one.models.versions["m", 1].wanted = want(1, "latest", settings=ModelSettings(engine="onnx"))
        object.__setattr__(one.version.wanted, "digest", "sha256:other")
        await one.settle()
        assert not report.parent.exists()
        assert one.shown == BY_ONNX

    run()
