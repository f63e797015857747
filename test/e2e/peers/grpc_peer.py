"""A gRPC server and client with raw bytes as messages, so that no code has to be generated."""
import sys
import threading
import time
from concurrent import futures

import grpc

SERVICE = "fsm.test.Echo"


def serve(port):
    def unary(request, context):
        if request == b"fail":
            context.set_trailing_metadata((("x-why", "asked"),))
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, "as asked")
        if request == b"sleep":
            time.sleep(5)
        return request[::-1]

    def server_stream(request, context):
        for i in range(int(request)):
            yield b"%d" % i

    def client_stream(requests, context):
        return b"%d" % sum(len(r) for r in requests)

    def bidi(requests, context):
        for r in requests:
            yield r.upper()

    handlers = {
        "Unary": grpc.unary_unary_rpc_method_handler(unary),
        "ServerStream": grpc.unary_stream_rpc_method_handler(server_stream),
        "ClientStream": grpc.stream_unary_rpc_method_handler(client_stream),
        "Bidi": grpc.stream_stream_rpc_method_handler(bidi),
    }
    server = grpc.server(futures.ThreadPoolExecutor(16))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    server.add_insecure_port(f"[::]:{port}")
    server.start()
    server.wait_for_termination()


def call(target):
    channel = grpc.insecure_channel(target, options=[("grpc.enable_http_proxy", 0)])
    path = "/" + SERVICE + "/"
    unary = channel.unary_unary(path + "Unary")
    assert unary(b"abc", timeout=10) == b"cba"
    print("unary ok")
    got = list(channel.unary_stream(path + "ServerStream")(b"1000", timeout=20))
    assert got == [b"%d" % i for i in range(1000)], len(got)
    print("server-stream ok")
    n = channel.stream_unary(path + "ClientStream")(iter([b"x" * 1000] * 1000), timeout=20)
    assert n == b"1000000", n
    print("client-stream ok")

    # each message is sent only after the answer to the one before: nothing may be held back
    ready = threading.Semaphore(1)

    def ping():
        for i in range(200):
            assert ready.acquire(timeout=10)
            yield b"ping%d" % i

    count = 0
    for r in channel.stream_stream(path + "Bidi")(ping(), timeout=30):
        assert r == b"PING%d" % count, r
        count += 1
        ready.release()
    assert count == 200
    print("bidi-stream ok")
    try:
        unary(b"fail", timeout=10)
        raise AssertionError("no error")
    except grpc.RpcError as e:
        assert e.code() == grpc.StatusCode.FAILED_PRECONDITION and e.details() == "as asked", e
        assert ("x-why", "asked") in [(k, v) for k, v in e.trailing_metadata()], e
    print("status ok")
    try:
        unary(b"sleep", timeout=0.3)
        raise AssertionError("no deadline")
    except grpc.RpcError as e:
        assert e.code() == grpc.StatusCode.DEADLINE_EXCEEDED, e
    print("deadline ok")
    big = b"z" * 3000000
    assert unary(big, timeout=20) == big[::-1]
    print("large ok")


if sys.argv[1] == "serve":
    serve(int(sys.argv[2]))
else:
    call(sys.argv[2])
