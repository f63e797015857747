"""grpc.health.v1.Health/Check by hand-made messages: SERVING (1), or NOT_SERVING (2) if told."""
import sys
from concurrent import futures

import grpc

STATUS = b"\x08\x02" if len(sys.argv) > 2 else b"\x08\x01"
handlers = {"Check": grpc.unary_unary_rpc_method_handler(lambda request, context: STATUS)}
server = grpc.server(futures.ThreadPoolExecutor(4))
server.add_generic_rpc_handlers(
    (grpc.method_handlers_generic_handler("grpc.health.v1.Health", handlers),))
server.add_insecure_port(f"[::]:{sys.argv[1]}")
server.start()
server.wait_for_termination()
