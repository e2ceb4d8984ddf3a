"""The messages of TensorFlow Serving's gRPC services, by the numbers and types of their fields."""

from __future__ import annotations

from app.protocols.message_schema import MessageSchema

TABLE = """
package tensorflow
enum DataType
values DT_INVALID=0 DT_FLOAT=1 DT_DOUBLE=2 DT_INT32=3 DT_UINT8=4 DT_INT16=5 DT_INT8=6 DT_STRING=7
values DT_COMPLEX64=8 DT_INT64=9 DT_BOOL=10 DT_QINT8=11 DT_QUINT8=12 DT_QINT32=13 DT_BFLOAT16=14
values DT_QINT16=15 DT_QUINT16=16 DT_UINT16=17 DT_COMPLEX128=18 DT_HALF=19 DT_RESOURCE=20 DT_VARIANT=21
values DT_UINT32=22 DT_UINT64=23
message TensorShapeProto
2 repeated tensorflow.TensorShapeProto.Dim dim
3 bool unknown_rank
message TensorShapeProto.Dim
1 int64 size
2 string name
message TensorProto
1 tensorflow.DataType dtype
2 tensorflow.TensorShapeProto tensor_shape
3 int32 version_number
4 bytes tensor_content
5 repeated float float_val
6 repeated double double_val
7 repeated int32 int_val
8 repeated bytes string_val
9 repeated float scomplex_val
10 repeated int64 int64_val
11 repeated bool bool_val
12 repeated double dcomplex_val
13 repeated int32 half_val
16 repeated uint32 uint32_val
17 repeated uint64 uint64_val
message TensorInfo
1 string name
2 tensorflow.DataType dtype
3 tensorflow.TensorShapeProto tensor_shape
message SignatureDef
1 map<string,tensorflow.TensorInfo> inputs
2 map<string,tensorflow.TensorInfo> outputs
3 string method_name
message BytesList
1 repeated bytes value
message FloatList
1 repeated float value
message Int64List
1 repeated int64 value
message Feature
1 tensorflow.BytesList bytes_list oneof kind
2 tensorflow.FloatList float_list oneof kind
3 tensorflow.Int64List int64_list oneof kind
message Features
1 map<string,tensorflow.Feature> feature
message Example
1 tensorflow.Features features

package tensorflow.serving
message ModelSpec
1 string name
2 google.protobuf.Int64Value version oneof version_choice
3 string signature_name
4 string version_label oneof version_choice
message PredictRequest
1 tensorflow.serving.ModelSpec model_spec
2 map<string,tensorflow.TensorProto> inputs
3 repeated string output_filter
message PredictResponse
1 map<string,tensorflow.TensorProto> outputs
2 tensorflow.serving.ModelSpec model_spec
message ExampleList
1 repeated tensorflow.Example examples
message ExampleListWithContext
1 repeated tensorflow.Example examples
2 tensorflow.Example context
message Input
1 tensorflow.serving.ExampleList example_list oneof kind
2 tensorflow.serving.ExampleListWithContext example_list_with_context oneof kind
message Class
1 string label
2 float score
message Classifications
1 repeated tensorflow.serving.Class classes
message ClassificationResult
1 repeated tensorflow.serving.Classifications classifications
message ClassificationRequest
1 tensorflow.serving.ModelSpec model_spec
2 tensorflow.serving.Input input
message ClassificationResponse
1 tensorflow.serving.ClassificationResult result
2 tensorflow.serving.ModelSpec model_spec
message Regression
1 float value
message RegressionResult
1 repeated tensorflow.serving.Regression regressions
message RegressionRequest
1 tensorflow.serving.ModelSpec model_spec
2 tensorflow.serving.Input input
message RegressionResponse
1 tensorflow.serving.RegressionResult result
2 tensorflow.serving.ModelSpec model_spec
message InferenceTask
1 tensorflow.serving.ModelSpec model_spec
2 string method_name
message InferenceResult
1 tensorflow.serving.ModelSpec model_spec
2 tensorflow.serving.ClassificationResult classification_result oneof result
3 tensorflow.serving.RegressionResult regression_result oneof result
message MultiInferenceRequest
1 repeated tensorflow.serving.InferenceTask tasks
2 tensorflow.serving.Input input
message MultiInferenceResponse
1 repeated tensorflow.serving.InferenceResult results
message SignatureDefMap
1 map<string,tensorflow.SignatureDef> signature_def
message GetModelMetadataRequest
1 tensorflow.serving.ModelSpec model_spec
2 repeated string metadata_field
message GetModelMetadataResponse
1 tensorflow.serving.ModelSpec model_spec
2 map<string,google.protobuf.Any> metadata
enum ErrorCode
values OK=0 CANCELLED=1 UNKNOWN=2 INVALID_ARGUMENT=3 DEADLINE_EXCEEDED=4 NOT_FOUND=5 ALREADY_EXISTS=6
values PERMISSION_DENIED=7 RESOURCE_EXHAUSTED=8 FAILED_PRECONDITION=9 ABORTED=10 OUT_OF_RANGE=11
values UNIMPLEMENTED=12 INTERNAL=13 UNAVAILABLE=14 DATA_LOSS=15 UNAUTHENTICATED=16
message StatusProto
1 tensorflow.serving.ErrorCode error_code
2 string error_message
enum VersionState
values UNKNOWN_STATE=0 START=10 LOADING=20 AVAILABLE=30 UNLOADING=40 END=50
message ModelVersionStatus
1 int64 version
2 tensorflow.serving.VersionState state
3 tensorflow.serving.StatusProto status
message GetModelStatusRequest
1 tensorflow.serving.ModelSpec model_spec
message GetModelStatusResponse
1 repeated tensorflow.serving.ModelVersionStatus model_version_status
message PredictLog
1 tensorflow.serving.PredictRequest request
message ClassifyLog
1 tensorflow.serving.ClassificationRequest request
message RegressLog
1 tensorflow.serving.RegressionRequest request
message MultiInferenceLog
1 tensorflow.serving.MultiInferenceRequest request
message SessionRunLog
message PredictStreamedLog
message PredictionLog
2 tensorflow.serving.ClassifyLog classify_log oneof log_type
3 tensorflow.serving.RegressLog regress_log oneof log_type
4 tensorflow.serving.MultiInferenceLog multi_inference_log oneof log_type
5 tensorflow.serving.SessionRunLog session_run_log oneof log_type
6 tensorflow.serving.PredictLog predict_log oneof log_type
7 tensorflow.serving.PredictStreamedLog predict_streamed_log oneof log_type
service PredictionService
rpc Predict tensorflow.serving.PredictRequest tensorflow.serving.PredictResponse
rpc Classify tensorflow.serving.ClassificationRequest tensorflow.serving.ClassificationResponse
rpc Regress tensorflow.serving.RegressionRequest tensorflow.serving.RegressionResponse
rpc MultiInference tensorflow.serving.MultiInferenceRequest tensorflow.serving.MultiInferenceResponse
rpc GetModelMetadata tensorflow.serving.GetModelMetadataRequest tensorflow.serving.GetModelMetadataResponse
service ModelService
rpc GetModelStatus tensorflow.serving.GetModelStatusRequest tensorflow.serving.GetModelStatusResponse
"""
PACKED = ("float_val", "double_val", "int_val", "scomplex_val", "int64_val", "bool_val", "dcomplex_val", "half_val",
          "uint32_val", "uint64_val")  # fmt: skip

PUBLIC = MessageSchema(TABLE)
"""Every field with its own type: for reflection, and for tensors whose numbers are not packed."""
WIRE = MessageSchema(TABLE, raw=frozenset(f"tensorflow.TensorProto.{name}" for name in PACKED))
"""The same on the wire; packed numbers of tensors are bytes here."""
