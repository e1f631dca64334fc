/* The commands that tell the daemon to do something: reload, drain; and version. */
#include <stdio.h>
#include <string.h>

#include "admin/command.h"
#include "admin/control.h"
#include "proxy/process/version.h"

enum {
	ANSWER_MAX = 4 * 1024 * 1024,
	RELOAD_MS =
		30 * 1000, /* for the new workers to be ready or not, and one reload before ours */
	WAIT_DEFAULT_MS = 5 * 60 * 1000,
	DRAIN_DEFAULT_MS = 65 * 60 * 1000, /* a session may take 60 minutes */
	VERSION_MS = 2000
};

static int status_of(enum control_outcome outcome, int answered)
{
	switch (outcome) {
	case CONTROL_ANSWERED:
		return answered;
	case CONTROL_LATE:
		return CLI_PART;
	case CONTROL_UNREACHABLE:
		break;
	}
	return CLI_UNREACHABLE;
}

/* Asks, and prints the answer or why there is none; the exit status. */
static int ask(const struct invocation *invocation, const char *request, uint64_t timeout_ms)
{
	struct buffer answer = BUFFER_INIT(ANSWER_MAX);
	struct arena *arena = arena_new(4096);
	struct admin_config admin;
	struct err err = {{0}};
	int status = cli_admin(invocation, arena, &admin);

	if (status == CLI_OK) {
		enum control_outcome outcome =
			control_call(admin.socket, request, timeout_ms, &status, &answer, &err);
		struct span text = buffer_span(&answer);

		status = status_of(outcome, status);
		if (outcome == CONTROL_ANSWERED)
			fwrite(text.at, 1, text.len, status == CLI_OK ? stdout : stderr);
		else
			fprintf(stderr, "postern: %s\n", err.text);
	}
	buffer_free(&answer);
	arena_free(&arena);
	return status;
}

/* The --timeout, or the default. */
static bool timeout_of(
	const struct invocation *invocation, uint64_t default_ms, uint64_t *out_ms, struct err *err)
{
	const char *text = cli_option(invocation, "--timeout");

	*out_ms = default_ms;
	return !text || cli_duration(text, CONTROL_WAIT_MAX_MS, out_ms, err);
}

int cli_reload(const struct invocation *invocation)
{
	struct err err = {{0}};
	uint64_t wait_ms;
	char request[64];

	if (!timeout_of(invocation, WAIT_DEFAULT_MS, &wait_ms, &err))
		return cli_usage(invocation, "%s", err.text);
	if (!cli_option(invocation, "--wait")) {
		if (cli_option(invocation, "--timeout"))
			return cli_usage(invocation, "--timeout is for --wait");
		return ask(invocation, "reload", RELOAD_MS);
	}
	snprintf(request, sizeof(request), "reload wait %llu",
		(unsigned long long)(wait_ms ? wait_ms : 1));
	return ask(invocation, request, wait_ms + RELOAD_MS);
}

int cli_drain(const struct invocation *invocation)
{
	struct err err = {{0}};
	uint64_t wait_ms;

	if (!timeout_of(invocation, DRAIN_DEFAULT_MS, &wait_ms, &err))
		return cli_usage(invocation, "%s", err.text);
	return ask(invocation, "drain", wait_ms);
}

int cli_version(const struct invocation *invocation)
{
	struct buffer answer = BUFFER_INIT(ANSWER_MAX);
	struct arena *arena = arena_new(4096);
	struct admin_config admin;
	struct bundle *bundle = NULL;
	struct err err = {{0}};
	const char *state;
	int status;

	printf("postern %s\n", POSTERN_VERSION);
	/* The daemon's is an extra: no word of it when there is none. */
	if (bundle_load(&bundle, invocation->config_path, &err) &&
		config_admin_only(bundle, arena, &admin, &state, &err) &&
		control_call(admin.socket, "version", VERSION_MS, &status, &answer, &err) ==
			CONTROL_ANSWERED &&
		strcmp(buffer_string(&answer), POSTERN_VERSION "\n") != 0)
		printf("running: postern %s", buffer_string(&answer));
	if (bundle)
		bundle_free(&bundle);
	buffer_free(&answer);
	arena_free(&arena);
	return CLI_OK;
}
