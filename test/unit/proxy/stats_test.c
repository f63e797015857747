/* stats_test.c - counters of workers add up; reasons and names are whole. */
#include <string.h>
#include "common/proxy/prometheus.h"
#include "common/proxy/stats.h"
#include "test/unit/unit.h"

START_TEST(every_reason_has_a_name_and_a_sensible_status)
{
    for (int r = 0; r < REASON_COUNT; r++) {
        unsigned s = reason_status((enum reason)r);
        ck_assert_uint_gt(strlen(reason_text((enum reason)r)), 1);
        ck_assert(s == 0 || (s >= 400 && s <= 599));
        for (int q = 0; q < r; q++)
            ck_assert_str_ne(reason_text((enum reason)r), reason_text((enum reason)q));
    }
    ck_assert_str_eq(reason_body(REASON_DENIED), "Access denied");
    ck_assert_str_eq(reason_body(REASON_NO_TARGET), "Not found");
    ck_assert_str_eq(reason_body(REASON_CONNECT_REFUSED), "connect_refused");
}
END_TEST

START_TEST(workers_add_up)
{
    struct ip_port addr = {.ip = {.family = 4, .b = {10, 0, 0, 1}}, .port = 80};
    struct stats *sum = stats_new();

    for (unsigned w = 1; w <= 3; w++) {
        struct stats *s = stats_new();
        s->w[WSTAT_DOWN_RQ] = w;
        s->reasons[REASON_OK] = 10 * w;
        stats_cluster(s, "ns/svc|80")->c[CSTAT_RQ] = w;
        stats_endpoint(stats_cluster(s, "ns/svc|80"), &addr)->rq_total = w;
        histogram_add(&stats_peer(s, SLICE_LIT("a,b,c,d"))->duration, w * 20);
        stats_merge(sum, s);
        stats_free(s);
    }
    ck_assert_uint_eq(sum->w[WSTAT_DOWN_RQ], 6);
    ck_assert_uint_eq(sum->reasons[REASON_OK], 60);
    ck_assert_uint_eq(stats_cluster(sum, "ns/svc|80")->c[CSTAT_RQ], 6);
    ck_assert_uint_eq(stats_cluster(sum, "ns/svc|80")->n_ep, 1);
    ck_assert_uint_eq(stats_endpoint(stats_cluster(sum, "ns/svc|80"), &addr)->rq_total, 6);
    ck_assert_uint_eq(stats_peer(sum, SLICE_LIT("a,b,c,d"))->duration.count, 3);
    ck_assert_uint_eq(stats_peer(sum, SLICE_LIT("a,b,c,d"))->duration.sum_ms, 120);
    stats_free(sum);
}
END_TEST

START_TEST(prometheus_text)
{
    const struct stats_source src = {"ns", "Deployment", "me", "me-1"};
    struct stats *s = stats_new();
    struct buf out = BUF_INIT;

    stats_cluster(s, "a/b|80")->c[CSTAT_RQ] = 5;
    stats_cluster(s, "a/b|80")->c[CSTAT_RQ_4XX] = 2;
    histogram_add(&stats_peer(s, SLICE_LIT("n,Pod,evil\"\\name,p"))->duration, 7);
    prometheus_print(s, &src, &out);
    ck_assert_ptr_nonnull(strstr(out.p, "sidecar_server_live 1\n"));
    ck_assert_ptr_nonnull(strstr(out.p, "sidecar_cluster_upstream_rq_total{source_namespace=\"ns\","
                                        "source_workload_kind=\"Deployment\","
                                        "source_workload_name=\"me\",source_workload_pod=\"me-1\","
                                        "sidecar_cluster_name=\"a/b|80\"} 5\n"));
    ck_assert_ptr_nonnull(strstr(out.p, "sidecar_response_code_class=\"4\"} 2\n"));
    ck_assert_ptr_nonnull(strstr(out.p, "destination_name=\"evil\\\"\\\\name\""));
    ck_assert_ptr_nonnull(strstr(out.p, "le=\"5\"} 0\n"));
    ck_assert_ptr_nonnull(strstr(out.p, "le=\"10\"} 1\n"));
    ck_assert_ptr_nonnull(strstr(out.p, "le=\"+Inf\"} 1\n"));
    buf_free(&out);
    stats_free(s);
}
END_TEST

UNIT_MAIN("stats", every_reason_has_a_name_and_a_sensible_status, workers_add_up, prometheus_text)
