/* curl.h - inside common/kube: what every use of libcurl towards an API server sets: where it is,
 * how it is to be verified, who we are by certificate.  Tokens are for the caller.
 */
#ifndef FSM_KUBE_CURL_H
#define FSM_KUBE_CURL_H

#include <curl/curl.h>
#include "common/kube/access.h"

/* Borrows a and path for the call.  Returns what must live as long as the handle, to be freed with
 * curl_slist_free_all(); may be NULL. */
struct curl_slist *kube_curl_server(CURL *easy, const struct kube_access *a, const char *path);

#endif
