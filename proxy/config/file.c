/* The kinds of value with a shape of their own: files, the log's target, filter blocks, relay
 * domains. */
#include <string.h>

#include "lib/base/fail.h"
#include "lib/mail/address.h"
#include "proxy/config/read.h"

enum { CERTIFICATES_MAX = 1024, FILE_NAME_MAX = 1024, FILTER_TEXT_MAX = 64 * 1024 };

/* --- certificate and key --- */

static void wipe(void *context)
{
	struct span *content = context;

	explicit_bzero((void *)content->at, content->len);
}

static bool has_text(struct span content, const char *text)
{
	return span_find(content, span_text(text)) < content.len;
}

/* A look only: whether it can be what it should be. OpenSSL reads it elsewhere. */
static bool check_pem(struct reader *r, const struct token *at, const char *name,
	struct span content, bool is_key)
{
	const char *wanted = is_key ? "PRIVATE KEY-----" : "CERTIFICATE-----";

	if (!has_text(content, "-----BEGIN "))
		return reader_mistake(r, at,
			"convert it: openssl x509 or openssl pkey, each with -inform DER",
			"`%s` is not a PEM file", name);
	if (!has_text(content, wanted))
		return reader_mistake(r, at,
			has_text(content, is_key ? "CERTIFICATE-----" : "PRIVATE KEY-----")
				? "are certificate and key swapped?"
				: NULL,
			"`%s` holds no %s", name, is_key ? "private key" : "certificate");
	if (is_key && has_text(content, "ENCRYPTED"))
		return reader_mistake(r, at, "take it off: openssl pkey -in OLD -out NEW",
			"the key in `%s` has a passphrase", name);
	return true;
}

/* The named file out of the bundle. */
static bool take_file(
	struct reader *r, const struct option *o, bool is_key, struct config_file *out)
{
	const struct bundle_file *file;
	struct span *content;
	struct token t;

	if (!reader_take_value(r, o, &t))
		return false;
	out->name = token_value(&t, r->config->arena);
	if (!*out->name || strlen(out->name) > FILE_NAME_MAX)
		return reader_mistake_type(r, o, &t);
	if (r->names)
		*(const char **)reader_append(r->config->arena, &r->names->items, &r->names->count,
			sizeof(char *)) = out->name;
	if (!r->bundle)
		return true;
	file = bundle_find(r->bundle, out->name);
	if (!file || file->problem)
		return reader_mistake(
			r, &t, file ? file->problem : NULL, "can't read `%s`", out->name);
	if (!check_pem(r, &t, out->name, file->content, is_key))
		return false;
	content = arena_alloc(r->config->arena, sizeof(*content));
	*content = out->content = arena_span(r->config->arena, file->content);
	arena_on_free(r->config->arena, wipe, content);
	return true;
}

static bool read_certificate(struct reader *r, const struct option *o, void *base)
{
	struct tls_config *tls = &((struct config *)base)->tls;
	struct certificate_config *last = tls->count ? &tls->certificates[tls->count - 1] : NULL;
	struct certificate_config pair = {{NULL, {NULL, 0}}, {NULL, {NULL, 0}}};
	bool ok = true;

	if (last && !last->key.name)
		ok = reader_mistake(r, &r->key, "write: certificate \"mx.pem\" key \"mx.key\"",
			"the certificate before this one has no key");
	if (tls->count == CERTIFICATES_MAX)
		return reader_mistake(
			r, &r->key, NULL, "at most %d certificates can be given", CERTIFICATES_MAX);
	ok = take_file(r, o, false, &pair.certificate) && ok;
	/* Kept even when it is bad, so that its key is not told to be without one. */
	*(struct certificate_config *)reader_append(
		r->config->arena, &tls->certificates, &tls->count, sizeof(pair)) = pair;
	return ok;
}

static bool read_key(struct reader *r, const struct option *o, void *base)
{
	struct tls_config *tls = &((struct config *)base)->tls;
	struct certificate_config *last = tls->count ? &tls->certificates[tls->count - 1] : NULL;
	struct config_file key = {NULL, {NULL, 0}};
	bool lonely = !last || last->key.name;
	bool ok = true;

	if (lonely)
		ok = reader_mistake(r, &r->key, "write: certificate \"mx.pem\" key \"mx.key\"",
			"this key has no certificate before it");
	ok = take_file(r, o, true, &key) && ok;
	if (!lonely)
		last->key.name = key.name ? key.name : "";
	if (!lonely)
		last->key.content = key.content;
	return ok;
}

/* A certificate is shown with its key. */
static bool show_certificate(const struct option *o, const void *base, size_t index, struct text *t)
{
	const struct tls_config *tls = &((const struct config *)base)->tls;

	(void)o;
	if (index >= tls->count)
		return false;
	text_quoted(t, tls->certificates[index].certificate.name);
	text_put(t, " key ");
	text_quoted(t, tls->certificates[index].key.name);
	return true;
}

static bool show_key(const struct option *o, const void *base, size_t index, struct text *t)
{
	(void)o;
	(void)base;
	(void)index;
	(void)t;
	return false;
}

const struct kind kind_certificate = {
	.syntax = "FILE",
	.expects = "a file",
	.example = "\"mx.pem\"",
	.read = read_certificate,
	.show = show_certificate,
};

const struct kind kind_key = {
	.syntax = "FILE",
	.expects = "a file",
	.example = "\"mx.key\"",
	.read = read_key,
	.show = show_key,
};

/* --- log to stderr | syslog | file "..." --- */

static bool read_log_target(struct reader *r, const struct option *o, void *base)
{
	struct option file = {.name = "file", .kind = &kind_path, .at = o->also};

	field_set_string(base, o->also, NULL);
	if (!kind_choice.read(r, o, base))
		return false;
	return field_get(base, o->at) != LOG_TO_FILE || kind_path.read(r, &file, base);
}

static bool show_log_target(const struct option *o, const void *base, size_t index, struct text *t)
{
	const char *file = field_string(base, o->also);

	if (!kind_choice.show(o, base, index, t))
		return false;
	if (file) {
		text_put(t, " ");
		text_quoted(t, file);
	}
	return true;
}

const struct kind kind_log_target = {
	.syntax = "stderr | syslog | file PATH",
	.expects = "one of",
	.example = "file \"/var/log/postern.log\"",
	.read = read_log_target,
	.show = show_log_target,
};

/* --- filter NAME { ... } --- */

static void note_place(struct reader *r, struct filter_config *filter, const struct token *token)
{
	*(struct token_place *)reader_append(r->config->arena, &filter->places, &filter->n_places,
		sizeof(struct token_place)) = (struct token_place){token->line, token->column};
}

/* Tokens up to the closing brace, put down with one blank between them. */
static bool take_group_text(struct reader *r, struct text *t, struct filter_config *filter)
{
	struct token opened = reader_take(r);
	unsigned depth = 1;
	bool ok = true;

	while (r->token.kind != TOKEN_END) {
		struct token token = reader_take(r);

		depth += token.kind == TOKEN_LEFT_BRACE;
		depth -= token.kind == TOKEN_RIGHT_BRACE;
		if (depth == 0)
			return ok;
		if (token.kind == TOKEN_ERROR)
			ok = reader_mistake(r, &token, token.help, "%s", token.message);
		text_put(t, "%s%.*s", t->out->len ? " " : "", SPAN_ARGS(token.text));
		if (!t->full)
			note_place(r, filter, &token);
	}
	return reader_mistake(r, &opened, "add a } behind the block", "this { is never closed");
}

static bool read_filter(struct reader *r, const struct option *o, void *base)
{
	struct config *config = base;
	struct buffer content = BUFFER_INIT(FILTER_TEXT_MAX);
	struct text text = {&content, false};
	struct filter_config filter = {.name = NULL};
	struct token name;
	bool ok;

	if (!reader_take_value(r, o, &name))
		return false;
	filter.name = token_value(&name, config->arena);
	if (r->token.kind != TOKEN_LEFT_BRACE)
		return reader_mistake(
			r, &r->key, "write: filter spf { timeout 8s }", "`filter` opens a block");
	note_place(r, &filter, &name);
	ok = take_group_text(r, &text, &filter);
	if (text.full)
		ok = reader_mistake(r, &name, NULL, "the options of one filter have at most %d KB",
			FILTER_TEXT_MAX / 1024);
	filter.options = arena_string(config->arena, buffer_span(&content));
	buffer_free(&content);
	if (!*filter.name || name.kind == TOKEN_ERROR)
		return reader_mistake_type(r, o, &name);
	for (size_t i = 0; i < config->n_filters; i++)
		if (strcmp(config->filters[i].name, filter.name) == 0)
			return reader_mistake(
				r, &name, NULL, "filter `%s` is given twice", filter.name);
	if (config->n_filters == o->max)
		return reader_mistake(
			r, &name, NULL, "at most %zu filters have options", (size_t)o->max);
	*(struct filter_config *)reader_append(
		config->arena, &config->filters, &config->n_filters, sizeof(filter)) = filter;
	r->value = name;
	return ok;
}

static bool show_filter(const struct option *o, const void *base, size_t index, struct text *t)
{
	const struct config *config = base;

	(void)o;
	if (index >= config->n_filters)
		return false;
	text_quoted(t, config->filters[index].name);
	text_put(t, *config->filters[index].options ? " { %s }" : " { %s}",
		config->filters[index].options);
	return true;
}

const struct kind kind_filter = {
	.syntax = "NAME { ... }",
	.expects = "the name of a filter",
	.example = "spf { timeout 8s }",
	.read = read_filter,
	.show = show_filter,
};

/* --- relay_domains any | { ... } --- */

static const char *domain_help(struct span domain)
{
	if (span_starts(domain, SPAN("*.")))
		return "for all subdomains write a leading dot: \".example.com\"";
	if (span_find_char(domain, '@') < domain.len)
		return "name the domain alone, what stands behind the @";
	if (span_ends_nocase(domain, SPAN(".")))
		return "leave out the last dot";
	return "letters, digits and hyphens, in parts with dots between";
}

static bool add_domain(struct reader *r, const struct token *t, void *context)
{
	struct config *config = context;
	char *domain = arena_string(config->arena, span_text(token_value(t, r->scratch)));
	bool dot = domain[0] == '.';

	if (!domain_valid(span_text(domain + dot), true) || !text_printable(span_text(domain)))
		return reader_mistake(
			r, t, domain_help(span_text(domain)), "`%s` is not a domain", domain);
	for (char *c = domain; *c; c++)
		*c = ascii_lower(*c);
	*(const char **)reader_append(config->arena, &config->relay_domains,
		&config->n_relay_domains, sizeof(domain)) = domain;
	return true;
}

static bool read_relay_domains(struct reader *r, const struct option *o, void *base)
{
	struct config *config = base;
	struct token t;

	config->relay_domains = NULL;
	config->n_relay_domains = 0;
	config->relay_any = token_is(&r->token, "any");
	if (r->token.kind == TOKEN_LEFT_BRACE) {
		if (!reader_take_set(r, o, add_domain, config))
			return false;
		return config->n_relay_domains ||
		       reader_mistake(r, &r->key, "name at least one domain, or write any",
			       "without a relay domain no recipient can be taken");
	}
	if (!reader_take_value(r, o, &t))
		return false;
	return config->relay_any || reader_mistake_type(r, o, &t);
}

static bool show_relay_domains(
	const struct option *o, const void *base, size_t index, struct text *t)
{
	const struct config *config = base;

	(void)o;
	if (index > 0)
		return false;
	if (config->relay_any) {
		text_put(t, "any");
		return true;
	}
	text_put(t, "{");
	for (size_t i = 0; i < config->n_relay_domains; i++) {
		text_put(t, config->n_relay_domains > 4 ? "\n\t" : " ");
		text_quoted(t, config->relay_domains[i]);
	}
	text_put(t, config->n_relay_domains > 4 ? "\n}" : " }");
	return true;
}

const struct kind kind_relay_domains = {
	.syntax = "any | { DOMAIN ... }",
	.expects = "a set of domains or any",
	.example = "{ \"example.com\" \"example.org\" }",
	.read = read_relay_domains,
	.show = show_relay_domains,
};
