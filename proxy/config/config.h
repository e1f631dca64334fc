/*
 * config: postern.conf as the code sees it. One table (options.c) declares each key with its
 * type, range, default, whether a reload applies it, and a line of help; the parser, `config
 * show`, `config doc` and the man page all walk that table.
 *
 * A struct config is immutable once read and lives in one arena. It is read from a `bundle`:
 * the text of postern.conf and of the files that it names. The supervisor fills the bundle from
 * the disk; workers get the same bundle over their socket and so need neither files nor
 * privileges, and parse it with this same code.
 *
 * Strings are NUL-terminated, borrowed from the config's arena. Durations are milliseconds, sizes
 * bytes. Paths (state, rules, admin.socket, admin.password_file, log.file) are absolute: relative
 * ones start at postern.conf's folder.
 */
#ifndef PROXY_CONFIG_CONFIG_H
#define PROXY_CONFIG_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/arena.h"
#include "lib/base/buffer.h"
#include "lib/base/error.h"
#include "lib/base/ip.h"

enum listen_tls { LISTEN_TLS_NONE, LISTEN_TLS_STARTTLS, LISTEN_TLS_IMPLICIT };
enum bare_newline { BARE_NEWLINE_REJECT, BARE_NEWLINE_NORMALIZE };
enum backend_protocol { BACKEND_SMTP, BACKEND_LMTP };
enum backend_tls {
	BACKEND_TLS_NEVER,
	BACKEND_TLS_OPPORTUNISTIC,
	BACKEND_TLS_REQUIRED,
	BACKEND_TLS_VERIFIED
};
enum client_info {
	CLIENT_INFO_NONE,
	CLIENT_INFO_PROXY_V2,
	CLIENT_INFO_XCLIENT,
	CLIENT_INFO_XFORWARD
};
enum balance { BALANCE_FIRST, BALANCE_LEAST_CONNECTIONS };
enum log_format { LOG_FORMAT_JSON, LOG_FORMAT_TEXT };
enum log_target { LOG_TO_STDERR, LOG_TO_SYSLOG, LOG_TO_FILE };
enum conflict { CONFLICT_SPLIT, CONFLICT_STRICTEST };
enum authentication_results { AUTHRES_ALWAYS, AUTHRES_ON_DEMAND };

struct listen_config {
	const char *address; /* as written: "0.0.0.0:25", "[::]:25" */
	struct endpoint endpoint;
	enum listen_tls tls;
	struct cidr_set proxy_protocol_from; /* PROXY required from these, refused from others */
	struct cidr_set xclient_from;
	enum bare_newline bare_newline;
	struct cidr_set normalize_from; /* bare_newline normalize from { ... }: only these */
};

/* A file named in the configuration, with its content out of the bundle. */
struct config_file {
	const char *name; /* as written */
	struct span content;
};

struct certificate_config {
	struct config_file certificate; /* PEM chain, leaf first */
	struct config_file key;         /* PEM */
};

struct tls_config {
	struct certificate_config *certificates;
	size_t count;
	int minimum_version; /* OpenSSL's TLS1_2_VERSION or TLS1_3_VERSION */
};

struct server_config {
	const char
		*address; /* as written: "10.0.0.5:2525", "mail.example.net:25", "unix:/run/lmtp" */
	const char *host; /* name or literal without brackets; NULL for a unix socket */
	const char *unix_path; /* NULL unless a unix socket */
	struct endpoint
		endpoint; /* family IP_NONE while host is a name: looked up when connecting */
	uint16_t port;    /* as written, or 25 (lmtp: 24); 0 for a unix socket */
};

struct backend_config {
	const char *name;
	struct server_config *servers;
	size_t n_servers;
	enum balance balance;
	enum backend_protocol protocol;
	enum backend_tls tls;
	enum client_info client_info;
	bool verify_recipients;
	unsigned connections; /* for mail, over all workers; recipient checks have 4 of their own */
};

struct limits_config {
	uint64_t message; /* bytes */
	unsigned recipients;
	unsigned connections;
	unsigned per_client; /* IPv6 by /64 */
	unsigned command;    /* bytes of a command line */
	uint64_t line;       /* bytes of a line in a message, without CRLF */
	uint64_t headers;    /* bytes */
	unsigned received;
	unsigned errors;
	unsigned junk;
	uint64_t spool; /* bytes, memory and disk together, over all workers */
};

struct timeouts_config { /* milliseconds */
	uint64_t greeting;
	uint64_t command;
	uint64_t data_block; /* between two reads of message data */
	uint64_t data_end;   /* the backend's answer after the end of the message */
	uint64_t session;    /* whole session; also one whole message may not take longer */
	uint64_t filter;
	uint64_t backend_connect;
};

struct log_config {
	enum log_format format;
	enum log_target target;
	const char *file; /* LOG_TO_FILE */
};

struct admin_config {
	const char *socket;
	const char *http; /* "127.0.0.1:8025"; empty: none */
	const char *password_file;
};

/* Where a token stands in postern.conf. */
struct token_place {
	unsigned line, column;
};

/* A filter's own options: read by the filter, kept here as text. */
struct filter_config {
	const char *name;
	const char *options;        /* what stands between the braces, one blank between tokens */
	struct token_place *places; /* of the name, then of each token of the options */
	size_t n_places;
};

struct config {
	struct arena *arena; /* owned; holds this struct too */
	const char *file;    /* where it was read from, for messages */
	const char *
		folder; /* where relative paths start; "" for a text from memory with a bare name */
	const char *hostname;
	const char *authserv_id; /* default: hostname */
	unsigned workers;        /* `auto` resolved to the number of CPUs */
	bool workers_auto;
	const char *state;
	const char *user;
	bool user_given;
	struct listen_config *listens;
	size_t n_listens;
	struct tls_config tls;
	struct backend_config *backends; /* the first is the default */
	size_t n_backends;
	bool relay_any;             /* relay_domains any */
	const char **relay_domains; /* lower case, A-labels or UTF-8 as written; ".example.com"
				       means subdomains */
	size_t n_relay_domains;
	const char *store;
	struct endpoint *dns_servers;
	size_t n_dns_servers;
	uint64_t dns_timeout;
	const char *rules;
	struct limits_config limits;
	struct timeouts_config timeouts;
	struct filter_config *filters;
	size_t n_filters;
	enum authentication_results authentication_results;
	enum conflict conflict;
	uint64_t quarantine_keep, quarantine_size;
	uint64_t history_keep, history_size;
	struct admin_config admin;
	struct log_config log;
};

/* --- the bundle: named byte strings, the first being postern.conf --- */

struct bundle;

/* Reads postern.conf, each file that it names (certificates and keys), the rule files that `rules`
 * matches, and what those name, from the disk: at most 16 MB each, 40 MB together. Of a named file
 * that can't be read the reason is kept, and config_parse or rules_read tells it where the name
 * stands. false: postern.conf itself can't be read. */
bool bundle_load(struct bundle **out, const char *config_path, struct err *err) MUST_CHECK;

/* Rule files alone, and what they name: there is no postern.conf. */
struct bundle *bundle_of_rules(const char *const *paths, size_t n_paths);

/* The paths of the rule files that `rules` matches, in the order in which they are read: names in
 * byte order. In the arena. */
const char *const *bundle_rules(const struct bundle *bundle, struct arena *arena, size_t *n);

/* Where rules_read finds them and what they name. Borrows the bundle. */
struct rule_source;
void bundle_rule_source(const struct bundle *bundle, struct rule_source *out);

/* postern.conf, for remarks on its lines. Borrows the bundle. */
void bundle_config_source(const struct bundle *bundle, struct rule_source *out);

/* One file from memory under a path (tests, fuzzing). */
struct bundle *bundle_of_text(const char *config_path, struct span text);
void bundle_add(struct bundle *bundle, const char *name, struct span content);
void bundle_free(struct bundle **bundle);

/* As bytes for the way to a worker, and back. false: out is full, or the bytes are not a bundle's.
 */
bool bundle_write(const struct bundle *bundle, struct buffer *out) MUST_CHECK;
bool bundle_read(struct bundle **out, struct span bytes, struct err *err) MUST_CHECK;

/* --- reading --- */

/* Reads all; on mistakes returns NULL and adds each to `report` as
 * file:line:column: error: what, the line, a caret, and what to do. Warnings (exit status stays 0)
 * are added too; *n_mistakes and *n_warnings count them (either may be NULL). The config borrows
 * nothing from the bundle. */
struct config *config_parse(const struct bundle *bundle, struct buffer *report, size_t *n_mistakes,
	size_t *n_warnings) MUST_CHECK;
void config_free(struct config **config);

/* The backend of this name; the default for NULL and for a name that there is none of. */
const struct backend_config *config_backend(const struct config *config, const char *name);

/* Whether mail to the domain is taken: relay_domains. */
bool config_relays(const struct config *config, struct span domain);

/* Only the control socket's path and the state folder, from a configuration that may have mistakes
 * elsewhere: `status`, `list` and `drain` work then too. Defaults where it says nothing. */
bool config_admin_only(const struct bundle *bundle, struct arena *arena, struct admin_config *admin,
	const char **state, struct err *err) MUST_CHECK;

/* What `postern config show [--changed]` prints: a postern.conf that reads back to the same. */
bool config_show(const struct config *config, bool changed_only, struct buffer *out) MUST_CHECK;

/* `postern config doc KEY`; KEY NULL lists all. false: no such key (out then suggests one). */
bool config_doc(const char *key, struct buffer *out) MUST_CHECK;

/* The manual page postern.conf(5), from the same table. */
bool config_manual(struct buffer *out) MUST_CHECK;

/* Whether keys differ between the two that a reload does not apply; they are listed in out: "state,
 * admin.socket". */
bool config_needs_restart(
	const struct config *old, const struct config *new, struct buffer *out) MUST_CHECK;

#endif
