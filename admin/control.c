#include "admin/control.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/base/clock.h"

enum { PIECE = 16 * 1024 };

/* --- the daemon's side --- */

static const struct {
	const char *word;
	enum control_verb verb;
} verbs[] = {
	{"status", CONTROL_STATUS},
	{"reload", CONTROL_RELOAD},
	{"drain", CONTROL_DRAIN},
	{"version", CONTROL_VERSION},
	{"metrics", CONTROL_METRICS},
	{"dmarc", CONTROL_DMARC},
	{"store", CONTROL_STORE},
	{"greylist", CONTROL_GREYLIST},
	{"reputation", CONTROL_REPUTATION},
};

static bool parse_number(struct span word, uint64_t max, uint32_t *out, struct err *err)
{
	uint64_t value;

	if (!span_number(word, max, &value))
		return err_set(err, "\"%.*s\" is not a number up to %llu", SPAN_ARGS(word),
			(unsigned long long)max);
	*out = (uint32_t)value;
	return true;
}

/* "2026-11-24", as far as its form goes. */
static bool parse_day(struct span word, struct err *err)
{
	static const char form[] = "dddd-dd-dd";
	bool ok = word.len == sizeof(form) - 1;

	for (size_t i = 0; ok && i < word.len; i++)
		ok = form[i] == 'd' ? ascii_is_digit(word.at[i]) : word.at[i] == form[i];
	return ok || err_set(err, "\"%.*s\" is not a day such as 2026-11-24",
			     SPAN_ARGS(span_first(word, 40)));
}

/* What is done, and to which key: the rest of the line. */
static bool parse_memory(struct span rest, struct control_request *out, struct err *err)
{
	static const struct {
		enum control_verb verb;
		const char *what;
		bool number, key; /* must be there */
	} forms[] = {
		{CONTROL_GREYLIST, "ls", false, false},
		{CONTROL_GREYLIST, "allow", true, true},
		{CONTROL_GREYLIST, "clear", false, true},
		{CONTROL_REPUTATION, "show", false, true},
		{CONTROL_REPUTATION, "reset", false, true},
	};

	out->what = span_word(&rest);
	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		if (forms[i].verb != out->verb || !span_equal(out->what, span_text(forms[i].what)))
			continue;
		if (forms[i].number &&
			!parse_number(span_word(&rest), UINT32_MAX, &out->number, err))
			return false;
		out->key = span_trim(rest);
		return !forms[i].key || out->key.len || err_set(err, "a key is missing");
	}
	return err_set(err, "\"%.*s\" is not expected there", SPAN_ARGS(span_first(out->what, 40)));
}

static bool parse_arguments(struct span rest, struct control_request *out, struct err *err)
{
	struct span word;
	bool ok = true;

	if (out->verb == CONTROL_GREYLIST || out->verb == CONTROL_REPUTATION)
		return parse_memory(rest, out, err);
	word = span_word(&rest);
	if (out->verb == CONTROL_STATUS) {
		out->number = CONTROL_SESSIONS;
		if (word.len)
			ok = parse_number(word, CONTROL_SESSIONS_MAX, &out->number, err);
		word = span_word(&rest);
	} else if (out->verb == CONTROL_RELOAD && span_equal(word, SPAN("wait"))) {
		ok = parse_number(span_word(&rest), CONTROL_WAIT_MAX_MS, &out->number, err);
		word = span_word(&rest);
	} else if (out->verb == CONTROL_DMARC) {
		ok = parse_day(word, err);
		out->day = word;
		out->domain = span_word(&rest);
		word = span_word(&rest);
	} else if (out->verb == CONTROL_STORE) {
		out->kind = word;
		ok = parse_number(span_word(&rest), CONTROL_BODY_MAX, &out->body_size, err);
		word = span_word(&rest);
	}
	if (ok && word.len)
		return err_set(err, "\"%.*s\" is not expected there", SPAN_ARGS(word));
	return ok;
}

bool control_parse(struct span line, struct control_request *out, struct err *err)
{
	struct span rest = line, word;

	if (rest.len && rest.at[rest.len - 1] == '\r')
		rest.len--;
	word = span_word(&rest);
	for (size_t i = 0; i < COUNT_OF(verbs); i++) {
		if (!span_equal(word, span_text(verbs[i].word)))
			continue;
		*out = (struct control_request){.verb = verbs[i].verb};
		return parse_arguments(rest, out, err);
	}
	return err_set(err, "there is no request \"%.*s\"", SPAN_ARGS(span_first(word, 40)));
}

/* --- the client's side --- */

static int connect_to(const char *path, struct err *err)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd;

	if (strlen(path) >= sizeof(address.sun_path)) {
		err_set(err, "the control socket's path %s is too long", path);
		return -1;
	}
	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	if (errno == ENOENT || errno == ECONNREFUSED)
		err_set(err, "postern is not running: nobody answers on %s", path);
	else
		err_errno(err, "can't reach postern on %s", path);
	if (fd >= 0)
		close(fd);
	return -1;
}

static bool send_all(int fd, struct span bytes, struct err *err)
{
	while (bytes.len) {
		ssize_t sent = send(fd, bytes.at, bytes.len, MSG_NOSIGNAL);

		if (sent < 0 && errno != EINTR)
			return err_errno(err, "postern took no request");
		bytes = span_from(bytes, sent > 0 ? (size_t)sent : 0);
	}
	return true;
}

static bool send_request(int fd, const char *request, struct span body, struct err *err)
{
	char line[CONTROL_REQUEST_MAX];
	int len = snprintf(line, sizeof(line), "%s\n", request);

	if (len < 0 || (size_t)len >= sizeof(line))
		return err_set(err, "the request is too long");
	return send_all(fd, span_make(line, (size_t)len), err) && send_all(fd, body, err);
}

static enum control_outcome receive_all(
	int fd, uint64_t timeout_ms, struct buffer *answer, struct err *err)
{
	const struct clock clock = {0};
	const uint64_t deadline_ms = clock_now_ms(&clock) + timeout_ms;

	for (;;) {
		struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
		uint64_t now_ms = clock_now_ms(&clock);
		char *at = buffer_reserve(answer, PIECE);
		ssize_t got;

		if (!at) {
			err_set(err, "postern's answer is too long");
			return CONTROL_UNREACHABLE;
		}
		if (now_ms >= deadline_ms || poll(&poll_fd, 1, (int)(deadline_ms - now_ms)) == 0) {
			err_set(err, "postern has not answered within %llu s",
				(unsigned long long)timeout_ms / 1000);
			return CONTROL_LATE;
		}
		got = recv(fd, at, PIECE, 0);
		if (got < 0 && errno != EINTR) {
			err_errno(err, "postern's answer was cut off");
			return CONTROL_UNREACHABLE;
		}
		if (got == 0)
			return CONTROL_ANSWERED;
		if (got > 0)
			buffer_added(answer, (size_t)got);
	}
}

/* Takes the first line off. */
static bool take_status(struct buffer *answer, int *status, struct err *err)
{
	struct span all = buffer_span(answer);
	size_t end = span_find_char(all, '\n');
	uint64_t value;

	if (end == all.len || !span_number(span_first(all, end), 255, &value))
		return err_set(err, "postern ended before it answered");
	*status = (int)value;
	buffer_consume(answer, end + 1);
	return true;
}

enum control_outcome control_call(const char *socket_path, const char *request, uint64_t timeout_ms,
	int *status, struct buffer *answer, struct err *err)
{
	return control_call_with(socket_path, request, SPAN_NONE, timeout_ms, status, answer, err);
}

enum control_outcome control_call_with(const char *socket_path, const char *request,
	struct span body, uint64_t timeout_ms, int *status, struct buffer *answer, struct err *err)
{
	int fd = connect_to(socket_path, err);
	enum control_outcome outcome = CONTROL_UNREACHABLE;

	if (fd < 0)
		return outcome;
	if (send_request(fd, request, body, err))
		outcome = receive_all(fd, timeout_ms, answer, err);
	if (outcome == CONTROL_ANSWERED && !take_status(answer, status, err))
		outcome = CONTROL_UNREACHABLE;
	close(fd);
	return outcome;
}
