"""Run in an environment with `kserve`: HTTP-ADDRESS GRPC-ADDRESS TOKEN. Prints what both clients get, as JSON."""

import asyncio
import json
import sys

import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.infer_type import RequestedOutput


def request(values, *, binary, outputs=None, datatype="FP32"):
    array = np.array(values, np.float16 if datatype == "FP16" else np.float32)
    x = InferInput("x", [len(values)], datatype)
    x.set_data_from_numpy(array, binary_data=binary)
    return InferRequest(model_name="half", infer_inputs=[x], request_outputs=outputs, request_id="7")


async def rest(address, token):
    client = InferenceRESTClient(RESTConfig(protocol="v2"))
    headers = {"authorization": f"Bearer {token}"}
    url = f"http://{address}"
    found = {"live": await client.is_server_live(url), "ready": await client.is_server_ready(url)}
    found["model ready"] = await client.is_model_ready(url, "half", headers=dict(headers))
    answer = await client.infer(url, request([1.0, 2.0], binary=False), model_name="half", headers=dict(headers))
    found["json"] = answer.outputs[0].as_numpy().tolist()
    wanted = [RequestedOutput("y", parameters={"binary_data": True})]
    for datatype in ("FP32", "FP16"):
        asked = request([1.0, 2.0], binary=True, outputs=wanted, datatype=datatype)
        answer = await client.infer(url, asked, model_name="half", headers=dict(headers))
        found[datatype] = answer.outputs[0].as_numpy().tolist()
    try:
        await client.infer(url, request([1.0], binary=False), model_name="nobody", headers=dict(headers))
    except Exception as error:
        found["error"] = str(error)
    await client.close()
    return found


async def rpc(address, token):
    client = InferenceGRPCClient(address)
    headers = [("authorization", f"Bearer {token}")]
    found = {
        "live": await client.is_server_live(headers=headers),
        "ready": await client.is_server_ready(headers=headers),
    }
    found["model ready"] = await client.is_model_ready("half", headers=headers)
    for binary in (False, True):
        answer = await client.infer(request([1.0, 2.0], binary=binary), headers=headers)
        found[f"binary {binary}"] = answer.outputs[0].as_numpy().tolist()
    await client.close()
    return found


async def main(http, grpc, token):
    print(json.dumps({"rest": await rest(http, token), "grpc": await rpc(grpc, token)}))


asyncio.run(main(*sys.argv[1:]))
