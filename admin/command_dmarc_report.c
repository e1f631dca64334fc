/*
 * `postern dmarc-report`: the domains of a day, or the report about one of them, written to a file
 * that the admin's mailer can send, with the addresses that it may go to. Nothing is sent here.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "admin/command.h"
#include "admin/control.h"
#include "admin/dmarc_destinations.h"
#include "admin/dmarc_report.h"
#include "admin/table.h"
#include "lib/base/clock.h"
#include "lib/base/descriptor.h"
#include "lib/base/fail.h"
#include "lib/base/log.h"
#include "lib/mail/url.h"
#include "lib/net/loop.h"
#include "proxy/process/loaded.h"

enum {
	ANSWER_MAX = 64 * 1024 * 1024,
	ANSWER_MS = 60 * 1000, /* so many rows take a while */
	RECORD_MAX = 64 * 1024,
	DAY_S = 24 * 3600
};

struct order {
	const struct invocation *invocation;
	struct arena *arena;
	const char *domain; /* NULL: all of the day */
	char day[CLOCK_RFC3339_SIZE];
	uint64_t begin_s, end_s; /* both included */
	bool over;               /* the day is */
	const char *output;      /* NULL: by its name, in the current folder */
	const char *org_name, *email;
};

/* --- what is asked for --- */

static bool take_day(struct order *o)
{
	const char *text = cli_option(o->invocation, "--day");
	const struct clock clock = {0};
	uint64_t now_s = clock_wall_ms(&clock) / 1000, today_s = now_s - now_s % DAY_S;

	if (!text)
		return false;
	if (strcmp(text, "today") == 0)
		o->begin_s = today_s;
	else if (strcmp(text, "yesterday") == 0)
		o->begin_s = today_s - DAY_S;
	else if (!dmarc_day_read(text, &o->begin_s))
		return false;
	clock_rfc3339(o->begin_s * 1000, o->day);
	o->day[strlen("2026-11-24")] = '\0';
	o->end_s = o->begin_s + DAY_S - 1;
	o->over = o->end_s < now_s;
	if (o->begin_s <= now_s && !o->over)
		o->end_s = now_s;
	return true;
}

/* In the form that the store has it in. */
static bool take_domain(struct order *o)
{
	const char *text = cli_option(o->invocation, "--domain");
	struct buffer out = BUFFER_INIT(DNS_NAME_MAX + 1);
	bool ok;

	if (!text)
		return true;
	ok = host_ascii(span_text(text), &out);
	if (ok)
		o->domain = arena_string(o->arena, buffer_span(&out));
	buffer_free(&out);
	return ok;
}

static int take_order(struct order *o)
{
	static const char *const with_domain[] = {"--output", "--org-name", "--email", "--no-dns"};

	if (!take_day(o))
		return cli_usage(
			o->invocation, "--day wants a day such as 2026-11-24, today or yesterday");
	if (!take_domain(o))
		return cli_usage(
			o->invocation, "`%s` is no domain", cli_option(o->invocation, "--domain"));
	for (size_t i = 0; !o->domain && i < COUNT_OF(with_domain); i++)
		if (cli_option(o->invocation, with_domain[i]))
			return cli_usage(o->invocation, "%s is for --domain", with_domain[i]);
	o->output = cli_option(o->invocation, "--output");
	o->org_name = cli_option(o->invocation, "--org-name");
	o->email = cli_option(o->invocation, "--email");
	return CLI_OK;
}

/* --- asking the daemon --- */

static int ask_daemon(struct order *o, const struct admin_config *admin, struct buffer *answer)
{
	const char *request = o->domain ? arena_print(o->arena, "dmarc %s %s", o->day, o->domain)
					: arena_print(o->arena, "dmarc %s", o->day);
	struct err err = {{0}};
	int status;

	if (control_call(admin->socket, request, ANSWER_MS, &status, answer, &err) !=
		CONTROL_ANSWERED) {
		fprintf(stderr, "postern: %s\n", err.text);
		return CLI_UNREACHABLE;
	}
	if (status != CLI_OK)
		fputs(buffer_string(answer), stderr);
	return status;
}

static int cant_read(void)
{
	fputs("postern: the daemon's answer can't be read; is it another version?\n", stderr);
	return CLI_UNREACHABLE;
}

/* --- the domains of a day --- */

static int print_domains(const struct order *o, struct span answer)
{
	static const char *const heads[] = {"DOMAIN", ">MESSAGES", ">ROWS", ">LEFT OUT", NULL};
	const struct json *json = json_read(o->arena, answer);
	const struct json *domains = json_get(json, "domains");
	struct table table;

	if (!domains)
		return cant_read();
	table_init(&table, o->arena, heads);
	for (const struct json *d = domains->first; d; d = d->next) {
		table_row(&table);
		table_cell(&table, TONE_PLAIN, "%s", json_text(d, "domain"));
		table_cell(&table, TONE_PLAIN, "%s", json_text(d, "messages"));
		table_cell(&table, TONE_PLAIN, "%s", json_text(d, "rows"));
		table_cell(&table, json_number(d, "left_out") ? TONE_WARN : TONE_DIM, "%s",
			json_text(d, "left_out"));
	}
	if (table.n_rows)
		table_print(&table, stdout, tone_wanted(stdout));
	else
		printf("no results of DMARC on %s\n", o->day);
	if (json_number(json, "left_out"))
		printf("%lld messages of further domains were left out: the day was full\n",
			json_number(json, "left_out"));
	return CLI_OK;
}

static int list_day(struct order *o)
{
	struct buffer answer = BUFFER_INIT(ANSWER_MAX);
	struct admin_config admin;
	int status = cli_admin(o->invocation, o->arena, &admin);

	if (status == CLI_OK)
		status = ask_daemon(o, &admin, &answer);
	if (status == CLI_OK && cli_option(o->invocation, "--json"))
		printf("%.*s\n", SPAN_ARGS(buffer_span(&answer)));
	else if (status == CLI_OK)
		status = print_domains(o, buffer_span(&answer));
	buffer_free(&answer);
	return status;
}

/* --- the file --- */

/* Always the same bytes for the same XML: no time, no name. */
static bool compress_xml(struct span xml, struct buffer *out)
{
	z_stream z = {.next_in = (Bytef *)(uintptr_t)xml.at, .avail_in = (uInt)xml.len};
	size_t room;
	bool ok;

	if (deflateInit2(&z, Z_BEST_COMPRESSION, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY) !=
		Z_OK)
		return false;
	room = deflateBound(&z, (uLong)xml.len) + 32;
	z.next_out = (Bytef *)buffer_reserve(out, room);
	z.avail_out = (uInt)room;
	ok = z.next_out && deflate(&z, Z_FINISH) == Z_STREAM_END;
	if (ok)
		buffer_added(out, z.total_out);
	deflateEnd(&z);
	return ok;
}

/* "-": standard output. */
static bool write_file(const char *path, struct span bytes, struct err *err)
{
	int fd = strcmp(path, "-") == 0
			 ? STDOUT_FILENO
			 : open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	bool ok = fd >= 0 && descriptor_write(fd, bytes);

	if (!ok)
		err_errno(err, "can't write %s", path);
	if (fd >= 0 && fd != STDOUT_FILENO && close(fd) < 0 && ok)
		ok = err_errno(err, "can't write %s", path);
	return ok;
}

/* --- where it goes --- */

static void verify(struct order *o, const struct config *config,
	struct dmarc_destinations *destinations, uint64_t size_bytes)
{
	struct err err = {{0}};
	struct loop loop;
	struct dns *dns;

	if (cli_option(o->invocation, "--no-dns") || destinations->n == 0)
		return;
	loop_init(&loop);
	dns = dns_open(&(struct dns_setup){.loop = &loop,
			       .servers = config->dns_servers,
			       .n_servers = config->n_dns_servers,
			       .timeout_ms = config->dns_timeout},
		&err);
	if (dns)
		dmarc_destinations_verify(
			destinations, o->domain, size_bytes, dns, &loop, o->arena);
	else
		fprintf(stderr, "postern: %s\n", err.text);
	dns_close(&dns);
	loop_close(&loop);
}

static int status_of(const struct order *o, const struct dmarc_destinations *destinations)
{
	for (size_t i = 0; i < destinations->n; i++)
		if (destinations->items[i].state == DESTINATION_UNSURE &&
			!cli_option(o->invocation, "--no-dns"))
			return CLI_PART;
	return CLI_OK;
}

static void print_destination(FILE *to, const struct dmarc_destination *d)
{
	static const char *const words[] = {[DESTINATION_TAKES] = "send to",
		[DESTINATION_NOT] = "not to",
		[DESTINATION_UNSURE] = "unsure"};

	fprintf(to, "%-8s  %s", words[d->state],
		d->state == DESTINATION_NOT || !d->mailbox ? d->uri : d->mailbox);
	fprintf(to, "  (%s)\n", d->why ? d->why : "not verified");
}

static void print_summary(FILE *to, const struct order *o, const struct dmarc_report *report,
	const struct dmarc_destinations *destinations, size_t size)
{
	fprintf(to, "report    %s\n", o->output ? o->output : report->file);
	fprintf(to, "          %" PRIu64 " messages in %" PRIu64 " rows, %zu bytes\n",
		report->messages, report->rows, size);
	fprintf(to, "subject   %s\n", report->subject);
	if (o->output)
		fprintf(to, "as file   %s\n", report->file);
	for (size_t i = 0; i < destinations->n; i++)
		print_destination(to, &destinations->items[i]);
	if (destinations->n == 0)
		fprintf(to, "send to   nobody: the record of %s names no rua\n", o->domain);
	if (destinations->more)
		fprintf(to,
			"          the record names more than %d addresses; the others are left "
			"out\n",
			DMARC_DESTINATIONS_MAX);
}

static void print_json(FILE *to, const struct order *o, const struct dmarc_report *report,
	const struct dmarc_destinations *destinations, size_t size)
{
	static const char *const words[] = {[DESTINATION_TAKES] = "takes",
		[DESTINATION_NOT] = "not",
		[DESTINATION_UNSURE] = "unsure"};
	struct record r;
	struct span text;

	record_init(&r, true, RECORD_MAX);
	record_string(&r, "output", o->output ? o->output : report->file);
	record_string(&r, "file", report->file);
	record_string(&r, "subject", report->subject);
	record_string(&r, "report_id", report->id);
	record_number(&r, "bytes", (int64_t)size);
	record_number(&r, "messages", (int64_t)report->messages);
	record_number(&r, "rows", (int64_t)report->rows);
	record_number(&r, "left_out", (int64_t)report->left_out);
	record_list(&r, "destinations");
	for (size_t i = 0; i < destinations->n; i++) {
		const struct dmarc_destination *d = &destinations->items[i];

		record_open(&r, NULL);
		record_string(&r, "uri", d->uri);
		if (d->mailbox)
			record_string(&r, "mailbox", d->mailbox);
		record_string(&r, "state", words[d->state]);
		record_string(&r, "why", d->why ? d->why : "not verified");
		record_close(&r);
	}
	record_close(&r);
	text = record_finish(&r);
	fprintf(to, "%.*s\n", SPAN_ARGS(text));
	record_free(&r);
}

/* --- a report --- */

static void warn(const struct order *o, const struct dmarc_report *report)
{
	if (!o->over)
		fprintf(stderr, "postern: %s is not over: this is no report to be sent yet\n",
			o->day);
	if (report->left_out)
		fprintf(stderr,
			"postern: %" PRIu64
			" messages were left out: the domain had too many rows\n",
			report->left_out);
	if (report->unfit)
		fprintf(stderr, "postern: %" PRIu64 " rows make no sense and were left out\n",
			report->unfit);
}

/* Writes the file and says where it goes. */
static int deliver(struct order *o, const struct config *config, const struct json *answer,
	const struct dmarc_report *report, struct span xml)
{
	struct buffer gz = BUFFER_INIT(DMARC_REPORT_MAX);
	struct dmarc_destinations destinations;
	bool json = cli_option(o->invocation, "--json") != NULL;
	FILE *to = o->output && strcmp(o->output, "-") == 0 ? stderr : stdout;
	struct err err = {{0}};
	int status = CLI_NO;

	if (!compress_xml(xml, &gz))
		err_set(&err, "the report can't be compressed");
	else if (write_file(o->output ? o->output : report->file, buffer_span(&gz), &err))
		status = CLI_OK;
	if (status == CLI_OK) {
		warn(o, report);
		dmarc_destinations_read(
			span_text(json_text(answer, "record")), o->arena, &destinations);
		/* As base64, with a line end for each 76 characters. */
		verify(o, config, &destinations, gz.len / 57 * 78 + 1024);
		(json ? print_json : print_summary)(to, o, report, &destinations, gz.len);
		status = status_of(o, &destinations);
	} else {
		fprintf(stderr, "postern: %s\n", err.text);
	}
	buffer_free(&gz);
	return status;
}

static int make_report(struct order *o, const struct config *config, struct span bytes)
{
	struct buffer xml = BUFFER_INIT(DMARC_REPORT_MAX);
	struct dmarc_report_source source = {.answer = json_read(o->arena, bytes),
		.domain = o->domain,
		.receiver = config->hostname,
		.org_name = o->org_name ? o->org_name : config->hostname,
		.email = o->email ? o->email
				  : arena_print(o->arena, "postmaster@%s", config->hostname),
		.begin_s = o->begin_s,
		.end_s = o->end_s,
		.arena = o->arena};
	struct dmarc_report report;
	int status;

	if (!source.answer)
		return cant_read();
	if (dmarc_report_write(&source, &report, &xml)) {
		status = deliver(o, config, source.answer, &report, buffer_span(&xml));
	} else {
		fputs(report.rows ? "postern: the report would be too large\n"
				  : "postern: there is no row that makes sense\n",
			stderr);
		status = CLI_NO;
	}
	buffer_free(&xml);
	return status;
}

static int report_domain(struct order *o)
{
	struct buffer answer = BUFFER_INIT(ANSWER_MAX);
	struct loaded loaded;
	int status;

	if (!loaded_read_config(&loaded, o->invocation->config_path)) {
		fputs(buffer_string(&loaded.report), stderr);
		status = CLI_CONFIGURATION;
	} else {
		status = ask_daemon(o, &loaded.config->admin, &answer);
		if (status == CLI_OK)
			status = make_report(o, loaded.config, buffer_span(&answer));
	}
	loaded_free(&loaded);
	buffer_free(&answer);
	return status;
}

int cli_dmarc_report(const struct invocation *invocation)
{
	struct order order = {.invocation = invocation, .arena = arena_new(64 * 1024)};
	int status = take_order(&order);

	if (status == CLI_OK)
		status = order.domain ? report_domain(&order) : list_day(&order);
	arena_free(&order.arena);
	return status;
}
