"""What is looked for in a SavedModel before it is loaded."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.digest import directory_digest
from app.serving.export_description import BadExport, read_export
from app.serving.predictor.graph_check import allowed_ops, check
from app.storage import Storage

saved_model_pb2 = pytest.importorskip("tensorflow.core.protobuf.saved_model_pb2")

NEVER = """
ReadFile WriteFile MatchingFiles WholeFileReader WholeFileReaderV2 TextLineReaderV2 TFRecordReaderV2
InitializeTableFromTextFileV2 InitializeTableFromDataset TextLineDataset TFRecordDatasetV2 CSVDatasetV2
SqlDataset LoadDataset SaveDatasetV2 SnapshotDatasetV2 DatasetToTFRecord CacheDatasetV2 Save SaveV2 SaveSlices
Restore RestoreV2 RestoreSlice LoadAndRemapMatrix DistributedSave CreateSummaryFileWriter WriteScalarSummary
DataServiceDatasetV4 RemoteCall Send Recv CollectiveBcastSendV2 DebugIdentityV3 DebugNumericSummaryV2
FileSystemSetConfiguration Abort PyFunc PyFuncStateless EagerPyFunc Print PrintV2 ImmutableConst
GenerateVocabRemapping MergeV2Checkpoints ShardedFilename
"""


def test_no_dangerous_operation_is_on_the_list() -> None:
    assert not allowed_ops() & set(NEVER.split())


@pytest.fixture
def changed(exports: Path, tmp_path: Path) -> Callable[[Callable[[Any], None]], Path]:
    """A copy of a good export whose SavedModel proto was changed."""

    def change(edit: Callable[[Any], None]) -> Path:
        directory = tmp_path / "export"
        shutil.copytree(exports / "plus2", directory)
        proto = saved_model_pb2.SavedModel.FromString((directory / "saved_model.pb").read_bytes())
        edit(proto)
        (directory / "saved_model.pb").write_bytes(proto.SerializeToString())
        return directory

    return change


def test_our_exports_pass(exports: Path) -> None:
    for name in ("plus2", "mixed", "picky", "unable"):
        check(exports / name)


def test_operation_in_the_graph_is_refused(exports: Path) -> None:
    with pytest.raises(BadExport, match="ReadFile"):
        check(exports / "reader")


def test_operation_in_a_library_function_is_refused(changed: Callable[..., Path]) -> None:
    def edit(proto: Any) -> None:
        proto.meta_graphs[0].graph_def.library.function[0].node_def.add(name="evil", op="WholeFileReaderV2")

    with pytest.raises(BadExport, match="WholeFileReaderV2"):
        check(changed(edit))


def test_operation_in_a_second_metagraph_is_refused(changed: Callable[..., Path]) -> None:
    def edit(proto: Any) -> None:
        proto.meta_graphs.add().graph_def.node.add(name="evil", op="PyFunc")

    with pytest.raises(BadExport, match="PyFunc"):
        check(changed(edit))


def test_saver_operation_that_a_signature_reaches_is_refused(changed: Callable[..., Path]) -> None:
    def edit(proto: Any) -> None:
        graph = proto.meta_graphs[0].graph_def
        graph.node.add(name="evil", op="RestoreV2")
        output = next(iter(proto.meta_graphs[0].signature_def["serving_default"].outputs.values()))
        node = next(node for node in graph.node if node.name == output.name.partition(":")[0])
        node.input.append("^evil")
        proto.meta_graphs[0].saver_def.restore_op_name = "evil"

    with pytest.raises(BadExport, match="RestoreV2"):
        check(changed(edit))


@pytest.mark.parametrize("name", ["../../x", "/etc/passwd", "a/b", "..", "", "a\\b"])
def test_asset_outside_its_directory_is_refused(changed: Callable[..., Path], name: str) -> None:
    with pytest.raises(BadExport, match="asset"):
        check(changed(lambda proto: proto.meta_graphs[0].asset_file_def.add(filename=name)))


def test_function_that_calls_itself_is_refused(changed: Callable[..., Path]) -> None:
    def edit(proto: Any) -> None:
        functions = proto.meta_graphs[0].graph_def.library.function
        first, second = functions[0], functions[1]
        for caller, callee in ((first, second), (second, first)):
            node = caller.node_def.add(name="again", op="PartitionedCall")
            node.attr["f"].func.name = callee.signature.name

    with pytest.raises(BadExport, match="calls itself"):
        check(changed(edit))


@pytest.mark.parametrize("content", [b"\xff" * 100, b"not a model"])
def test_file_that_is_no_saved_model_is_refused(tmp_path: Path, content: bytes) -> None:
    directory = tmp_path / "export"
    directory.mkdir()
    (directory / "saved_model.pb").write_bytes(content)
    with pytest.raises(BadExport):
        check(directory)


def test_missing_graph_and_description_are_named(tmp_path: Path) -> None:
    with pytest.raises(BadExport, match=r"saved_model\.pb"):
        check(tmp_path)
    with pytest.raises(BadExport, match=r"serving\.json"):
        read_export(tmp_path)


def test_digest_is_that_of_the_artifact_store(exports: Path, tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    key = storage.export_key("exp_" + "0" * 26)
    shutil.copytree(exports / "mixed", storage.path(key))
    assert directory_digest(storage.path(key)) == storage.digest(key)


def test_digest_sees_content_names_and_refuses_links(exports: Path, tmp_path: Path) -> None:
    shutil.copytree(exports / "plus2", tmp_path / "a")
    shutil.copytree(exports / "plus2", tmp_path / "b")
    assert directory_digest(tmp_path / "a") == directory_digest(tmp_path / "b")
    (tmp_path / "b" / "saved_model.pb").write_bytes(b"x")
    assert directory_digest(tmp_path / "a") != directory_digest(tmp_path / "b")
    (tmp_path / "a" / "link").symlink_to("/etc/hostname")
    with pytest.raises(ValueError, match="plain files"):
        directory_digest(tmp_path / "a")
