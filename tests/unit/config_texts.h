/* What the tests of postern.conf share: texts that become configurations. */
#ifndef TESTS_CONFIG_TEXTS_H
#define TESTS_CONFIG_TEXTS_H

#include "proxy/config/config.h"

#define CONFIG_DATA "tests/unit/data/config/"

/* The four required keys, on one line, for tests of the others. */
#define BASE "hostname a.example listen 192.0.2.1:25 backend b { server c } relay_domains { d }\n"

enum { OUT_MAX = 1 << 22 };

/* As t.conf, with certificates and keys, good (mx.pem, mx.key) and bad (old.key, mx.der). */
struct bundle *bundle_for(const char *text);

/* NULL when there are mistakes; report may be NULL. */
struct config *config_of(const char *text, struct buffer *report);

/* Fails the test on any mistake or warning. */
struct config *config_good(const char *text);

/* What is told about a text, to the letter. */
void expect_report(const char *text, const char *expected);

/* All of a file, owned by the caller. */
char *read_text_file(const char *path);

#endif
