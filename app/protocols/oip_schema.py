"""The messages of the Open Inference Protocol's gRPC service, by the numbers and types of their fields."""

from __future__ import annotations

from app.protocols.message_schema import MessageSchema

SERVICE = "inference.GRPCInferenceService"
TABLE = """
package inference
message InferParameter
1 bool bool_param oneof parameter_choice
2 int64 int64_param oneof parameter_choice
3 string string_param oneof parameter_choice
4 double double_param oneof parameter_choice
5 uint64 uint64_param oneof parameter_choice
message InferTensorContents
1 repeated bool bool_contents
2 repeated int32 int_contents
3 repeated int64 int64_contents
4 repeated uint32 uint_contents
5 repeated uint64 uint64_contents
6 repeated float fp32_contents
7 repeated double fp64_contents
8 repeated bytes bytes_contents
message ModelInferRequest
1 string model_name
2 string model_version
3 string id
4 map<string,inference.InferParameter> parameters
5 repeated inference.ModelInferRequest.InferInputTensor inputs
6 repeated inference.ModelInferRequest.InferRequestedOutputTensor outputs
7 repeated bytes raw_input_contents
message ModelInferRequest.InferInputTensor
1 string name
2 string datatype
3 repeated int64 shape
4 map<string,inference.InferParameter> parameters
5 inference.InferTensorContents contents
message ModelInferRequest.InferRequestedOutputTensor
1 string name
2 map<string,inference.InferParameter> parameters
message ModelInferResponse
1 string model_name
2 string model_version
3 string id
4 map<string,inference.InferParameter> parameters
5 repeated inference.ModelInferResponse.InferOutputTensor outputs
6 repeated bytes raw_output_contents
message ModelInferResponse.InferOutputTensor
1 string name
2 string datatype
3 repeated int64 shape
4 map<string,inference.InferParameter> parameters
5 inference.InferTensorContents contents
message ServerLiveRequest
message ServerLiveResponse
1 bool live
message ServerReadyRequest
message ServerReadyResponse
1 bool ready
message ModelReadyRequest
1 string name
2 string version
message ModelReadyResponse
1 bool ready
message ServerMetadataRequest
message ServerMetadataResponse
1 string name
2 string version
3 repeated string extensions
message ModelMetadataRequest
1 string name
2 string version
message ModelMetadataResponse
1 string name
2 repeated string versions
3 string platform
4 repeated inference.ModelMetadataResponse.TensorMetadata inputs
5 repeated inference.ModelMetadataResponse.TensorMetadata outputs
message ModelMetadataResponse.TensorMetadata
1 string name
2 string datatype
3 repeated int64 shape
service GRPCInferenceService
rpc ServerLive inference.ServerLiveRequest inference.ServerLiveResponse
rpc ServerReady inference.ServerReadyRequest inference.ServerReadyResponse
rpc ModelReady inference.ModelReadyRequest inference.ModelReadyResponse
rpc ServerMetadata inference.ServerMetadataRequest inference.ServerMetadataResponse
rpc ModelMetadata inference.ModelMetadataRequest inference.ModelMetadataResponse
rpc ModelInfer inference.ModelInferRequest inference.ModelInferResponse
"""

PUBLIC = MessageSchema(TABLE)
