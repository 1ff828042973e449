"""A gRPC client that has never seen the contract: all that it knows of messages and routes comes from server reflection.

Reads {"address", "stalled", "token", "session", "other_session"} from standard input: a server, one that answers nothing,
and credentials of two players. Makes each call over gRPC and by every HTTP route of its method, and ends with an error
where the two differ. Writes what was called, as {"services": [...], "calls": [[METHOD, CODE, REASONS], ...]}.
"""

import copy
import json
import sys
import urllib.error
import urllib.request

import grpc
from google.protobuf import json_format, message_factory
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_status import rpc_status

# Far above anything that happens on a busy machine.
PATIENCE_S = 25
HTTP_STATUS = {0: 200, 3: 400, 4: 504, 5: 404, 9: 400, 16: 401}


class Client:
    def __init__(self, address):
        self.address = address
        self.channel = grpc.insecure_channel(address)
        reflection = ProtoReflectionDescriptorDatabase(self.channel)
        self.services = sorted(reflection.get_services())
        self.pool = DescriptorPool(reflection)
        self.calls = []

    def at(self, address):
        """The same knowledge for another server: one that stalls tells nothing of itself."""
        other = copy.copy(self)
        other.address, other.channel = address, grpc.insecure_channel(address)
        return other

    def close(self):
        self.channel.close()

    def of(self, descriptor):
        return message_factory.GetMessageClass(descriptor)

    def method(self, name):
        service, _, method = name.partition("/")
        return self.pool.FindServiceByName(service).FindMethodByName(method)

    def routes(self, method):
        """The google.api.http options: a verb, a path with its fields in braces, and whether there is a body."""
        known = self.of(self.pool.FindMessageTypeByName("google.protobuf.MethodOptions"))
        options = known.FromString(method.GetOptions().SerializeToString())
        rule = options.Extensions[self.pool.FindExtensionByName("google.api.http")]
        for one in [rule, *rule.additional_bindings]:
            verb = one.WhichOneof("pattern")
            yield verb.upper(), getattr(one, verb), one.body == "*"

    def over_grpc(self, name, request, metadata, timeout):
        """The code, and the answer or the status as JSON."""
        method = self.method(name)
        call = self.channel.unary_unary(
            f"/{name}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=self.of(method.output_type).FromString,
        )
        message = json_format.ParseDict(request, self.of(method.input_type)(), descriptor_pool=self.pool)
        try:
            answer = call(message, timeout=timeout, metadata=metadata)
            return 0, json_format.MessageToDict(answer, descriptor_pool=self.pool)
        except grpc.RpcError as error:
            code = error.code().value[0]
            # Raises if code or message of the details are not those of the trailers.
            status = rpc_status.from_call(error)
            told = json_format.MessageToDict(status, descriptor_pool=self.pool) if status else {}
            return code, {"code": code, "message": error.details(), "details": told.get("details", [])}

    def over_http(self, verb, path, has_body, request, metadata, timeout):
        rest = dict(request)
        for name in list(rest):
            snake = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
            if f"{{{snake}}}" in path:
                path = path.replace(f"{{{snake}}}", urllib.request.quote(rest.pop(name), safe=""))
        assert has_body or not rest, (path, rest)
        headers = {"content-type": "application/json", "x-request-timeout": f"{timeout}s", **dict(metadata)}
        body = json.dumps(rest).encode() if has_body else None
        question = urllib.request.Request(f"http://{self.address}{path}", data=body, headers=headers, method=verb)
        try:
            with urllib.request.urlopen(question, timeout=2 * PATIENCE_S) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def both(self, name, request, metadata=(), timeout=PATIENCE_S):
        """One call by every way in; the answers are equal once they are parsed."""
        code, over_grpc = self.over_grpc(name, request, metadata, timeout)
        for verb, path, has_body in self.routes(self.method(name)):
            status, over_http = self.over_http(verb, path, has_body, request, metadata, timeout)
            assert status == HTTP_STATUS[code], (name, path, code, status, over_http)
            assert over_http == over_grpc, (name, path, over_grpc, over_http)
        self.note(name, code, over_grpc)
        return over_grpc

    def note(self, name, code, answer):
        reasons = [detail["reason"] for detail in answer["details"]] if code else []
        self.calls.append([name, code, reasons])


SIGN_IN = "starvault.v1.PlayerService/SignInAsGuest"
GET_PROFILE = "starvault.v1.PlayerService/GetProfile"
EQUIP = "starvault.v1.PlayerService/EquipItem"
VERSION = "starvault.v1.SystemService/GetVersion"


def sign_in(client):
    """Each way makes another player, so the answers are alike but not the same."""
    request = {"displayName": "星穹"}
    code, one = client.over_grpc(SIGN_IN, request, (), PATIENCE_S)
    assert code == 0, one
    client.note(SIGN_IN, code, one)
    for route in client.routes(client.method(SIGN_IN)):
        status, other = client.over_http(*route, request, (), PATIENCE_S)
        assert status == 200, other
        assert one.keys() == other.keys()
        ids = [answer["profile"].pop("playerId") for answer in (dict(one, profile=dict(one["profile"])), other)]
        assert ids[0] != ids[1]
        assert {**one["profile"], "playerId": ids[0]} == {**other["profile"], "playerId": ids[0]}
    return one["profile"]["playerId"]


def health(client):
    check = "grpc.health.v1.Health/Check"
    service = {"service": "starvault.v1.PlayerService"}
    code, answer = client.over_grpc(check, service, (), PATIENCE_S)
    assert (code, answer) == (0, {"status": "SERVING"}), answer
    client.note(check, code, answer)
    code, answer = client.over_grpc(check, {"service": "starvault.v1.Nothing"}, (), PATIENCE_S)
    client.note(check, code, answer)
    # A stream: the state at once, and then nothing until it changes.
    watch = "grpc.health.v1.Health/Watch"
    method = client.method(watch)
    assert method.server_streaming and not method.client_streaming
    stream = client.channel.unary_stream(
        f"/{watch}",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=client.of(method.output_type).FromString,
    )(json_format.ParseDict(service, client.of(method.input_type)()), timeout=PATIENCE_S)
    first = json_format.MessageToDict(next(stream), descriptor_pool=client.pool)
    assert first == {"status": "SERVING"}, first
    stream.cancel()
    assert stream.code() is grpc.StatusCode.CANCELLED, stream.code()
    client.note(watch, 0, first)


def main():
    told = json.load(sys.stdin)
    client = Client(told["address"])
    token = ("authorization", f"Bearer {told['token']}")
    session = ("x-session-id", told["session"])
    other = ("x-session-id", told["other_session"])

    health(client)
    client.both(VERSION, {})
    somebody = sign_in(client)
    client.both(SIGN_IN, {"displayName": "x" * 25})
    client.both(SIGN_IN, {"displayName": "a\u0007b"})

    me = {"playerId": "me"}
    by_token = client.both(GET_PROFILE, me, [token])
    assert by_token == client.both(GET_PROFILE, me, [session])
    assert by_token == client.both(GET_PROFILE, me, [token, session])
    assert by_token != client.both(GET_PROFILE, me, [other])
    assert client.both(GET_PROFILE, {"playerId": somebody}, [session])["displayName"] == "星穹"
    client.both(GET_PROFILE, me)
    client.both(GET_PROFILE, me, [("authorization", "Bearer e30.e30.e30")])
    client.both(GET_PROFILE, me, [token, other])
    client.both(GET_PROFILE, me, [("x-session-id", "nobody")])
    client.both(GET_PROFILE, {"playerId": "!"}, [token])
    client.both(GET_PROFILE, {"playerId": "p-0"}, [token])

    # Twice the same leaves it as it is, so every way answers the same.
    on = {"itemId": "board-dusk", "equip": True}
    client.over_grpc(EQUIP, on, [token], PATIENCE_S)
    assert client.both(EQUIP, on, [token])["equipped"] == ["board-dusk"]
    client.both(EQUIP, on)
    client.both(EQUIP, {"itemId": "board-nothing", "equip": True}, [token])
    client.both(EQUIP, {"itemId": "crest-vault", "equip": True}, [session])

    # A server that answers nothing in time: the caller's own second ends it, by each way with the same code.
    stalled = client.at(told["stalled"])
    code, answer = stalled.over_grpc(GET_PROFILE, me, [token], 1)
    for route in stalled.routes(stalled.method(GET_PROFILE)):
        status, over_http = stalled.over_http(*route, me, [token], 1)
        assert (status, over_http["code"]) == (504, code), (status, over_http)
    client.note(GET_PROFILE, code, answer)
    stalled.close()

    client.close()
    json.dump({"services": client.services, "calls": client.calls}, sys.stdout)


main()
