/* grpc.h - the messages of grpc.health.v1.Health/Check, by hand: one string there, one enum back.
 * Pure; any thread. */
#ifndef FSM_HEALTHCHECK_GRPC_H
#define FSM_HEALTHCHECK_GRPC_H

#include "common/base/buf.h"

#define GRPC_CHECK_PATH  "/grpc.health.v1.Health/Check"
#define GRPC_REPLY_MAX   1024 /* a health answer has 7 bytes; more fields may come one day */
#define GRPC_SERVICE_MAX 1024

/* appends the request for service ("" = the server as a whole) as one gRPC message */
void grpc_health_request(struct slice service, struct buf *out);
/* the serving status of a reply (one gRPC message), or -1 if it is not one */
int grpc_health_reply(struct slice message);
/* "SERVING"; for a number nobody knows: "unknown status" */
const char *grpc_health_name(int status);

#endif
