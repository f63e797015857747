/* HTTP/2 sessions that get no memory: they end, and nothing else does */
/* objects: test/fake/faults.c */
/* wrap: malloc calloc realloc */
#include "test/fake/faults.h"
#include "test/unit/http/h2_pair.h"

#define STREAMS 12 /* whose bodies wait at once: the queue that nghttp2 has of them grows twice */

static struct h2s *streams[STREAMS]; /* of the session that gets no memory */

/* what it has to say, to the other one, which gets memory */
static void send_all(struct end *from, struct end *to)
{
    struct iovec iov[4];
    int n;

    while ((n = h2_output(from->c, iov, 4)) > 0) {
        size_t sent = 0;

        for (int i = 0; i < n; i++) {
            faults_pause();
            h2_recv(to->c, now, iov[i].iov_base, iov[i].iov_len);
            faults_resume();
            sent += iov[i].iov_len;
        }
        h2_sent(from->c, sent);
    }
}

static void write_bodies(const struct end *e)
{
    for (unsigned i = 0; i < STREAMS; i++)
        if (streams[i] && !h2_done(e->c))
            h2_write(streams[i], "hello", 5, true);
}

/* 0: all bodies arrived; -1: the session has ended and says so, or refused one of its streams */
static int judge(const struct end *from, const struct end *to)
{
    int rc;

    faults_pause();
    rc = to->body.len == (size_t)STREAMS * 5 ? 0 : -1;
    if (rc < 0 && h2_streams(from->c) == STREAMS)
        ck_assert(h2_done(from->c) && h2_room(from->c) == 0);
    pair_close();
    faults_resume();
    return rc;
}

static void answer(struct h2s *s, struct h2_head *hh, bool end)
{
    h2_head_free(hh);
    if (respond(s, 200, false) == 0)
        streams[s->id / 2] = s;
    else
        h2_reset(s, H2_INTERNAL_ERROR);
}

static void forget(struct h2s *s, enum h2_end how, uint32_t code)
{
    streams[s->id / 2] = NULL;
}

/* with e as the one that gets no memory: it does nothing that takes some but what is looked at */
static void open_for(struct end *e)
{
    static const struct h2_callbacks lean = {.head = answer, .close = forget};

    pair_open(NULL, NULL);
    h2_free(e->c);
    e->c = h2_new(pool, e == &client ? H2_CLIENT : H2_SERVER, NULL, &lean, e);
    talk();
}

static int upload(void *arg)
{
    faults_pause();
    open_for(&client);
    faults_resume();
    for (unsigned i = 0; i < STREAMS; i++)
        streams[i] = request("POST", "/", false, NULL);
    send_all(&client, &server);
    write_bodies(&client);
    send_all(&client, &server);
    return judge(&client, &server);
}

static int download(void *arg)
{
    struct iovec iov[4];
    int n;

    faults_pause();
    open_for(&server);
    for (unsigned i = 0; i < STREAMS; i++)
        request("GET", "/", true, NULL);
    n = h2_output(client.c, iov, 4);
    faults_resume();
    for (int i = 0; i < n; i++)
        h2_recv(server.c, now, iov[i].iov_base, iov[i].iov_len);
    send_all(&server, &client);
    write_bodies(&server);
    send_all(&server, &client);
    return judge(&server, &client);
}

static void each_fails(int (*fn)(void *arg))
{
    struct faults_sum sum = faults_each(fn, NULL);

    ck_assert_uint_gt(sum.reported, STREAMS);
    ck_assert_uint_eq(sum.ended, 0);
}

START_TEST(a_client_without_memory)
{
    each_fails(upload);
}
END_TEST

START_TEST(a_client_that_gets_no_more_memory)
{
    faults_lasting();
    each_fails(upload);
}
END_TEST

START_TEST(a_server_without_memory)
{
    each_fails(download);
}
END_TEST

START_TEST(a_server_that_gets_no_more_memory)
{
    faults_lasting();
    each_fails(download);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("h2_memory");
    TCase *t = tcase_create("memory");
    SRunner *r;
    int failed;

    tcase_set_timeout(t, 120);
    tcase_add_test(t, a_client_without_memory);
    tcase_add_test(t, a_client_that_gets_no_more_memory);
    tcase_add_test(t, a_server_without_memory);
    tcase_add_test(t, a_server_that_gets_no_more_memory);
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
