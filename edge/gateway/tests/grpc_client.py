"""Calls the test backend through the gateway with grpcio, and says what it saw as one JSON object."""

import json
import sys
import time

import grpc

address = sys.argv[1]
channel = grpc.insecure_channel(
    address, options=[("grpc.max_receive_message_length", 8 << 20), ("grpc.max_metadata_size", 64 << 10)]
)


def method(kind, name):
    return getattr(channel, kind)("/test.Echo/" + name, request_serializer=None, response_deserializer=None)


def failed(call):
    try:
        call()
    except grpc.RpcError as error:
        return [error.code().name, error.details()]
    return None


told = {}
answer, call = method("unary_unary", "Unary").with_call(b"hello", timeout=20)
initial = dict(call.initial_metadata())
told["unary"] = [answer.decode(), initial["seen-who"], initial["x-served-version"], call.code().name]
told["timeout_handed_on"] = "seen-grpc-timeout" in initial

big = b"x" * (900 << 10)
told["big_message"] = len(method("unary_unary", "Unary")(big, timeout=20))
told["too_big_message"] = failed(lambda: method("unary_unary", "Unary")(b"x" * (2 << 20), timeout=20))[0]

metadata = [("x-big-%d" % index, "v" * 1000) for index in range(6)] + [("x-bytes-bin", bytes(range(256)))]
told["big_metadata"] = method("unary_unary", "Unary")(b"m", metadata=metadata, timeout=20).decode()
over = [("x-over", "v" * (40 << 10))]
told["metadata_over_the_limit"] = failed(lambda: method("unary_unary", "Unary")(b"m", metadata=over, timeout=20))[0]

told["fail"] = failed(lambda: method("unary_unary", "Fail")(b"7", timeout=20))
told["no_method"] = failed(lambda: method("unary_unary", "Nothing")(b"", timeout=20))[0]

counted = [int(item) for item in method("unary_stream", "Count")(b"1000", timeout=20)]
told["server_stream"] = counted == list(range(1000, 0, -1))
seen = []


def odd():
    for item in method("unary_stream", "Count")(b"3", timeout=20):
        seen.append(int(item))


told["server_stream_that_fails"] = [failed(odd)[0], seen]

told["client_stream"] = method("stream_unary", "Sum")((b"y" * 1000 for _ in range(500)), timeout=20).decode()

talk = method("stream_stream", "Talk")
told["both_streams"] = [item.decode() for item in talk((str(number).encode() for number in range(5)), timeout=20)]

began = time.monotonic()
told["deadline"] = failed(lambda: method("unary_unary", "Hang")(b"", timeout=0.3))[0]
told["deadline_kept"] = time.monotonic() - began < 15

endless = method("unary_stream", "Endless")(b"", timeout=30)
told["cancel_first"] = next(endless).decode()
endless.cancel()
told["cancel"] = failed(lambda: next(endless))[0]

many = [method("unary_unary", "Unary").future(str(number).encode(), timeout=20) for number in range(300)]
told["at_once"] = [future.result().decode() for future in many] == [str(number) for number in range(300)]

print(json.dumps(told))
