#include "lib/store/redis_url.h"

#include <string.h>

/* The text on the way through. */
struct reading {
	struct span whole, rest;
	struct redis_url *url;
	size_t *offset;
	struct err *err;
};

static const struct scheme {
	const char *text;
	enum redis_form form;
	bool tls;
	uint16_t port;
} schemes[] = {
	{"redis://", REDIS_ONE, false, 6379},
	{"rediss://", REDIS_ONE, true, 6379},
	{"redis+unix://", REDIS_UNIX, false, 0},
	{"redis+sentinel://", REDIS_SENTINEL, false, 26379},
	{"rediss+sentinel://", REDIS_SENTINEL, true, 26379},
	{"redis+cluster://", REDIS_CLUSTER, false, 6379},
	{"rediss+cluster://", REDIS_CLUSTER, true, 6379},
};

static const struct scheme *scheme_of(struct span text)
{
	for (size_t i = 0; i < COUNT_OF(schemes); i++)
		if (span_starts(text, span_text(schemes[i].text)))
			return &schemes[i];
	return NULL;
}

/* The mistake is where `at` begins. */
static bool wrong(struct reading *r, struct span at, const char *what)
{
	*r->offset = (size_t)(at.at - r->whole.at);
	return err_set(r->err, "%s", what);
}

static int hex_digit(char c)
{
	if (ascii_is_digit(c))
		return c - '0';
	c = ascii_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* With %XX taken as the byte that it means. */
static bool take_secret(
	struct reading *r, struct span from, char *out, size_t size, const char *too_long)
{
	size_t n = 0;

	for (size_t i = 0; i < from.len; i++) {
		int byte = (unsigned char)from.at[i];

		if (n + 1 >= size)
			return wrong(r, from, too_long);
		if (byte == '%') {
			int high = i + 2 < from.len ? hex_digit(from.at[i + 1]) : -1;
			int low = i + 2 < from.len ? hex_digit(from.at[i + 2]) : -1;

			if (high < 0 || low < 0 || (high == 0 && low == 0))
				return wrong(r, span_from(from, i),
					"`%` needs two hex digits behind it; `%25` is `%` itself");
			byte = high * 16 + low;
			i += 2;
		}
		out[n++] = (char)byte;
	}
	out[n] = '\0';
	return true;
}

/* Where the user and password end: the last `@` before the path. */
static size_t userinfo_end(struct span rest)
{
	size_t slash = span_find_char(rest, '/'), end = rest.len;

	for (size_t i = 0; i < slash; i++)
		if (rest.at[i] == '@')
			end = i;
	return end;
}

static bool take_userinfo(struct reading *r)
{
	size_t end = userinfo_end(r->rest), colon;
	struct span info = span_first(r->rest, end);

	if (end == r->rest.len)
		return true;
	r->rest = span_from(r->rest, end + 1);
	colon = span_find_char(info, ':');
	if (colon == info.len)
		return wrong(r, info,
			"before `@` stand user and password: user:password@ or :password@");
	r->url->with_password = true;
	return take_secret(r, span_first(info, colon), r->url->user, sizeof(r->url->user),
		       "that user is too long") &&
	       take_secret(r, span_from(info, colon + 1), r->url->password,
		       sizeof(r->url->password), "that password is too long");
}

static bool is_host(struct span host)
{
	for (size_t i = 0; i < host.len; i++)
		if (!ascii_is_alpha(host.at[i]) && !ascii_is_digit(host.at[i]) &&
			!strchr("-._", host.at[i]))
			return false;
	return host.len > 0;
}

/* Cuts `[::1]` off the front, or what stands before `:`. */
static bool take_host(struct reading *r, struct span *node, struct redis_node *out)
{
	bool bracket = node->len > 0 && node->at[0] == '[';
	size_t end = span_find_char(*node, bracket ? ']' : ':');
	struct span host = span_first(*node, end), at = *node;

	if (bracket) {
		if (end == node->len)
			return wrong(r, at, "`[` needs its `]`");
		host = span_from(host, 1);
		end++;
	}
	*node = span_from(*node, end);
	if (host.len >= sizeof(out->host))
		return wrong(r, at, "that host is too long");
	if (!bracket && !is_host(host))
		return wrong(r, at, host.len ? "that is no host" : "a host is missing here");
	memcpy(out->host, host.at, host.len);
	out->host[host.len] = '\0';
	return true;
}

static bool take_node(struct reading *r, struct span node, uint16_t port)
{
	struct redis_url *url = r->url;
	uint64_t number = port;
	struct span at = node;

	if (url->n_nodes == REDIS_NODES_MAX)
		return wrong(r, at, "too many hosts");
	if (!take_host(r, &node, &url->nodes[url->n_nodes]))
		return false;
	if (node.len &&
		(node.at[0] != ':' || !span_number(span_from(node, 1), UINT16_MAX, &number) ||
			number == 0))
		return wrong(r, node, "a port is a number from 1 to 65535");
	url->nodes[url->n_nodes++].port = (uint16_t)number;
	return true;
}

static bool take_nodes(struct reading *r, const struct scheme *scheme)
{
	struct span nodes = span_first(r->rest, span_find_char(r->rest, '/'));
	bool several = scheme->form != REDIS_ONE;

	r->rest = span_from(r->rest, nodes.len);
	for (;;) {
		size_t comma = span_find_char(nodes, ',');

		if (comma < nodes.len && !several)
			return wrong(r, span_from(nodes, comma),
				"one host only; several are redis+sentinel:// or redis+cluster://");
		if (!take_node(r, span_first(nodes, comma), scheme->port))
			return false;
		if (comma == nodes.len)
			return true;
		nodes = span_from(nodes, comma + 1);
	}
}

static bool take_db(struct reading *r, struct span text)
{
	uint64_t db = 0;

	if (text.len && !span_number(text, REDIS_DB_MAX, &db))
		return wrong(r, text, "a database is a number, such as 0");
	r->url->db = (unsigned)db;
	return true;
}

static bool take_path(struct reading *r)
{
	struct span path = span_first(r->rest, span_find_char(r->rest, '?'));
	struct span query = span_from(r->rest, path.len);

	if (path.len < 2 || path.at[0] != '/')
		return wrong(r, path, "a socket needs its whole path: redis+unix:///path");
	if (path.len >= sizeof(r->url->path))
		return wrong(r, path, "that path is too long for a socket");
	memcpy(r->url->path, path.at, path.len);
	if (query.len == 0)
		return true;
	if (!span_starts(query, SPAN("?db=")))
		return wrong(r, query, "behind the path only `?db=NUMBER` may stand");
	return take_db(r, span_from(query, 4));
}

/* "/name/0" */
static bool take_name(struct reading *r)
{
	struct span rest = span_from(r->rest, 1);
	struct span name = span_first(rest, span_find_char(rest, '/'));

	if (name.len == 0)
		return wrong(r, r->rest,
			"the name of the primary is missing: redis+sentinel://h1,h2/name/0");
	if (name.len >= sizeof(r->url->name))
		return wrong(r, name, "that name is too long");
	memcpy(r->url->name, name.at, name.len);
	return take_db(r, span_from(rest, name.len + 1));
}

static bool take_rest(struct reading *r, const struct scheme *scheme)
{
	switch (scheme->form) {
	case REDIS_UNIX:
		return take_path(r);
	case REDIS_SENTINEL:
		return take_nodes(r, scheme) && take_name(r);
	case REDIS_CLUSTER:
		if (!take_nodes(r, scheme))
			return false;
		return r->rest.len <= 1 || wrong(r, r->rest, "a cluster has only database 0");
	case REDIS_ONE:
		break;
	}
	return take_nodes(r, scheme) && take_db(r, span_from(r->rest, 1));
}

bool redis_url_read(struct span text, struct redis_url *out, size_t *offset, struct err *err)
{
	const struct scheme *scheme = scheme_of(text);
	struct reading r = {text, text, out, offset, err};

	*out = (struct redis_url){.form = REDIS_ONE};
	*offset = 0;
	if (!scheme)
		return err_set(err, "that is no address of Redis");
	if (memchr(text.at, 0, text.len))
		return err_set(err, "there is a NUL in it");
	out->form = scheme->form;
	out->tls = scheme->tls;
	r.rest = span_from(text, strlen(scheme->text));
	return take_userinfo(&r) && take_rest(&r, scheme);
}

bool redis_url_mask(struct span text, struct buffer *out)
{
	size_t front = span_find(text, SPAN("://")) + 3, end;
	struct span rest = span_from(text, front), info;

	end = userinfo_end(rest);
	if (end == rest.len)
		return buffer_add(out, text);
	info = span_first(rest, end);
	return buffer_add(out, span_first(text, front)) &&
	       buffer_add(out, span_first(info, span_find_char(info, ':'))) &&
	       buffer_add_text(out, ":***") && buffer_add(out, span_from(rest, end));
}
