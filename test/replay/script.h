/* script.h - the language of test/replay/NAME.replay, as far as it is words.
 *
 * A statement ends with its line or with ';'; '#' begins a comment.  A statement is words:
 *   bare          c1, sends, port=80, +5s
 *   "text"        with \r \n \t \0 \\ \" \xHH; "text"*1000 repeats it
 *   'text'        as it stands, for JSON
 *   /pattern/     behind "receives" only: PCRE2, '.' matches line ends too; \/ is a slash
 * A line that ends with a backslash goes on in the next.  What the words mean: runner.h.
 */
#ifndef FSM_TEST_REPLAY_SCRIPT_H
#define FSM_TEST_REPLAY_SCRIPT_H

#include "common/base/buf.h"
#include "common/base/err.h"

#define WORDS_MAX 32

enum word_kind { WORD_BARE, WORD_TEXT, WORD_PATTERN };
struct word {
    enum word_kind kind;
    char *p; /* owned, NUL-terminated */
    size_t n;
};
struct statement {
    unsigned line;
    unsigned n;
    struct word w[WORDS_MAX];
};

/* The next statement of *rest, which is moved behind it.  1; 0 at the end; -1 and e. */
int script_next(struct slice *rest, unsigned *line, struct statement *st, struct err *e);
void statement_free(struct statement *st);

#endif
