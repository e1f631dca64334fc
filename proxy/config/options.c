#include "proxy/config/options.h"

#include <openssl/tls1.h>
#include <stdio.h>

#define MS     1ULL
#define SECOND (1000 * MS)
#define MINUTE (60 * SECOND)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)
#define KB     (1ULL << 10)
#define MB     (1ULL << 20)
#define GB     (1ULL << 30)
#define TB     (1ULL << 40)

/* sockaddr_un's path with its NUL. */
#define SOCKET_PATH_MAX 107

static const struct choice listen_tls[] = {
	{"none", LISTEN_TLS_NONE},
	{"starttls", LISTEN_TLS_STARTTLS},
	{"implicit", LISTEN_TLS_IMPLICIT},
	{NULL, 0},
};

static const struct choice newlines[] = {
	{"reject", BARE_NEWLINE_REJECT},
	{"normalize", BARE_NEWLINE_NORMALIZE},
	{NULL, 0},
};

static const struct choice tls_versions[] = {
	{"1.2", TLS1_2_VERSION},
	{"1.3", TLS1_3_VERSION},
	{NULL, 0},
};

static const struct choice protocols[] = {
	{"smtp", BACKEND_SMTP},
	{"lmtp", BACKEND_LMTP},
	{NULL, 0},
};

static const struct choice backend_tls[] = {
	{"never", BACKEND_TLS_NEVER},
	{"opportunistic", BACKEND_TLS_OPPORTUNISTIC},
	{"required", BACKEND_TLS_REQUIRED},
	{"verified", BACKEND_TLS_VERIFIED},
	{NULL, 0},
};

static const struct choice client_infos[] = {
	{"none", CLIENT_INFO_NONE},
	{"proxy_v2", CLIENT_INFO_PROXY_V2},
	{"xclient", CLIENT_INFO_XCLIENT},
	{"xforward", CLIENT_INFO_XFORWARD},
	{NULL, 0},
};

static const struct choice balances[] = {
	{"first", BALANCE_FIRST},
	{"least-connections", BALANCE_LEAST_CONNECTIONS},
	{NULL, 0},
};

static const struct choice yes_no[] = {
	{"yes", true},
	{"no", false},
	{NULL, 0},
};

static const struct choice authentication_results[] = {
	{"always", AUTHRES_ALWAYS},
	{"on_demand", AUTHRES_ON_DEMAND},
	{NULL, 0},
};

static const struct choice conflicts[] = {
	{"split", CONFLICT_SPLIT},
	{"strictest", CONFLICT_STRICTEST},
	{NULL, 0},
};

static const struct choice log_formats[] = {
	{"json", LOG_FORMAT_JSON},
	{"text", LOG_FORMAT_TEXT},
	{NULL, 0},
};

static const struct choice log_targets[] = {
	{"stderr", LOG_TO_STDERR},
	{"syslog", LOG_TO_SYSLOG},
	{"file", LOG_TO_FILE},
	{NULL, 0},
};

static const char *hostname_quoted(const struct config *config, struct arena *arena)
{
	return arena_print(arena, "\"%s\"", config->hostname ? config->hostname : "localhost");
}

static const char *listen_tls_possible(const struct config *config, struct arena *arena)
{
	(void)arena;
	return config->tls.count ? "starttls" : "none";
}

#define ROW(in, called, of) .block = (in), .name = (called), .kind = &kind_##of
/* An array's pointer, which no kind sets by its width. */
#define START(type, member)                                                                        \
	{                                                                                          \
		offsetof(type, member), 0                                                          \
	}
#define RANGE(lowest, highest) .min = (lowest), .max = (highest)

/* The rows of a block stand together, in the order in which people are shown them. */
const struct option option_table[] = {
	{
		ROW("", "hostname", domain),
		.at = FIELD(struct config, hostname),
		.example = "\"mx.example.net\"",
		.flags = OPTION_REQUIRED,
		.help = "This host's name: in the greeting, in EHLO to the backend and in "
			"Received.",
		.more = "It should be the name that the address of the listener resolves back to.",
	},
	{
		ROW("", "authserv_id", authserv_id),
		.at = FIELD(struct config, authserv_id),
		.fallback_of = hostname_quoted,
		.fallback_help = "hostname",
		.help = "The name under which this site writes Authentication-Results.",
		.more = "The nodes of a site share it. A message that comes in with results under "
			"this name loses them: they can only be forged (RFC 8601, section 5).",
	},
	{
		ROW("", "workers", workers),
		.at = FIELD(struct config, workers),
		.also = FIELD(struct config, workers_auto),
		RANGE(1, 64),
		.fallback = "auto",
		.help = "Worker processes; auto is one for each CPU that postern may use, 64 at "
			"most.",
	},
	{
		ROW("", "state", path),
		.at = FIELD(struct config, state),
		.fallback = "\"/var/lib/postern\"",
		.example = "\"/var/lib/postern\"",
		.flags = OPTION_RESTART,
		.help = "The folder of the embedded store, the history, the quarantine and the "
			"spool.",
	},
	{
		ROW("", "user", text),
		.at = FIELD(struct config, user),
		.max = 32,
		.fallback = "\"postern\"",
		.example = "\"postern\"",
		.flags = OPTION_RESTART,
		.help = "The account that workers become when postern is started as root.",
		.more = "Started as anyone else, postern stays who it is and this says nothing.",
	},
	{
		ROW("", "listen", block),
		.at = START(struct config, listens),
		.also = FIELD(struct config, n_listens),
		.item_size = sizeof(struct listen_config),
		.max = 256,
		.flags = OPTION_REQUIRED | OPTION_REPEAT | OPTION_BARE,
		.example = "\"0.0.0.0:25\"",
		.help = "An address that mail comes in on, and how it is spoken to there.",
	},
	{
		ROW("", "tls", block),
		.help = "Certificates for the clients that connect.",
	},
	{
		ROW("", "backend", block),
		.at = START(struct config, backends),
		.also = FIELD(struct config, n_backends),
		.item_size = sizeof(struct backend_config),
		.max = 256,
		.flags = OPTION_REQUIRED | OPTION_REPEAT,
		.example = "\"main\" { server \"10.0.0.5:2525\" }",
		.help = "A mail server behind postern; the first one is the default.",
	},
	{
		ROW("", "relay_domains", relay_domains),
		.at = START(struct config, relay_domains),
		.also = FIELD(struct config, n_relay_domains),
		.flags = OPTION_REQUIRED,
		.example = "{ \"example.com\" }",
		.help = "The domains that mail is taken for; recipients elsewhere get 550 5.7.1.",
		.more = "A leading dot means all subdomains: \".example.com\". any leaves the "
			"decision to the backend. Behind postern it sees a trusted address and "
			"may then be an open relay, so this is warned about unless client_info "
			"tells it who the client is.",
	},
	{
		ROW("", "store", store),
		.at = FIELD(struct config, store),
		.fallback = "\"embedded\"",
		.flags = OPTION_RESTART,
		.help = "What is remembered beyond a message lives there: embedded, or Redis.",
		.more = "embedded is a file in the state folder, postern.db. Redis is written "
			"redis://[user:pass@]host:6379/0, redis+unix:///path?db=0, "
			"redis+sentinel://h1,h2/name/0 or redis+cluster://h1,h2; with rediss in "
			"place of redis over TLS, and certificates are verified. Other bytes of a "
			"password are written %40. Lists and results of DMARC stay in postern.db.",
	},
	{
		ROW("", "dns", block),
		.help = "How names are looked up.",
	},
	{
		ROW("", "rules", path),
		.at = FIELD(struct config, rules),
		.fallback = "\"rules.d/*.rules\"",
		.example = "\"rules.d/*.rules\"",
		.help = "The rule files, as a pattern; they are read in the order of their names.",
		.more = "Without any every message is accepted. The files, and the lists that they "
			"name, are read again on reload, and the tests that stand in them must "
			"pass.",
	},
	{
		ROW("", "limits", block),
		.help = "What one message, one client and all together may take.",
	},
	{
		ROW("", "timeouts", block),
		.help = "How long postern waits.",
	},
	{
		ROW("", "filter", filter),
		.at = START(struct config, filters),
		.also = FIELD(struct config, n_filters),
		.max = 64,
		.flags = OPTION_REPEAT,
		.help = "Options of one filter, which that filter declares.",
		.more = "`postern config doc filters` lists them. Blocks for filters that later "
			"releases bring (virus, milter, rspamd) are taken and have no effect "
			"yet.",
	},
	{
		ROW("", "authentication_results", choice),
		.at = FIELD(struct config, authentication_results),
		.choices = authentication_results,
		.fallback = "always",
		.help = "Whether SPF, DKIM, DMARC and ARC are worked out for each message that "
			"goes "
			"on.",
		.more = "With on_demand only what a rule asks for is worked out and written.",
	},
	{
		ROW("", "conflict", choice),
		.at = FIELD(struct config, conflict),
		.choices = conflicts,
		.fallback = "split",
		.help = "What becomes of a message whose recipients' rules differ.",
		.more = "With split the client sends it again to those that differ; with strictest "
			"the sternest verdict counts for all of them. A client that speaks PRDR "
			"gets an answer for each recipient instead.",
	},
	{
		ROW("", "quarantine", block),
		.help = "The messages that a rule holds back.",
	},
	{
		ROW("", "history", block),
		.help = "The record of past sessions that trace and replay read.",
	},
	{
		ROW("", "admin", block),
		.help = "How postern is talked to while it runs.",
	},
	{
		ROW("", "log", block),
		.help = "The log.",
	},

	{
		ROW("listen", "", listen),
		.help = "Address and port; IPv6 in brackets: \"[::]:25\".",
	},
	{
		ROW("listen", "tls", choice),
		.at = FIELD(struct listen_config, tls),
		.choices = listen_tls,
		.fallback_of = listen_tls_possible,
		.fallback_help = "starttls, or none while no certificate is given",
		.help = "TLS offered by STARTTLS, spoken from the first byte (implicit), or not at "
			"all.",
	},
	{
		ROW("listen", "proxy_protocol", networks),
		.at = FIELD(struct listen_config, proxy_protocol_from),
		.help = "Peers that must begin with a PROXY header (v1 or v2); from others it is "
			"refused.",
		.more = "Name the load balancers before postern, and nothing else: a listed peer "
			"may "
			"claim any address.",
	},
	{
		ROW("listen", "xclient", networks),
		.at = FIELD(struct listen_config, xclient_from),
		.help = "Peers that may use XCLIENT to say for whom they speak.",
	},
	{
		ROW("listen", "bare_newline", newline),
		.at = FIELD(struct listen_config, bare_newline),
		.also = FIELD(struct listen_config, normalize_from),
		.choices = newlines,
		.fallback = "reject",
		.help = "A line in a message that ends without CR: refuse the message, or mend the "
			"line.",
		.more = "normalize turns it into CRLF, for all clients or, with from { ... }, for "
			"known old senders. The end of a message stays CRLF.CRLF, whatever is "
			"written here.",
	},

	{
		ROW("tls", "certificate", certificate),
		.flags = OPTION_REPEAT,
		.help = "A file with a certificate chain (PEM, leaf first); its key must follow.",
		.more = "With several the name that the client asks for chooses, the first one "
			"is for all other clients. Files are read again on reload.",
	},
	{
		ROW("tls", "key", key),
		.flags = OPTION_REPEAT,
		.help = "The file with the private key of the certificate before it (PEM, no "
			"passphrase).",
	},
	{
		ROW("tls", "minimum", choice),
		.at = FIELD(struct config, tls.minimum_version),
		.choices = tls_versions,
		.fallback = "1.2",
		.help = "The oldest version of TLS that clients may speak.",
	},

	{
		ROW("backend", "", label),
		.at = FIELD(struct backend_config, name),
		.example = "\"main\"",
		.help = "A name for it, for rules and logs.",
	},
	{
		ROW("backend", "server", server),
		.at = START(struct backend_config, servers),
		.also = FIELD(struct backend_config, n_servers),
		.max = 64,
		.flags = OPTION_REQUIRED | OPTION_REPEAT,
		.example = "\"10.0.0.5:2525\"",
		.help = "Where it is: address or host name, with a port (25; 24 for lmtp), or "
			"unix:/path.",
		.more = "Several of them stand in for each other.",
	},
	{
		ROW("backend", "balance", choice),
		.at = FIELD(struct backend_config, balance),
		.choices = balances,
		.fallback = "first",
		.help = "Of several servers: the first healthy one in order, or the least busy "
			"one.",
	},
	{
		ROW("backend", "protocol", choice),
		.at = FIELD(struct backend_config, protocol),
		.choices = protocols,
		.fallback = "smtp",
		.help = "What the backend speaks.",
	},
	{
		ROW("backend", "tls", choice),
		.at = FIELD(struct backend_config, tls),
		.choices = backend_tls,
		.fallback = "opportunistic",
		.help = "Whether to use STARTTLS to the backend, and whether its certificate must "
			"be "
			"right.",
	},
	{
		ROW("backend", "client_info", choice),
		.at = FIELD(struct backend_config, client_info),
		.choices = client_infos,
		.fallback = "proxy_v2",
		.help = "How the backend is told who the client is; it must be set up for the "
			"same.",
		.more = "Postfix: smtpd_upstream_proxy_protocol=haproxy for proxy_v2, or "
			"smtpd_authorized_xclient_hosts for xclient. Exim: hosts_proxy. "
			"Connections are shared between clients only with none or xforward.",
	},
	{
		ROW("backend", "verify_recipients", choice),
		.at = FIELD(struct backend_config, verify_recipients),
		.choices = yes_no,
		.fallback = "yes",
		.help = "Ask the backend about a recipient before answering RCPT.",
		.more = "Its word is remembered: for an hour if it was good, for 5 minutes if it "
			"was "
			"bad.",
	},
	{
		ROW("backend", "connections", number),
		.at = FIELD(struct backend_config, connections),
		RANGE(1, 10000),
		.fallback = "20",
		.help = "Connections for mail, of all workers together; recipient checks have 4 "
			"more.",
	},

	{
		ROW("dns", "server", resolver),
		.at = START(struct config, dns_servers),
		.also = FIELD(struct config, n_dns_servers),
		.max = 16,
		.fallback_help = "the system's resolvers",
		.flags = OPTION_REPEAT,
		.help = "A resolver to ask, with a port (53).",
	},
	{
		ROW("dns", "timeout", duration),
		.at = FIELD(struct config, dns_timeout),
		RANGE(100 * MS, MINUTE),
		.fallback = "5s",
		.help = "How long one lookup may take, with all its repetitions.",
	},

	{
		ROW("limits", "message", size),
		.at = FIELD(struct config, limits.message),
		RANGE(1 * KB, 4 * GB),
		.fallback = "50MB",
		.help = "The largest message, offered as SIZE; a larger one gets 552.",
	},
	{
		ROW("limits", "recipients", number),
		.at = FIELD(struct config, limits.recipients),
		RANGE(1, 100000),
		.fallback = "1000",
		.help = "Recipients of one message; those past it get 452, so the client sends "
			"again.",
	},
	{
		ROW("limits", "connections", number),
		.at = FIELD(struct config, limits.connections),
		RANGE(1, 1000000),
		.fallback = "10000",
		.help = "Clients connected at once, of all workers together; others get 421.",
	},
	{
		ROW("limits", "per_client", number),
		.at = FIELD(struct config, limits.per_client),
		RANGE(1, 1000000),
		.fallback = "50",
		.help = "Connections of one client address at once; IPv6 counts by /64.",
	},
	{
		ROW("limits", "command", size),
		.at = FIELD(struct config, limits.command),
		RANGE(512, 64 * KB),
		.fallback = "2048",
		.help = "Bytes of a command line; a longer one gets 500 and the connection is "
			"closed.",
	},
	{
		ROW("limits", "line", size),
		.at = FIELD(struct config, limits.line),
		RANGE(998, 1 * MB),
		.fallback = "32KB",
		.help = "Bytes of a line in a message, without its end; a longer one gets 550 "
			"5.6.0.",
		.more = "RFC 5322 allows 998, but much real mail is longer. Shorter lines are "
			"passed "
			"on as they are, never folded or cut.",
	},
	{
		ROW("limits", "headers", size),
		.at = FIELD(struct config, limits.headers),
		RANGE(1 * KB, 16 * MB),
		.fallback = "256KB",
		.help = "Bytes of a message's header section; a longer one gets 552.",
	},
	{
		ROW("limits", "received", number),
		.at = FIELD(struct config, limits.received),
		RANGE(1, 10000),
		.fallback = "100",
		.help = "Received fields of a message; more are taken for a loop and get 554 "
			"5.4.6.",
	},
	{
		ROW("limits", "errors", number),
		.at = FIELD(struct config, limits.errors),
		RANGE(1, 10000),
		.fallback = "10",
		.help = "Bad commands of a session before it is ended with 421.",
	},
	{
		ROW("limits", "junk", number),
		.at = FIELD(struct config, limits.junk),
		RANGE(1, 10000),
		.fallback = "50",
		.help = "Commands that lead nowhere (NOOP, RSET, VRFY, ...) before 421.",
	},
	{
		ROW("limits", "spool", size),
		.at = FIELD(struct config, limits.spool),
		RANGE(1 * MB, 64 * TB),
		.fallback = "2GB",
		.help = "Messages under way, in memory and on disk, of all workers; past it 452.",
	},

	{
		ROW("timeouts", "greeting", duration),
		.at = FIELD(struct config, timeouts.greeting),
		RANGE(10 * MS, DAY),
		.fallback = "5m",
		.help = "From the connection to the client's first command.",
	},
	{
		ROW("timeouts", "command", duration),
		.at = FIELD(struct config, timeouts.command),
		RANGE(10 * MS, DAY),
		.fallback = "5m",
		.help = "From a reply to the client's next command.",
	},
	{
		ROW("timeouts", "data_block", duration),
		.at = FIELD(struct config, timeouts.data_block),
		RANGE(10 * MS, DAY),
		.fallback = "3m",
		.help = "Between two reads of message data from the client.",
	},
	{
		ROW("timeouts", "data_end", duration),
		.at = FIELD(struct config, timeouts.data_end),
		RANGE(10 * MS, DAY),
		.fallback = "10m",
		.help = "For the backend's answer to the end of a message.",
	},
	{
		ROW("timeouts", "session", duration),
		.at = FIELD(struct config, timeouts.session),
		RANGE(10 * MS, 7 * DAY),
		.fallback = "60m",
		.help = "For a whole session, and for any one message.",
	},
	{
		ROW("timeouts", "filter", duration),
		.at = FIELD(struct config, timeouts.filter),
		RANGE(10 * MS, HOUR),
		.fallback = "10s",
		.help = "For one filter at one message, unless its own block says otherwise.",
	},
	{
		ROW("timeouts", "backend_connect", duration),
		.at = FIELD(struct config, timeouts.backend_connect),
		RANGE(10 * MS, HOUR),
		.fallback = "30s",
		.help = "For a connection to a backend's server.",
	},

	{
		ROW("quarantine", "keep", duration),
		.at = FIELD(struct config, quarantine_keep),
		RANGE(HOUR, 3650 * DAY),
		.fallback = "30d",
		.help = "How long a message stays.",
	},
	{
		ROW("quarantine", "size", size),
		.at = FIELD(struct config, quarantine_size),
		RANGE(1 * MB, 64 * TB),
		.fallback = "5GB",
		.help = "How much disk it may take; when it is full, quarantined mail gets 452.",
	},

	{
		ROW("history", "keep", duration),
		.at = FIELD(struct config, history_keep),
		RANGE(HOUR, 3650 * DAY),
		.fallback = "30d",
		.flags = OPTION_LATER,
		.help = "How long a record stays.",
	},
	{
		ROW("history", "size", size),
		.at = FIELD(struct config, history_size),
		RANGE(1 * MB, 64 * TB),
		.fallback = "2GB",
		.flags = OPTION_LATER,
		.help = "How much disk it may take; the oldest records go first.",
	},

	{
		ROW("admin", "socket", path),
		.at = FIELD(struct config, admin.socket),
		.max = SOCKET_PATH_MAX,
		.fallback = "\"/run/postern/control.sock\"",
		.example = "\"/run/postern/control.sock\"",
		.flags = OPTION_RESTART,
		.help = "The control socket: status, reload, drain and list talk to it.",
	},
	{
		ROW("admin", "http", http),
		.at = FIELD(struct config, admin.http),
		.fallback = "\"127.0.0.1:8025\"",
		.flags = OPTION_RESTART | OPTION_LATER,
		.help = "Address and port of the console and the metrics; \"\" for none.",
	},
	{
		ROW("admin", "password_file", path),
		.at = FIELD(struct config, admin.password_file),
		.fallback = "\"console.passwd\"",
		.example = "\"console.passwd\"",
		.flags = OPTION_LATER,
		.help = "Who may use the console.",
	},

	{
		ROW("log", "format", choice),
		.at = FIELD(struct config, log.format),
		.choices = log_formats,
		.fallback = "json",
		.help = "JSON, one object a line, or key=value text.",
	},
	{
		ROW("log", "to", log_target),
		.at = FIELD(struct config, log.target),
		.also = FIELD(struct config, log.file),
		.choices = log_targets,
		.fallback = "stderr",
		.help = "Where log lines go; SIGUSR1 opens a file anew.",
	},
};

const size_t option_count = COUNT_OF(option_table);

const struct option *option_find(const char *block, struct span name)
{
	size_t count;
	const struct option *rows = option_block(block, &count);

	for (size_t i = 0; i < count; i++)
		if (span_equal(name, span_text(rows[i].name)))
			return &rows[i];
	return NULL;
}

const struct option *option_block(const char *block, size_t *count)
{
	size_t first = 0, end;

	while (first < option_count && strcmp(option_table[first].block, block) != 0)
		first++;
	end = first;
	while (end < option_count && strcmp(option_table[end].block, block) == 0)
		end++;
	*count = end - first;
	return &option_table[first];
}

bool option_in_item(const struct option *o)
{
	const struct option *block = option_find("", span_text(o->block));

	return o->block[0] && block && block->item_size;
}

const char *option_name(const struct option *o, char out[OPTION_NAME_SIZE])
{
	snprintf(out, OPTION_NAME_SIZE, "%s%s%s", o->block, o->block[0] && o->name[0] ? "." : "",
		o->name);
	return out;
}
